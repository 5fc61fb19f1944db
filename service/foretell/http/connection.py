"""uvicorn's HTTP protocol, with one thing mended: a connection that is lost ends the request that is being answered."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["Connection"]


class Connection(HttpToolsProtocol):
    """One connection.

    Of requests that came one behind the other before they were answered, uvicorn tells only the last that their client
    is gone. The one that is being answered would go on, and then write to what is closed, which is an error.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.running: Any = None

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self.running = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        running = self.running
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
        super().connection_lost(exc)
