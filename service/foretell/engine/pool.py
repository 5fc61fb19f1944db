"""The threads that run models: shared by all versions of a process, in fair turns."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

    from foretell.engine.lane import Lane
    from foretell.engine.run import Run

__all__ = ["Pool", "Share"]

_PATIENCE_NS: Final = 50_000_000
"""No run is overdue before it has taken so long, ns."""

_OVERDUE: Final = 10
"""A run is overdue when it takes so many times what was expected."""

_DELIVERY_S: Final = 0.002
_DELIVERY: Final = 0.05
"""How long a thread waits until the answers of a shared run have been given to those who wait: seconds, and of what the
run took."""

_LOOK_S: Final = 0.05
_MOST_LENT: Final = 64


class Share:
    """What one model has had of the threads' time; all its versions have one share.

    Attributes:
        spent_ns: The time of its runs, ns.
        active: How many of its lanes wait for a turn, and how many of its runs go on.
    """

    def __init__(self) -> None:
        self.spent_ns = 0
        self.active = 0


class Pool:
    """Runs what lanes have waiting; the model whose turn it is has had the least time of all that wait.

    A run that takes far longer than expected may never end. Its thread no longer counts then, and another takes its
    place, so that a model that hangs does not keep the others waiting.

    Args:
        threads: How many runs may go on at once.
        clock_ns: The clock of `RequestRecord`, ns.

    Attributes:
        threads: How many runs may go on at once.
        lock: Held by whoever looks at or changes what waits and what runs, here and in the lanes.
        clock_ns: The clock.
    """

    def __init__(self, threads: int, *, clock_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        self.threads = threads
        self.lock = threading.Lock()
        self.clock_ns = clock_ns
        self._changed = threading.Condition(self.lock)
        self._ended = threading.Condition(self.lock)
        self._shares: dict[str, Share] = {}
        self._ready: dict[Lane, None] = {}
        self._running: set[Run] = set()
        self._alive = 0
        self._idle = 0
        self._coming = 0
        self._lent = 0
        self._floor_ns = 0
        self._refused = False
        self._closed = False
        self._look_again: asyncio.TimerHandle | None = None

    def share(self, model: str) -> Share:
        """The share of a model."""
        return self._shares.setdefault(model, Share())

    def offer(self, lane: Lane, loop: asyncio.AbstractEventLoop) -> None:
        """Let a lane have its turn, now or when others have had theirs. Call it with the lock held, on the loop."""
        self._enter(lane)
        self._wake()
        if self._look_again is None and (self.free <= 0 or self._refused):
            self._look_again = loop.call_later(_LOOK_S, self._look, loop)

    def withdraw(self, lane: Lane) -> None:
        """A lane has nothing left that could begin. Call it with the lock held."""
        if lane in self._ready:
            del self._ready[lane]
            lane.share.active -= 1

    def close(self, *, waits_s: float = 0.0) -> None:
        """Let the threads end once nothing is left to run.

        They keep no process from ending; but one that ends while a run is on its way back from ONNX Runtime may crash,
        so that the process's last act is to wait for them.

        Args:
            waits_s: How long to wait for those whose runs nobody waits for any longer, seconds.
        """
        with self.lock:
            self._closed = True
            self._coming += self._idle
            self._idle = 0
            self._changed.notify_all()
            self._ended.wait_for(lambda: not self._alive, waits_s)

    @property
    def free(self) -> int:
        """How many more runs could begin now."""
        return self.threads + self._lent - len(self._running)

    def _enter(self, lane: Lane) -> None:
        if lane in self._ready:
            return
        if not lane.share.active:  # while a model had nothing to do, it saved nothing up
            lane.share.spent_ns = max(lane.share.spent_ns, self._floor_ns)
        lane.share.active += 1
        self._ready[lane] = None

    def _wake(self) -> None:
        """See that a thread takes up what waits."""
        if self._idle:
            self._idle -= 1  # it is on its way: who comes before it has begun must wake another
            self._coming += 1
            self._changed.notify()
        elif self.free > 0 and self._alive < self.threads + self._lent:
            try:
                threading.Thread(target=self._serve, name="model run", daemon=True).start()
            except (RuntimeError, MemoryError):
                # The system has no more: a living one takes it up, or `_look` sees to it.
                self._refused = True
            else:
                self._refused = False
                self._alive += 1
                self._coming += 1

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """While lanes wait: whether a thread is missing, because it could not be started or its run is overdue."""
        self._look_again = None
        with self.lock:
            if not self._ready:
                return
            if self._refused:
                self._wake()
            now_ns = self.clock_ns()
            for run in self._running:
                overdue_ns = max(_PATIENCE_NS, _OVERDUE * run.expected_ns)
                if not run.lent and self._lent < _MOST_LENT and now_ns - run.started_ns > overdue_ns:
                    run.lent = True
                    self._lent += 1
                    self._wake()
            self._look_again = loop.call_later(_LOOK_S, self._look, loop)

    def _serve(self) -> None:
        """What a thread does: one run after the other, without going back to the event loop in between."""
        with self.lock:
            self._coming -= 1
        while (run := self._take()) is not None:
            run.execute()
            run.hand_back()
            if run.lane.is_short_for(run):
                # Those who were answered together mostly ask again at once: they are to go together again.
                run.wait_until_delivered(min(_DELIVERY_S, (run.ended_ns - run.started_ns) / 1e9 * _DELIVERY))
            with self.lock:
                self._running.discard(run)
                self._lent -= run.lent
                share = run.lane.share
                share.active -= 1
                share.spent_ns += run.ended_ns - run.started_ns - run.expected_ns
                run.lane.ended(run)
                if run.lane.can_begin:
                    self._enter(run.lane)

    def _take(self) -> Run | None:
        """Wait for the next run; None if the thread is to end."""
        with self._changed:
            while True:
                run = self._next()
                if run is not None:
                    if self._ready and not self._coming:
                        # More can begin, and nobody is on the way who would see it.
                        self._wake()
                    return run
                if self._closed or self._alive > self.threads + self._lent:
                    self._alive -= 1
                    self._ended.notify_all()
                    return None
                self._idle += 1
                self._changed.wait()
                self._coming -= 1

    def _next(self) -> Run | None:
        """The next run, by whose turn it is; None if nothing waits, or no thread may take it up now."""
        while self._ready and self.free > 0:
            lane = min(self._ready, key=_spent_ns)
            run = lane.begin()
            if not lane.can_begin:
                self.withdraw(lane)
            if run is not None:
                share = lane.share
                self._floor_ns = share.spent_ns
                share.spent_ns += run.expected_ns
                share.active += 1
                self._running.add(run)
                return run
        return None


def _spent_ns(lane: Lane) -> int:
    return lane.share.spent_ns
