"""A circuit breaker: it stops asking what keeps failing, and asks again later, carefully."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

import msgspec

__all__ = ["Breaker", "BreakerRules", "BreakerState"]

BreakerState = Literal["closed", "half-open", "open"]
"""Whether everything is let through, a few probes, or nothing."""

_SLOTS: Final = 10


class BreakerRules(msgspec.Struct, frozen=True):
    """When a breaker opens and closes.

    Attributes:
        failure_rate: It opens when this fraction of what was asked in the window has failed.
        window_s: The length of the window, seconds. It slides by tenths.
        minimum: How much must have been asked in the window before the rate counts.
        max_given_up: So many runs in a row that were given up open it whatever the rate: each may hold a thread.
        open_s: How long it stays open before it lets probes through, seconds.
        probes: How many probes may go on at once; that many must succeed, and none fail, for it to close.
    """

    failure_rate: float = 0.5
    window_s: float = 10.0
    minimum: int = 10
    max_given_up: int = 5
    open_s: float = 5.0
    probes: int = 1


class Breaker:
    """Counts how calls end, and says whether another may be made. It belongs to one thread, the event loop's.

    Args:
        rules: When it opens and closes.
        clock_s: A monotonic clock, seconds.
        changed: Is told every new state, and the reason.

    Attributes:
        ticket: What `admit` gives while the breaker is closed, which is nearly always; else 0.
        reason: How the last call failed, in words; for whoever hands it tickets to set.
    """

    def __init__(
        self,
        rules: BreakerRules,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        changed: Callable[[BreakerState, str], None] = lambda _, __: None,
    ) -> None:
        self._rules = rules
        self._clock_s = clock_s
        self._changed = changed
        self.ticket = 1
        self.reason = ""
        self._state: BreakerState = "closed"
        self._epoch = 1  # the ticket of every call that was admitted since the last change of state
        # What has ended within the window, by tenths of it. The last is the present one.
        self._slot_s = rules.window_s / _SLOTS
        self._slots: deque[tuple[int, int, int]] = deque(maxlen=_SLOTS - 1)
        self._good = 0
        self._bad = 0
        self._suspect = 0
        self._slot_end_s = clock_s() + self._slot_s
        self._given_up = 0
        self._until_s = 0.0
        self._probing = 0
        self._probed = 0

    @property
    def state(self) -> BreakerState:
        """The state now; ``half-open`` as soon as the next call would be a probe."""
        if self._state == "open" and self._clock_s() >= self._until_s:
            return "half-open"
        return self._state

    def admit(self) -> int:
        """Ask whether a call may be made.

        Returns:
            A ticket, to be handed to `succeeded`, `failed`, `suspected` or `released` once; 0 if the call must not
            be made.
        """
        if self._state == "closed":
            return self._epoch
        if self._state == "open":
            if self._clock_s() < self._until_s:
                return 0
            self._enter("half-open")
        if self._probing + self._probed >= self._rules.probes:
            return 0
        self._probing += 1
        return self._epoch

    def succeeded(self, ticket: int) -> None:
        """A call was answered."""
        if ticket == self.ticket:
            now_s = self._clock_s()
            if now_s >= self._slot_end_s:
                self._slide(now_s)
            self._good += 1
            self._given_up = 0
            return
        if ticket != self._epoch:
            return  # it was made in another state, which is over: it says nothing about this one
        self._probing -= 1
        self._probed += 1
        if self._probed >= self._rules.probes:
            self._enter("closed")

    def failed(self, ticket: int, *, given_up: bool = False) -> None:
        """A call failed.

        Args:
            ticket: What `admit` gave.
            given_up: Whether nobody waited for its end, so that it may still be going on.
        """
        if ticket != self._epoch:
            return
        if self._state != "closed":
            self._enter("open")
            return
        now_s = self._clock_s()
        if now_s >= self._slot_end_s:
            self._slide(now_s)
        self._bad += 1
        self._given_up = self._given_up + 1 if given_up else 0
        if self._given_up >= self._rules.max_given_up or self._are_too_many(suspects=False):
            self._enter("open")

    def suspected(self, ticket: int) -> bool:
        """A call failed, and perhaps because of what was asked.

        Args:
            ticket: What `admit` gave.

        Returns:
            Whether it has to be found out now, since the breaker would open otherwise: try something that is known to
            be good, and hand the ticket to `confirmed`, `cleared` or `released`.
        """
        if ticket != self._epoch:
            return False
        if self._state != "closed":
            return True
        now_s = self._clock_s()
        if now_s >= self._slot_end_s:
            self._slide(now_s)
        self._suspect += 1
        self._given_up = 0
        return self._are_too_many(suspects=True)

    def confirmed(self, ticket: int) -> None:
        """It failed on something that is known to be good, too."""
        if ticket == self._epoch:
            self._enter("open")

    def cleared(self, ticket: int) -> None:
        """It answered something that is known to be good: what it failed on was to blame."""
        if ticket != self._epoch:
            return
        if self._state != "closed":
            self.succeeded(ticket)
            return
        self._suspect = 0
        for place, (good, bad, _) in enumerate(self._slots):
            self._slots[place] = (good, bad, 0)

    def released(self, ticket: int) -> None:
        """A call ended in a way that says nothing about what was called: its caller went away, or made a mistake."""
        if ticket == self._epoch and self._state == "half-open":
            self._probing -= 1

    def _are_too_many(self, *, suspects: bool) -> bool:
        """Whether too many calls in the window have failed; with or without those that are only suspected."""
        good, bad, suspect = map(sum, zip(*self._slots, (self._good, self._bad, self._suspect), strict=True))
        if suspects:
            bad += suspect
        return good + bad >= self._rules.minimum and bad >= self._rules.failure_rate * (good + bad)

    def _enter(self, state: BreakerState) -> None:
        self._state = state
        self._epoch += 1
        self._probing = self._probed = self._given_up = 0
        if state == "open":
            self._until_s = self._clock_s() + self._rules.open_s
        elif state == "closed":
            self._slots.clear()
            self._good = self._bad = self._suspect = 0
            self._slot_end_s = self._clock_s() + self._slot_s
        self.ticket = self._epoch if state == "closed" else 0
        self._changed(state, self.reason)

    def _slide(self, now_s: float) -> None:
        """Begin a new slot, and forget what has left the window."""
        ended = int((now_s - self._slot_end_s) / self._slot_s) + 1
        self._slots.append((self._good, self._bad, self._suspect))
        self._slots.extend([(0, 0, 0)] * min(ended - 1, _SLOTS))
        self._good = self._bad = self._suspect = 0
        self._slot_end_s += ended * self._slot_s
