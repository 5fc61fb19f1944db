"""uvicorn as foretell runs it: its events in our log, and an orderly end."""

from __future__ import annotations

import logging
import signal
import socket
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from litestar import Litestar

    from foretell.logs import Logger
    from foretell.settings import ServerSettings

__all__ = ["run_server"]


def run_server(app: Litestar, settings: ServerSettings, log: Logger) -> bool:
    """Serve an application until the process is told to stop; requests that are going on are finished first.

    It takes over the signals of the process and what uvicorn writes to the standard library's log, so call it from
    the main thread of a process that does nothing else.

    Args:
        app: The application.
        settings: Where to listen, and how long to wait for requests at the end.
        log: Where events go.

    Returns:
        Whether it served at all; if not, the log says why.
    """
    uvicorn_log = logging.getLogger("uvicorn")
    uvicorn_log.handlers = [_Forward(log)]
    uvicorn_log.setLevel(logging.WARNING)
    uvicorn_log.propagate = False
    server = _Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=settings.drain_s,
        ),
        log,
    )
    # When it has ended in good order, uvicorn raises the signal again that ended it. It was obeyed: exit with 0.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
    try:
        server.run()
    except SystemExit:
        return False
    return server.started


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, log: Logger) -> None:
        super().__init__(config)
        self._log = log

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say where."""
        await super().startup(sockets=sockets)
        for server in self.servers if self.started else []:
            for listening in server.sockets:
                host, port = listening.getsockname()[:2]
                shown = f"[{host}]" if ":" in host else host
                self._log.info(
                    "serving", url=f"http://{shown}:{port}", documentation=f"http://{shown}:{port}/schema"
                )


class _Forward(logging.Handler):
    """Passes records of the standard library's log on."""

    def __init__(self, log: Logger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        write = self._log.error if record.levelno >= logging.ERROR else self._log.warning
        write(record.getMessage(), logger=record.name, exc_info=record.exc_info or None)
