"""One request on its way through one plugin: how often it called on, what came of it, and whose time it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, cast

import msgspec

from foretell.prediction import PredictResponse

if TYPE_CHECKING:
    from foretell.prediction import PredictRequest

__all__ = ["CLOSED", "NOTHING", "Call", "others_time"]

CLOSED: Final = 1 << 60
"""More calls on than any plugin may make: what it leaves running when it is done must not call on any more."""

NOTHING: Final = PredictResponse({})
"""What a call on gave that gave nothing."""


class Call(msgspec.Struct):
    """One request on its way through one plugin.

    Attributes:
        started: How often the plugin called on; `CLOSED` when it is done.
        inside: How many calls of others it waits for now; its own time stands still meanwhile.
        watched: Whether anybody needs to know when its own time stands still.
        response: What the last call on gave; `NOTHING` if it gave nothing.
        error: What the last call on raised.
        timer: Bounds the plugin's own time, once it waits.
        own_s: What is left of its own time when that stands still, seconds.
        entered_ns: When the plugin was called, if this call is timed, or when it first waited; else 0.
        inner_ns: How much of the time since then was not the plugin's own, ns.
        waiter: Resolved when no call is going on any more, if somebody waits for that.
    """

    started: int = 0
    inside: int = 0
    watched: bool = False
    response: PredictResponse = NOTHING
    error: BaseException | None = None
    timer: asyncio.Timeout | None = None
    own_s: float = 0.0
    entered_ns: int = 0
    inner_ns: int = 0
    waiter: asyncio.Future[None] | None = None

    def pause(self) -> int:
        """From now on the time is not the plugin's own; returns when that was, if this call is timed."""
        if self.timer is not None and not self.inside and not self.timer.expired():
            when = self.timer.when()
            if when is not None:
                self.own_s = max(0.0, when - asyncio.get_running_loop().time())
                self.timer.reschedule(None)
        return time.perf_counter_ns() if self.entered_ns else 0

    def resume(self, paused_ns: int) -> None:
        """From now on the time is the plugin's own again, if nothing else is inside."""
        if self.entered_ns:  # what began before anybody watched is what was first waited for
            self.inner_ns += time.perf_counter_ns() - (paused_ns or self.entered_ns)
        if not self.inside:
            self.start_timer()
            if self.waiter is not None and not self.waiter.done():
                self.waiter.set_result(None)

    def start_timer(self) -> None:
        """Let the plugin's own time run, if it is bounded."""
        if self.timer is not None and not self.timer.expired():
            self.timer.reschedule(asyncio.get_running_loop().time() + self.own_s)


@contextmanager
def others_time(request: PredictRequest) -> Generator[None]:
    """Within this block, what a plugin waits for is not its own time: another request's run, another model.

    Calling on needs no such block, nor does asking `Models`.

    Args:
        request: The request that the plugin was given.
    """
    call = cast("Call | None", request.call)
    if call is None:
        yield
        return
    paused_ns = call.pause()
    call.inside += 1
    try:
        yield
    finally:
        call.inside -= 1
        call.resume(paused_ns)
