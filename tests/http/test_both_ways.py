"""uvicorn's own HTTP protocol and the accelerated one, on the same streams of bytes: nobody can tell them apart."""

from __future__ import annotations

import logging
import os
import random
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest
import uvloop

from tests.http.ways import Way, open_ways
from tests.models import linear_model_bytes, write_version

STREAMS: Final = int(os.environ.get("FORETELL_TEST_STREAMS", "10000"))
"""How many there are."""

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
                ordinary, accelerated = await open_ways(stack, *served)
                counted = _count(accelerated)
                for number in range(begin, begin + ROUND):
                    pieces = _stream(random.Random(number))
                    one = await ordinary.feed(pieces)
                    other = await accelerated.feed(pieces, alone=number % 3 == 0)
                    assert one == other, (number, pieces)
                for way in (ordinary, accelerated):
                    assert way.app.adapter.core.in_flight == 0
                short += counted["short"]
                taken += counted["answered"]
        assert taken > STREAMS // 8  # the short way was gone often
        assert short > STREAMS // 40  # and without the parser, too

    uvloop.run(main())


def _count(way: Way) -> dict[str, int]:
    """Count how often the short way is gone, and how often heads were known."""
    counted = {"short": 0, "answered": 0}
    make = way.make

    def making(**arguments: Any) -> Any:
        protocol: Any = make(**arguments)
        predict, remember = protocol._predict, protocol._remember
        parsed = [False]

        def remembering(written: bytes, known: Any) -> None:
            parsed[0] = True
            remember(written, known)

        def predicting(*arguments: Any) -> None:
            counted["answered"] += 1
            counted["short"] += not parsed[0]
            parsed[0] = False
            predict(*arguments)

        protocol._predict, protocol._remember = predicting, remembering
        return protocol

    way.make = making
    return counted
