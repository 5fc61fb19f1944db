"""Tasks that predict in step: those that came in one turn of the event loop are all decoded, then all run, then all written.

It is what `cohort` does without tasks, for any ASGI server, and for the same reason: the code of each step, ONNX Runtime's
above all, stays in the processor's caches for the whole of them.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from foretell.http.answer import Answer
from foretell.http.cohort import MOST_BYTES

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from foretell.http.core import Core
    from foretell.http.going import Going
    from foretell.http.head import Head
    from foretell.http.routes import Route

__all__ = ["Pace"]

_PATIENCE_NS: Final = 1_000_000
"""Who has taken a step keeps pace with the others only if it is no longer than this ago that they all could, ns."""


class Pace:
    """The tasks that predict in step.

    Args:
        core: What answers.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._waiting: list[asyncio.Future[None]] = []
        self._released_ns = 0
        self._together = 0

    async def predict(self, route: Route, head: Head, body: bytes) -> Answer | Awaitable[Answer]:
        """Answer a prediction; see `Core.predict`."""
        core = self._core
        going = core.begin(route, head, body)
        if going.outcome is not None or len(body) > MOST_BYTES:
            core.run(going)
            return core.end(going)
        loop = asyncio.get_running_loop()
        await self._wait(going, loop)
        core.run(going)
        if self._keeps_pace(going):
            await self._wait(going, loop)
        answer = core.end(going)
        if type(answer) is Answer and self._keeps_pace(going):
            try:
                await self._step(loop)
            except BaseException:
                core.observe(answer.record)
                raise
        return answer

    async def _wait(self, going: Going, loop: asyncio.AbstractEventLoop) -> None:
        """Take the next step with the others."""
        try:
            await self._step(loop)
        except BaseException:  # its caller waits no longer
            self._core.abandon(going)
            raise

    def _keeps_pace(self, going: Going) -> bool:
        """Whether it waits for others, which take the next step too, and soon."""
        return (
            going.outcome is None
            and self._together > 1
            and time.perf_counter_ns() - self._released_ns < _PATIENCE_NS
        )

    def _step(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Done when all that go on in this turn of the event loop have got here."""
        if not self._waiting:
            loop.call_soon(self._release)
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append(future)
        return future

    def _release(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._together = len(waiting)
        self._released_ns = time.perf_counter_ns()
        for future in waiting:
            if not future.done():
                future.set_result(None)
