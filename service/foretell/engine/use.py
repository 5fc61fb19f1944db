"""Who uses a loaded version now, and when it was asked last."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Use"]


class Use:
    """Counts the requests that hold something that is served, so that it is not closed under them.

    A request enters in the same step of the event loop in which it looks up what serves it.

    Attributes:
        going_on: How many requests hold it.
        asked_ns: When it was asked last, by the clock of `RequestRecord`, ns.
    """

    __slots__ = ("_on_idle", "asked_ns", "going_on")

    def __init__(self) -> None:
        self.going_on = 0
        self.asked_ns = 0
        self._on_idle: Callable[[], None] | None = None

    def enter(self, now_ns: int) -> None:
        """Begin a request."""
        self.going_on += 1
        self.asked_ns = now_ns

    def leave(self) -> None:
        """End one."""
        self.going_on -= 1
        if self._on_idle is not None and self.going_on == 0:
            call, self._on_idle = self._on_idle, None
            call()

    def when_idle(self, call: Callable[[], None]) -> None:
        """Have something called once when nobody uses it; at once if nobody does."""
        if self.going_on == 0:
            call()
        else:
            self._on_idle = call
