"""uvicorn as foretell runs it: its events in our log, and an orderly end."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
from typing import TYPE_CHECKING

import uvicorn

from foretell.http.lifespan import Lifespan
from foretell.http.listening import refusal

if TYPE_CHECKING:
    from types import FrameType

    from litestar import Litestar

    from foretell.logs import Logger
    from foretell.settings import ServerSettings

__all__ = ["run_server"]


def run_server(app: Litestar, sockets: list[socket.socket], settings: ServerSettings, log: Logger) -> bool:
    """Serve an application until the process is told to stop; requests that are going on are finished first.

    It takes over the signals of the process and what uvicorn writes to the standard library's log, so call it from
    the main thread of a process that does nothing else.

    Args:
        app: The application.
        sockets: Where to listen, bound; they are closed at the end.
        settings: How long to wait for requests at the end, and how the address is called.
        log: Where events go.

    Returns:
        Whether it served at all, or was told to stop before it did; if not, the log says why.

    Raises:
        PluginError: A plugin stops the start.
        ListenError: Somebody else has begun to listen there since the sockets were bound.
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
        server.run(sockets)
    except SystemExit:
        if server.lifespan.failure is not None:
            raise server.lifespan.failure from None
        if not server.lifespan.called_off:
            return False
        log.info("stopped")
        return True
    finally:
        for bound in sockets:
            bound.close()
    if server.refused is not None:
        raise refusal(server.refused, settings.host, settings.port) from server.refused
    if server.started:
        log.info("stopped")
    return server.started


class _Server(uvicorn.Server):
    lifespan: Lifespan

    def __init__(self, config: uvicorn.Config, log: Logger) -> None:
        config.load()
        config.lifespan_class = Lifespan
        super().__init__(config)
        self._log = log
        self._drain_s = config.timeout_graceful_shutdown
        self.servers = []
        self.refused: OSError | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say where."""
        try:
            await super().startup(sockets=sockets)
            # uvloop does not raise what `listen` says.
            if not all(map(_listens, sockets or [])):
                self.refused = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        except OSError as error:
            self.refused = error
        if self.refused is not None:
            # Two sockets can be bound to a port as long as none listens, and another server was first to.
            self.started = False
            self.should_exit = True
            for server in self.servers:
                server.close()
            await self.lifespan.shutdown()
        for server in self.servers if self.started else []:
            for listening in server.sockets:
                host, port = listening.getsockname()[:2]
                shown = f"[{host}]" if ":" in host else host
                self._log.info(
                    "serving", url=f"http://{shown}:{port}", documentation=f"http://{shown}:{port}/schema"
                )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal."""
        super().handle_exit(sig, frame)
        if hasattr(self, "lifespan"):
            self.lifespan.call_off()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, and say so first: the last requests may take a while."""
        self._log.info("stopping", waits_at_most_s=self._drain_s)
        await super().shutdown(sockets=sockets)


def _listens(sock: socket.socket) -> bool:
    return sock.fileno() >= 0 and bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


class _Forward(logging.Handler):
    """Passes records of the standard library's log on."""

    def __init__(self, log: Logger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        write = self._log.error if record.levelno >= logging.ERROR else self._log.warning
        write(record.getMessage(), logger=record.name, exc_info=record.exc_info or None)
