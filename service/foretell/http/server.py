"""uvicorn as foretell runs it: its events in our log, and an end in good order."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import uvicorn

from foretell.errors import ListenError, NotReadyError
from foretell.http.acceptor import Acceptor
from foretell.http.application import Application
from foretell.http.lifecycle import Lifecycle
from foretell.http.lifespan import Lifespan
from foretell.http.listening import announce, refusal
from foretell.http.turning_away import turn_away
from foretell.http.websockets import websocket_protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from litestar import Litestar

    from foretell.logs import Logger
    from foretell.settings import ServerSettings

__all__ = ["Server", "run_server"]

_FORCED: Final = 128 + signal.SIGINT
"""The exit status of a server that was told twice."""

_GIVE_WAY_S: Final = 0.0005
"""After so long at most a thread that computes gives way to the event loop, seconds. Python's own five milliseconds, some
times over, are what the slowest requests wait for an exporter of spans."""

_KEEP_ALIVE_S: Final = 75
"""How long an idle connection is kept, seconds: longer than load balancers keep theirs (60 mostly), so that it is they
who close it, and no request meets a connection that is just being closed."""

_CLOSING_S: Final = 0.25
"""How long what is given up at the end may take to be gone, seconds; what is left then is cancelled."""

_TICK_S: Final = 0.01
_QUIET_S: Final = 0.25
_ARRIVAL_S: Final = 0.25
"""How long after the last connection was made its first request may still be on the wire, seconds."""


def run_server(
    app: Litestar,
    sockets: list[socket.socket],
    settings: ServerSettings,
    log: Logger,
    *,
    lifecycle: Lifecycle | None = None,
) -> bool:
    """Serve an application until the process is told to stop; requests that are going on are finished first.

    It takes over the signals of the process and what uvicorn writes to the standard library's log, so call it from
    the main thread of a process that does nothing else.

    Args:
        app: The application.
        sockets: Where to listen, bound; they are closed at the end.
        settings: How long to wait for requests at the end, and how the address is called.
        log: Where events go.
        lifecycle: The one that the application was made with.

    Returns:
        Whether it served at all, or was told to stop before it did; if not, the log says why.

    Raises:
        PluginError: A plugin stops the start.
        ListenError: Somebody else has begun to listen there since the sockets were bound.
    """
    served = Server(app, settings, log, lifecycle or Lifecycle()).serve_until_told(sockets)
    if served:
        log.info("stopped")
    return served


class Server(uvicorn.Server):
    """uvicorn with one application.

    It ends so that nothing is lost that a client has sent: first readiness is taken back and answers ask to close
    their connections, while new ones are still accepted; then nobody can connect any more; then requests that are
    going on are finished.

    Args:
        app: The application.
        settings: How long to wait for requests at the end, and how the address is called.
        log: Where events go.
        lifecycle: The one that the application was made with.

    Attributes:
        log: Where events go.
        lifecycle: The way of the application.
        refused: Why it does not listen; None if it does.
        for_good: Whether nobody will listen in its place when it ends.
    """

    refused: OSError | NotReadyError | None
    lifespan: Lifespan

    def __init__(self, app: Litestar, settings: ServerSettings, log: Logger, lifecycle: Lifecycle) -> None:
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            lifespan="on",
            ws=cast("Any", websocket_protocol()),  # its type does not say that it takes these too
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
        )
        config.load()
        config.lifespan_class = Lifespan
        super().__init__(config)
        self.log = log
        self.lifecycle = lifecycle
        self.refused = None
        self.for_good = True
        self.servers = []
        self._acceptors: list[Acceptor] = []
        self._settings = settings
        self._make_protocol = cast("Callable[..., asyncio.Protocol]", config.http_protocol_class)
        if self._make_protocol.__name__ == "HttpToolsProtocol":  # httptools is not everywhere
            from foretell.http.connection import Connection

            self._make_protocol = Connection
            if settings.accelerated and isinstance(app, Application):
                from foretell.http.accelerated import AcceleratedProtocol
                from foretell.http.hot_path import HotPath

                self._make_protocol = partial(AcceleratedProtocol, HotPath(app, lifecycle))

    def serve_until_told(self, sockets: list[socket.socket]) -> bool:
        """Serve until a signal comes; see `run_server`.

        Raises:
            ListenError: Somebody else listens there.
            NotReadyError: It must not serve as it is.
            PluginError: A plugin stops the start.
        """
        uvicorn_log = logging.getLogger("uvicorn")
        uvicorn_log.handlers = [_Forward(self.log)]
        uvicorn_log.setLevel(logging.WARNING)
        uvicorn_log.propagate = False
        # When it has ended in good order, uvicorn raises the signal again that ended it. It was obeyed: exit with 0.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda _number, _frame: None)
        if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # under nohup it is ignored
            signal.signal(signal.SIGHUP, lambda _number, _frame: self.leave())
        interval_s = sys.getswitchinterval()
        sys.setswitchinterval(min(_GIVE_WAY_S, interval_s))
        try:
            self.run(sockets)
        except SystemExit:
            if self.lifespan.failure is not None:
                raise self.lifespan.failure from None
            return self.lifespan.called_off
        finally:
            sys.setswitchinterval(interval_s)
            for bound in sockets:
                bound.close()
        if isinstance(self.refused, OSError) and not isinstance(self.refused, ListenError):
            raise refusal(self.refused, self._settings.host, self._settings.port) from self.refused
        if self.refused is not None:
            raise self.refused
        return self.started

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal; while the application starts, that ends it."""
        super().handle_exit(sig, frame)
        if hasattr(self, "lifespan"):
            self.lifespan.call_off()

    def leave(self) -> None:
        """Begin to end."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Load, then listen, and say where."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(1)
        try:
            await self.check_readiness()
            if self.lifecycle.beside is not None:
                await self.lifecycle.beside.open()
            await self.accept_from(sockets or [])
        except (OSError, NotReadyError) as error:
            self.refused = error
            self.should_exit = True
            self.stop_accepting()
            if self.lifecycle.beside is not None:
                await self.lifecycle.beside.close(0)
            await self.lifespan.shutdown()
        else:
            self.started = True
            self.told_to_serve(sockets or [])

    async def accept_from(self, sockets: list[socket.socket]) -> list[Acceptor]:
        """Accept connections from some sockets.

        Raises:
            OSError: One of them cannot listen. Two can be bound to a port as long as none listens, and another server
                was first to.
        """
        opened: list[Acceptor] = []
        for bound in sockets:
            acceptor = Acceptor(bound, self._protocol)
            await acceptor.open(self.config.backlog)
            self._acceptors.append(acceptor)
            opened.append(acceptor)
        # uvloop does not raise what `listen` says.
        if not all(map(_listens, sockets)):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        return opened

    def stop_accepting(self, acceptors: Iterable[Acceptor] | None = None) -> None:
        """Accept no more connections; those that wait are left to who else has the socket.

        Args:
            acceptors: What `accept_from` gave; None for all.
        """
        closing = list(self._acceptors if acceptors is None else acceptors)
        for acceptor in closing:
            acceptor.close()
        self._acceptors = [each for each in self._acceptors if each not in closing]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: see the class."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._settings.drain_s
        self.told_to_stop()
        self.lifecycle.close(leaving=self.for_good)
        for connection in self._connections():
            cycle = _cycle(connection)
            if cycle is not None and not cycle.response_complete:
                cycle.keep_alive = False
        known = self._connections()
        await self._linger(min(self._settings.linger_s, self._settings.drain_s))
        beside = self.lifecycle.beside
        closing = None if beside is None else asyncio.create_task(beside.close(max(end - loop.time(), 0)))
        if self.for_good:
            for acceptor in self._acceptors:
                turn_away(acceptor.bound)
        else:
            self.stop_accepting()
        await self._wait(lambda: self._is_coming(known), _ARRIVAL_S)
        self.stop_accepting()
        if closing is not None:
            await self._wait(lambda: not closing.done(), max(end - loop.time(), 0) + _CLOSING_S)
        # uvicorn hands it to `asyncio.wait_for`, which takes any number.
        self.config.timeout_graceful_shutdown = cast("int", max(end - loop.time(), 0) + _CLOSING_S)
        giving_up = loop.call_at(end, self._give_up_unsent)
        await super().shutdown(sockets=sockets)
        giving_up.cancel()
        if self.force_exit:
            self.log.warning("stopped at once")
            sys.stderr.flush()
            os._exit(_FORCED)  # a run that goes on in a thread would hold up any other way out

    async def check_readiness(self) -> None:
        """What must be before it listens; nothing here.

        Raises:
            NotReadyError: It must not serve.
        """

    def told_to_serve(self, sockets: list[socket.socket]) -> None:
        """It listens: say so."""
        beside = self.lifecycle.beside
        announce(self.log, sockets, **({} if beside is None else beside.fields))

    def told_to_stop(self) -> None:
        """It stops: say so first, since the last requests may take a while."""
        self.log.info("stopping", waits_at_most_s=self._settings.drain_s)

    def _give_up_unsent(self) -> None:
        """Close the connections whose requests have not come whole: there is nothing in them to answer."""
        unsent = [
            connection
            for connection in self._connections()
            if (cycle := _cycle(connection)) is not None and cycle.more_body and not cycle.response_complete
        ]
        for connection in unsent:
            connection.transport.close()
        if unsent:
            reason = "their clients had not sent them whole when server.drain_s was over"
            self.log.warning("requests given up", count=len(unsent), reason=reason)

    def _protocol(self) -> asyncio.Protocol:
        return self._make_protocol(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    def _connections(self) -> set[Any]:
        return set(self.server_state.connections)

    def _is_coming(self, known: set[Any]) -> bool:
        """Whether a connection or a request is on its way."""
        return any(acceptor.waits for acceptor in self._acceptors) or any(
            _is_expected(connection, known) for connection in self._connections()
        )

    async def _linger(self, most_s: float) -> None:
        """Go on as before, but not when nobody has been connected for a moment.

        Connections to what is beside cannot be seen: who has ever asked there counts as connected.
        """
        loop = asyncio.get_running_loop()
        used = self.lifecycle.beside is not None and self.lifecycle.beside.used
        end = loop.time() + most_s
        quiet_at = loop.time() + _QUIET_S
        while loop.time() < min(end, quiet_at) and not self.force_exit:
            if self.server_state.connections or used:
                quiet_at = loop.time() + _QUIET_S
            await asyncio.sleep(_TICK_S)

    async def _wait(self, condition: Callable[[], bool], most_s: float) -> None:
        """Wait while something holds, but not for long, and not when told twice."""
        loop = asyncio.get_running_loop()
        end = loop.time() + most_s
        while condition() and loop.time() < end and not self.force_exit:  # noqa: ASYNC110 - uvicorn and the kernel set no event
            await asyncio.sleep(_TICK_S)
        for _ in range(2):  # what has come meanwhile is read
            await asyncio.sleep(0)


def _is_expected(connection: Any, known: set[Any]) -> bool:
    """Whether a request is on its way: the first of a new connection, or one whose head has come in part."""
    if _cycle(connection) is None and connection not in known:
        return True
    scope = getattr(connection, "scope", None)
    return scope is not None and "method" not in scope


def _cycle(connection: Any) -> Any:
    """The request that a connection is at, or was at last; None if there was none, and for a WebSocket."""
    return getattr(connection, "cycle", None)


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
