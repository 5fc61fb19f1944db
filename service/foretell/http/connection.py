"""uvicorn's HTTP protocol, with two things mended: what ends with a lost connection, and what a request's context begins with."""

from __future__ import annotations

from contextvars import Context, copy_context
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["Connection"]


class Connection(HttpToolsProtocol):
    """One connection.

    Of requests that came one behind the other before they were answered, uvicorn tells only the last that their client
    is gone. The one that is being answered would go on, and then write to what is closed, which is an error.

    And the next of them begins in the task of the one before, whose context variables it would see.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.running: Any = None
        self._context: Context = copy_context()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self.running = cycle
        self._context.copy().run(super()._start_asgi_task, cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        running = self.running
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
        super().connection_lost(exc)
