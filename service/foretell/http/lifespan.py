"""The start and the end of the application under uvicorn: what fails is told in one line, and a signal ends the start."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, cast

from uvicorn.lifespan.on import LifespanOn

from foretell.errors import ForetellError

if TYPE_CHECKING:
    from uvicorn.config import Config

__all__ = ["Lifespan"]


class Lifespan(LifespanOn):
    """The lifespan of an application; uvicorn's own waits for the start however long it takes.

    Args:
        config: What uvicorn is configured with.

    Attributes:
        failure: Which error of foretell's stopped the start; None if none did.
        called_off: Whether the start was called off.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.failure: ForetellError | None = None
        self.called_off = False
        self._loop = asyncio.get_running_loop()
        self._starting: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Start the application, and wait for it."""
        self._starting = asyncio.create_task(self.main())
        if self.called_off:
            self._starting.cancel()
        await self.receive_queue.put({"type": "lifespan.startup"})
        await self.startup_event.wait()
        if self.startup_failed or self.error_occurred:
            self.should_exit = True
            if self.failure is None and not self.called_off:
                self.logger.error("the application failed to start")

    async def send(self, message: Any) -> None:
        """Hear from the application how its start or its end went."""
        if message["type"] == "lifespan.startup.failed":
            self.failure = _of_ours(sys.exception())
            if self.failure is not None or self.called_off:
                message = {**message, "message": ""}  # the whole way through everybody's code
        await super().send(message)

    def call_off(self) -> None:
        """End the start, if it is still going on; may be called from a signal handler."""
        if not self.startup_event.is_set():
            self.called_off = True
            if self._starting is not None:
                self._loop.call_soon_threadsafe(self._starting.cancel)


def _of_ours(error: BaseException | None) -> ForetellError | None:
    """The error of foretell's in an exception that the application was stopped by: Litestar puts it into groups."""
    if isinstance(error, BaseExceptionGroup):
        inside = cast("BaseExceptionGroup[BaseException]", error).exceptions
        return next((found for each in inside if (found := _of_ours(each)) is not None), None)
    return error if isinstance(error, ForetellError) else None
