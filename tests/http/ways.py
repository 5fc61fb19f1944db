"""An application behind uvicorn's HTTP protocol, as it is mended, and behind the accelerated one, on transports that keep what is written."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from foretell.app import create_app
from foretell.http.accelerated import AcceleratedProtocol
from foretell.http.application import Application
from foretell.http.connection import Connection
from foretell.http.hot_path import HotPath
from foretell.http.lifecycle import Lifecycle
from foretell.settings import Settings

__all__ = ["Seen", "Transport", "Way", "open_ways", "settle"]

_ID: Final = re.compile(rb"[0-9a-f]{16}-[0-9a-f]+")


class Transport(asyncio.Transport):
    """What a connection is to its protocol; it keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = bytearray()
        self.closing = False
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.closing:
            self.written += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Seen(NamedTuple):
    """What can be seen of a connection from outside, and by whoever ends the server."""

    written: bytes
    is_closed: bool
    reads: bool
    is_idle: bool
    is_at_a_request: bool
    head_is_in_part: bool
    requests: int


class Way:
    """An application, and connections to it."""

    def __init__(
        self,
        app: Application,
        make: Callable[..., HttpToolsProtocol],
        lifecycle: Lifecycle,
        *,
        keep_alive_s: float,
    ) -> None:
        self.app = app
        self.make = make
        self.lifecycle = lifecycle
        self.is_alone = True
        self.accelerated = make is not Connection
        self._config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, ws="none")
        self._config.timeout_keep_alive = cast("int", keep_alive_s)
        self._config.load()

    def connect(self, *, alone: bool | None = None) -> tuple[Any, Transport, ServerState]:
        """A new connection: its protocol, its transport, and the state of its server, which may have another one."""
        state = ServerState()
        state.default_headers = [(b"date", b"Fri, 27 Nov 2026 12:00:00 GMT")]
        protocol = self.make(config=self._config, server_state=state, app_state={})
        transport = Transport()
        protocol.connection_made(transport)
        if not (self.is_alone if alone is None else alone):
            state.connections.add(self.make(config=self._config, server_state=state, app_state={}))
        return protocol, transport, state

    async def feed(self, pieces: Sequence[bytes], *, alone: bool = True) -> list[Seen]:
        """What is seen after each piece of a stream, on the only connection or on one of several."""
        protocol, transport, state = self.connect(alone=alone)
        seen: list[Seen] = []
        for piece in pieces:
            if transport.closing:  # nothing is read of a connection that is closed
                break
            protocol.data_received(piece)
            await settle(state)
            seen.append(_look(protocol, transport, state))
        protocol.connection_lost(None)
        await settle(state)
        return seen


async def settle(state: ServerState) -> None:
    """Let everything that goes on come to an end, or to where it waits for the rest of its request."""
    calm = 0
    while calm < 3:
        await asyncio.sleep(0)
        calm = 0 if any(map(_moves, state.tasks)) else calm + 1


def _moves(task: asyncio.Task[None]) -> bool:
    return not task.done() and "receive" not in {frame.f_code.co_name for frame in _stack(task)}


def _stack(task: asyncio.Task[None]) -> Iterator[Any]:
    coroutine: Any = task.get_coro()
    while coroutine is not None and getattr(coroutine, "cr_frame", None) is not None:
        yield coroutine.cr_frame
        coroutine = coroutine.cr_await


def _look(protocol: Any, transport: Transport, state: ServerState) -> Seen:
    cycle = protocol.cycle
    idle_by_us = getattr(protocol, "_idle_since", None) is not None
    scope = protocol.scope
    return Seen(
        _ID.sub(b"ID", bytes(transport.written)),
        transport.closing,
        transport.reading,
        idle_by_us or protocol.timeout_keep_alive_task is not None,
        cycle is not None and not cycle.response_complete,
        scope is not None and "method" not in scope,
        state.total_requests,
    )


async def open_ways(
    stack: AsyncExitStack, store: Path, plugins: Path, *, keep_alive_s: float = 75
) -> tuple[Way, Way]:
    """Serve a store and every plugin of a folder in both ways, the ordinary one first."""
    settings = msgspec.convert(
        {
            "store": {"path": str(store), "follow": "off"},
            "plugins": {"enabled": _names(plugins), "folder": str(plugins)},
            "log": {"level": "error"},
            "limits": {"max_body_bytes": 2000},
        },
        Settings,
    )
    ways: list[Way] = []
    for accelerated in (False, True):
        lifecycle = Lifecycle()
        app = create_app(settings, lifecycle=lifecycle)
        assert isinstance(app, Application)
        await stack.enter_async_context(app.lifespan())
        make: Callable[..., HttpToolsProtocol] = Connection
        if accelerated:
            make = partial(AcceleratedProtocol, HotPath(app, lifecycle))
        ways.append(Way(app, make, lifecycle, keep_alive_s=keep_alive_s))
    return ways[0], ways[1]


def _names(plugins: Path) -> list[str]:
    return [path.stem for path in plugins.glob("*.py")]
