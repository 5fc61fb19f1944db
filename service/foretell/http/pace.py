"""Tasks that predict in step: those that came in one turn of the event loop are all decoded, then all run, then all written.

It is what `cohort` does without tasks, for any ASGI server, and for the same reason: the code of each step, ONNX Runtime's
above all, stays in the processor's caches for the whole of them.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from foretell.http.answer import Answer
from foretell.http.cohort import MOST, MOST_BYTES
from foretell.http.shared_run import run_together

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from foretell.http.core import Core
    from foretell.http.going import Going
    from foretell.http.head import Head
    from foretell.http.routes import Route

__all__ = ["Pace"]

_RUN: Final = 0
_WRITE: Final = 1
_SEND: Final = 2

_PATIENCE_NS: Final = 1_000_000
"""How long the first of those who go together should wait for the runs of the others, ns."""

_BUSY_NS: Final = 8_000_000
"""Where all else in a turn of the event loop takes longer, all who wait go on in it: a few in each turn would starve, ns."""


class Pace:
    """The tasks that predict in step. Who has got further goes before who has just come.

    Args:
        core: What answers.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: tuple[deque[tuple[asyncio.Future[None], Going]], ...] = (deque(), deque(), deque())
        self._is_released = False
        self._together = 0
        self._most = MOST
        self._spent_ns = 0
        self._released_ns = 0

    async def predict(self, route: Route, head: Head, body: bytes) -> Answer | Awaitable[Answer]:
        """Answer a prediction; see `Core.predict`."""
        core = self._core
        going = core.begin(route, head, body)
        if going.outcome is not None or len(body) > MOST_BYTES:
            core.run(going)
            return core.end(going)
        await self._wait(_RUN, going)
        began_ns = time.perf_counter_ns()
        core.run(going)
        self._spent_ns += time.perf_counter_ns() - began_ns
        if self._keeps_pace(going):
            await self._wait(_WRITE, going)
        answer = core.end(going)
        if type(answer) is Answer and self._keeps_pace(going):
            try:
                await self._step(_SEND, going)
            except BaseException:  # nothing of it was sent
                core.count_as_gone(going)
                raise
        return answer

    def _keeps_pace(self, going: Going) -> bool:
        """Whether others take the next step too."""
        return self._together > 1 and going.outcome is None

    async def _wait(self, step: int, going: Going) -> None:
        """Take the next step with the others."""
        try:
            await self._step(step, going)
        except BaseException:  # its caller waits no longer
            self._core.abandon(going)
            raise

    def _step(self, step: int, going: Going) -> asyncio.Future[None]:
        """Done when all that go on in this turn of the event loop have got here, or as many as go together."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # those who waited on another went with it
            self._loop = loop
            self._is_released = False
            for waiting in self._waiting:
                waiting.clear()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting[step].append((future, going))
        if not self._is_released:
            self._is_released = True
            self._released_ns = time.perf_counter_ns()
            loop.call_soon(self._release, loop)
        return future

    def _release(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let those go on who have got furthest."""
        if loop is not self._loop:
            return
        now_ns = time.perf_counter_ns()
        is_busy = now_ns - self._released_ns - self._spent_ns > _BUSY_NS
        if self._spent_ns:
            self._adapt(self._spent_ns)
        self._spent_ns, self._released_ns = 0, now_ns
        step = max(step for step, waiting in enumerate(self._waiting) if waiting)
        waiting = self._waiting[step]
        self._together = len(waiting) if is_busy else min(len(waiting), self._most)
        group = [waiting.popleft() for _ in range(self._together)]
        group = [(future, going) for future, going in group if not future.done()]
        if step == _RUN and len(group) > 1:
            for first in range(0, len(group), MOST):
                run_together([going for _, going in group[first : first + MOST]])
            self._spent_ns = time.perf_counter_ns() - now_ns
        for future, _ in group:
            future.set_result(None)
        self._is_released = any(self._waiting)
        if self._is_released:  # behind those who were just woken
            loop.call_soon(self._release, loop)

    def _adapt(self, took_ns: int) -> None:
        """Let fewer run together if the last who did took long, more if they did not."""
        if took_ns > _PATIENCE_NS:
            self._most = max(1, self._together * _PATIENCE_NS // took_ns)
        else:
            self._most = min(MOST, self._most * 2)
