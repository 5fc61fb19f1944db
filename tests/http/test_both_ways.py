"""uvicorn's own HTTP protocol and the accelerated one, on the same streams of bytes: nobody can tell them apart."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pytest
import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from foretell.app import create_app
from foretell.http.accelerated import AcceleratedProtocol
from foretell.http.application import Application
from foretell.http.hot_path import HotPath
from foretell.http.lifecycle import Lifecycle
from foretell.settings import Settings
from tests.models import linear_model_bytes, write_version

STREAMS: Final = int(os.environ.get("FORETELL_TEST_STREAMS", "2000"))
"""How many there are; 10,000 were seen to be answered alike."""

ROUND: Final = 250
"""After so many streams everything is made anew, so that nothing is known."""

WAITS: Final = """
import asyncio
from foretell.plugin import Plugin, Stage

class Waits(Plugin):
    stage = Stage.VALIDATE

    def wrap_predict(self, call_next, model):
        async def predict(request):
            if request.record.header(b"x-wait") is not None:
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            return await call_next(request)

        return predict if model.name == "waits" else call_next
"""
"""A plugin because of which one model's answers are never there at once."""

_ID: Final = re.compile(rb"[0-9a-f]{16}-[0-9a-f]+")


class _Transport(asyncio.Transport):
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


class _Seen(NamedTuple):
    """What can be seen of a connection from outside, and by whoever ends the server."""

    written: bytes
    is_closed: bool
    reads: bool
    is_idle: bool
    is_at_a_request: bool
    head_is_in_part: bool
    requests: int


class _Way:
    """An application, and connections to it."""

    def __init__(self, app: Any, make: Callable[..., HttpToolsProtocol]) -> None:
        self.app = app
        self._make = make
        self._config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, ws="none")
        self._config.load()

    async def feed(self, pieces: Sequence[bytes]) -> list[_Seen]:
        """What is seen after each piece of a stream."""
        state = ServerState()
        state.default_headers = [(b"date", b"Fri, 27 Nov 2026 12:00:00 GMT")]
        protocol = self._make(config=self._config, server_state=state, app_state={})
        transport = _Transport()
        protocol.connection_made(transport)
        seen: list[_Seen] = []
        for piece in pieces:
            if transport.closing:  # nothing is read of a connection that is closed
                break
            protocol.data_received(piece)
            await _settle(state)
            seen.append(_look(protocol, transport, state))
        protocol.connection_lost(None)
        await _settle(state)
        return seen


async def _settle(state: ServerState) -> None:
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


def _look(protocol: Any, transport: _Transport, state: ServerState) -> _Seen:
    cycle = protocol.cycle
    idle_by_us = getattr(protocol, "_idle_since", None) is not None
    scope = protocol.scope
    return _Seen(
        _ID.sub(b"ID", bytes(transport.written)),
        transport.closing,
        transport.reading,
        idle_by_us or protocol.timeout_keep_alive_task is not None,
        cycle is not None and not cycle.response_complete,
        scope is not None and "method" not in scope,
        state.total_requests,
    )


# ------------------------------------------------------------------ streams

_BODIES: Final = (
    b'{"instances": [[1, 2]]}',
    b'{"instances": [[3.5, -2], [0, 1e3]]}',
    b'{"instances": [[1, 2, 3]]}',
    b'{"instances": [[1, "x"]]}',
    b'{"instances"',
    b"",
    b'{"inputs": {"x": [[1, 2]]}}',
    b'{"instances": [[1, 2]]}' + b" " * 3000,
)
_TARGETS: Final = (
    *[b"/v1/models/m:predict"] * 8,
    *[b"/v1/models/waits:predict"] * 3,
    b"/v1/models/m/versions/1:predict",
    b"/v1/models/none:predict",
    b"/v2/models/m/infer",
    b"/v1/models/m:predict?a=b",
    b"/v1/models/%6d:predict",
    b"http://localhost/v1/models/m:predict",
    b"//v1/models/m:predict",
    b"/v1/models/m:predict/",
    b"/v1/models/m:predict#x",
    b"/v1/models",
    b"/nothing",
    b"*",
)
_HEADERS: Final = (
    b"Content-Type: application/json",
    b"content-type: text/plain",
    b"X-Request-ID: one",
    b"X-Request-ID: \xff\x01",
    b"X-Wait: yes",
    b"X-Request-Timeout: 5",
    b"X-Request-Timeout: never",
    b"Connection: keep-alive",
    b"Connection: close",
    b"Connection: Upgrade, close",
    b"Upgrade: h2c",
    b"Connection: upgrade\r\nUpgrade: websocket",
    b"Expect: 100-continue",
    b"Expect: something",
    b"Accept-Encoding: gzip",
    b"Content-Encoding: identity",
    b"Content-Encoding: gzip",
    b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    b"Empty:",
    b"Folded: a\r\n b",
    b"Host: elsewhere",
)
_HOSTS: Final = (*[b"Host: localhost:8000"] * 8, b"Host: b\xe4d", b"Host: a/b", b"")


def _request(choose: random.Random) -> bytes:
    if choose.random() < 0.6:
        return _plain_request(choose)
    body = choose.choice(_BODIES)
    target = choose.choice(_TARGETS)
    method = choose.choice([b"POST"] * 12 + [b"GET", b"HEAD", b"PUT", b"OPTIONS", b"BREW"])
    version = choose.choice([b"HTTP/1.1"] * 14 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.2"])
    headers = [choose.choice(_HOSTS)]
    if choose.random() < 0.8:
        headers.append(_HEADERS[0])
    if choose.random() < 0.3:
        headers += choose.sample(_HEADERS, choose.randint(1, 3))
    framing = choose.random()
    if framing < 0.84:
        length = (
            len(body) if choose.random() < 0.95 else choose.choice([0, len(body) + 7, max(len(body) - 3, 0)])
        )
        headers.append(b"Content-Length: %d" % length)
        if choose.random() < 0.02:
            headers.append(
                choose.choice([b"Content-Length: 9", b"Content-Length: x", b"Transfer-Encoding: chunked"])
            )
    elif framing < 0.92:
        headers.append(b"Transfer-Encoding: chunked")
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    choose.shuffle(headers)
    lines = [b" ".join((method, target, version)), *filter(None, headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _plain_request(choose: random.Random) -> bytes:
    """What most clients send."""
    target = choose.choice(_TARGETS[:11])
    body = choose.choice(_BODIES[:3])
    head = b"POST %b HTTP/1.1\r\nHost: localhost:8000\r\nContent-Type: application/json\r\n" % target
    if choose.random() < 0.15:
        head += choose.choice([b"X-Request-ID: mine\r\n", b"X-Wait: yes\r\n", b"Expect: 100-continue\r\n"])
    if choose.random() < 0.05:
        head = head.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Connection: keep-alive\r\n"
    return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


def _stream(choose: random.Random) -> list[bytes]:
    """Some requests, mostly whole and often the same again; now and then damaged, and cut anywhere."""
    asked = [_request(choose) for _ in range(choose.randint(1, 2))]
    requests = [choose.choice(asked) for _ in range(choose.randint(1, 5))]
    pieces = list(requests)
    style = choose.random()
    if style < 0.5:
        pieces = requests
    elif style < 0.65:
        pieces = [b"".join(requests)]
    else:
        whole = b"".join(requests)
        cuts = sorted(choose.randint(0, len(whole)) for _ in range(choose.randint(1, 4)))
        pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    if choose.random() < 0.25:
        at = choose.randrange(len(pieces))
        pieces[at] = _damaged(pieces[at], choose)
    if choose.random() < 0.1:
        pieces.insert(
            choose.randint(0, len(pieces)), choose.choice([b"\r\n", b"\n", b"\0", b"x", b"\r\n\r\n", b"GET "])
        )
    return [piece for piece in pieces if piece]


def _damaged(piece: bytes, choose: random.Random) -> bytes:
    if not piece:
        return piece
    damaged = bytearray(piece)
    at = choose.randrange(len(damaged))
    match choose.randrange(4):
        case 0:
            damaged[at] = choose.randrange(256)
        case 1:
            del damaged[at : at + choose.randint(1, 4)]
        case 2:
            damaged[at:at] = choose.choice(
                [b"\r\n", b"\0", b" ", b":", b"\xff", b"\r", b"\n", b"Content-Length: 3\r\n"]
            )
        case _:
            del damaged[at:]
    return bytes(damaged)


# ------------------------------------------------------------------ the comparison


async def _ways(stack: AsyncExitStack, store: Path, plugins: Path) -> tuple[_Way, _Way]:
    settings = msgspec.convert(
        {
            "store": {"path": str(store), "follow": "off"},
            "plugins": {"enabled": ["waits"], "folder": str(plugins)},
            "log": {"level": "error"},
            "limits": {"max_body_bytes": 2000},
        },
        Settings,
    )
    ways: list[_Way] = []
    for accelerated in (False, True):
        lifecycle = Lifecycle()
        app = create_app(settings, lifecycle=lifecycle)
        assert isinstance(app, Application)
        await stack.enter_async_context(app.lifespan())
        make: Callable[..., HttpToolsProtocol] = HttpToolsProtocol
        if accelerated:
            make = _maker(HotPath(app, lifecycle))
        ways.append(_Way(app, make))
    return ways[0], ways[1]


def _maker(hot_path: HotPath) -> Callable[..., HttpToolsProtocol]:
    def make(**arguments: Any) -> HttpToolsProtocol:
        return AcceleratedProtocol(hot_path, **arguments)

    return make


@pytest.fixture
def served(store: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A store with two models, and a folder with a plugin."""
    for name in ("m", "waits"):
        write_version(store, name, 1, linear_model_bytes(weights=[1.0, 2.0]))
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "waits.py").write_text(WAITS)
    return store, plugins


@pytest.mark.parametrize("seed", range(0, STREAMS, STREAMS // 4))
def test_random_streams_are_answered_alike(
    seed: int, served: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "uvicorn.error")

    async def main() -> None:
        short = taken = 0
        for begin in range(seed, seed + STREAMS // 4, ROUND):
            async with AsyncExitStack() as stack:
                ordinary, accelerated = await _ways(stack, *served)
                counted = _count(accelerated)
                for number in range(begin, begin + ROUND):
                    pieces = _stream(random.Random(number))
                    one, other = await ordinary.feed(pieces), await accelerated.feed(pieces)
                    assert one == other, (number, pieces)
                for way in (ordinary, accelerated):
                    assert way.app.adapter.core.in_flight == 0
                short += counted["short"]
                taken += counted["answered"]
        assert taken > STREAMS // 8  # the short way was gone often
        assert short > STREAMS // 40  # and without the parser, too

    uvloop.run(main())


def _count(way: _Way) -> dict[str, int]:
    """Count how often the short way is gone, and how often heads were known."""
    counted = {"short": 0, "answered": 0}
    make = way._make

    def making(**arguments: Any) -> HttpToolsProtocol:
        protocol: Any = make(**arguments)
        predict, remember = protocol._predict, protocol._remember
        parsed = [False]

        def remembering(known: Any) -> None:
            parsed[0] = True
            remember(known)

        def predicting(*arguments: Any) -> None:
            counted["answered"] += 1
            counted["short"] += not parsed[0]
            parsed[0] = False
            predict(*arguments)

        protocol._predict, protocol._remember = predicting, remembering
        return protocol

    way._make = making
    return counted
