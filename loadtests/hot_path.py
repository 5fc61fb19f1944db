"""What one prediction costs from the first byte of its request to the last of its answer, without a kernel.

    python loadtests/hot_path.py                  calls and bytecodes of Python, the same on every machine
    python loadtests/hot_path.py --record         the same, and keep them as what the tests compare with
    python loadtests/hot_path.py --functions      where the bytecodes are: the functions, and their share
    python loadtests/hot_path.py --instructions   instructions, by valgrind

One row of JSON for breast_cancer (100 trees), no two requests equal, on one connection whose transport takes the answers
and does nothing. The floor is an application that does nothing, under the same uvicorn. Needs `make .venv/.dev`.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import gc
import itertools
import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Final, Self
from unittest.mock import patch

import msgspec
import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from foretell.app import create_app
from foretell.http.accelerated import AcceleratedProtocol
from foretell.http.application import Application
from foretell.http.hot_path import HotPath
from foretell.http.lifecycle import Lifecycle
from foretell.plugin import observers
from foretell.settings import Settings

sys.path.insert(0, str(Path(__file__).parents[1]))
from loadtests.callgrind import count, counted
from loadtests.plugin_cost import PATH, UNSAMPLED, bodies, make_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ALL: Final = {
    "enabled": ["tracing", "metrics", "fallback", "cache"],
    "config": {"tracing": UNSAMPLED, "cache": {"force": True}},
}
NOTHING: Final[dict[str, Any]] = {"enabled": []}
FLOOR: Final = "nothing under uvicorn"
VARIANTS: Final[dict[str, tuple[dict[str, Any], bool]]] = {
    "bare, accelerated": (NOTHING, True),
    "bare, any server": (NOTHING, False),
    "all four, accelerated": (ALL, True),
    "all four, any server": (ALL, False),
}

JSON: Final = "Content-Type: application/json\r\n"

COUNTED: Final = 200
"""How many requests are enough where instructions are counted."""

WARM_UP: Final = 150

BATCH: Final = 992
"""How many requests are counted: observers get their records 32 at a time, so that none is left over."""

LEAST: Final = 10
"""Functions of fewer bytecodes a request are not listed."""

ROOT: Final = Path(__file__).parents[1]
RECORD: Final = Path(__file__).with_suffix(".json")
"""What was counted last, by the release of Python."""

VERSION: Final = f"{sys.version_info.major}.{sys.version_info.minor}"


class Sink(asyncio.Transport):
    """A transport that takes everything and does nothing."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take an answer, or a part of it."""
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        """It never is."""
        return False

    def close(self) -> None:
        """Nothing is left open."""

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nothing is read."""


class Connection:
    """One connection to an application.

    Args:
        make: Makes uvicorn's protocol.
        app: The application.
    """

    def __init__(self, make: Callable[..., HttpToolsProtocol], app: Any) -> None:
        config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False)
        config.load()
        state = ServerState()
        state.default_headers = [(b"date", b"Fri, 27 Nov 2026 12:00:00 GMT")]
        self._protocol = make(config=config, server_state=state, app_state={})
        self._sink = Sink()
        self._protocol.connection_made(self._sink)
        # Another one: requests of several connections are answered together, as they are under load.
        state.connections.add(make(config=config, server_state=state, app_state={}))

    async def ask(self, path: str, questions: Sequence[bytes], headers: str = JSON) -> None:
        """Ask one after the other, with these lines in each head.

        Raises:
            SystemExit: One was not answered with 200.
        """
        head = f"POST {path} HTTP/1.1\r\nHost: localhost:8000\r\n{headers}"
        for body in questions:
            self._protocol.data_received(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            while not self._sink.written:  # noqa: ASYNC110 - the transport sets no event
                await asyncio.sleep(0)
            if not self._sink.written[0].startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"a request was answered with {self._sink.written[0]!r}")
            await asyncio.sleep(0)
            self._sink.written.clear()
        await asyncio.sleep(0.03)  # until the last observers have had their turn

    def close(self) -> None:
        """End it."""
        self._protocol.connection_lost(None)


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """Take a request, and answer it."""
    del scope
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})


async def connect(stack: AsyncExitStack, folder: Path, name: str) -> Connection:
    """A connection to a variant, that serves until the stack is closed."""
    if name == FLOOR:
        connection = Connection(HttpToolsProtocol, nothing)
    else:
        plugins, accelerated = VARIANTS[name]
        settings = {
            "store": {"path": str(folder / "model_store"), "follow": "off"},
            "plugins": plugins,
            "log": {"level": "error"},
            # As slow as everything is where it is counted, a run would no longer be worth its while on the event loop.
            "engine": {"inline_us": 1_000_000},
            "limits": {"deadline_s": 300},
        }
        lifecycle = Lifecycle()
        app = create_app(msgspec.convert(settings, Settings), lifecycle=lifecycle)
        await stack.enter_async_context(app.lifespan())
        make: Callable[..., HttpToolsProtocol] = HttpToolsProtocol
        if accelerated and isinstance(app, Application):
            make = partial(AcceleratedProtocol, HotPath(app, lifecycle))
        connection = Connection(make, app)
    stack.callback(connection.close)
    return connection


class Cost(msgspec.Struct, frozen=True):
    """What one request costs.

    Attributes:
        calls: How many functions are called, those of Python and those that are not.
        bytecodes: How many steps the interpreter takes.
    """

    calls: float
    bytecodes: float


class Counter:
    """Counts calls and bytecodes of Python while it is entered.

    Attributes:
        calls: How many functions were called.
        functions: How many bytecodes there were of each.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.functions: collections.Counter[CodeType] = collections.Counter()

    @property
    def bytecodes(self) -> int:
        """How many steps the interpreter took."""
        return self.functions.total()

    def __enter__(self) -> Self:
        sys.setprofile(self._profile)
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
        sys.setprofile(None)

    def _profile(self, frame: FrameType, event: str, argument: object) -> None:
        del frame, argument
        self.calls += event in {"call", "c_call"}

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        del event, argument
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._trace_opcode

    def _trace_opcode(self, frame: FrameType, event: str, argument: object) -> Any:
        del argument
        if event == "opcode":
            self.functions[frame.f_code] += 1
        return self._trace_opcode


async def count_python() -> dict[str, Counter]:
    """What requests cost, by the variant."""
    found: dict[str, Counter] = {}
    with tempfile.TemporaryDirectory() as folder, patch.object(observers, "_DELAY_S", 3600):
        questions = bodies(make_store(Path(folder)))
        for name in (FLOOR, *VARIANTS):
            async with AsyncExitStack() as stack:
                connection = await connect(stack, Path(folder), name)
                await connection.ask(PATH, list(itertools.islice(questions, BATCH)))
                asked = list(itertools.islice(questions, BATCH))
                gc.collect()
                gc.disable()
                with Counter() as counter:
                    await connection.ask(PATH, asked)
                gc.enable()
                found[name] = counter
    return found


async def cost_of_one() -> dict[str, Cost]:
    """What one request costs, by the variant: on average over many."""
    return {
        name: Cost(round(counter.calls / BATCH, 2), round(counter.bytecodes / BATCH, 2))
        for name, counter in (await count_python()).items()
    }


def print_functions(found: dict[str, Counter]) -> None:
    """Print where the bytecodes of each variant are: the folders, and the functions."""
    for name, counter in found.items():
        print(f"{name}: {counter.bytecodes / BATCH:,.0f} bytecodes a request")
        folders: collections.Counter[str] = collections.Counter()
        for code, bytecodes in counter.functions.items():
            file = Path(code.co_filename)
            folders[f"{file.parent.parent.name}/{file.parent.name}"] += bytecodes
        for folder, bytecodes in folders.most_common():
            print(f"{bytecodes / BATCH:>8.1f} {100 * bytecodes / counter.bytecodes:>4.0f} %  {folder}/")
        for code, bytecodes in counter.functions.most_common():
            if bytecodes < LEAST * BATCH:
                break
            file = Path(code.co_filename)
            where = f"{file.parent.name}/{file.name}:{code.co_qualname}"
            print(f"{bytecodes / BATCH:>8.1f} {100 * bytecodes / counter.bytecodes:>4.0f} %  {where}")
        print()


def recorded() -> dict[str, Cost] | None:
    """What was counted last with this release of Python; None if nothing was."""
    return msgspec.json.decode(RECORD.read_bytes(), type=dict[str, dict[str, Cost]]).get(VERSION)


def record(found: dict[str, Cost]) -> None:
    """Keep what was counted."""
    kept: dict[str, Any] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    RECORD.write_text(json.dumps({**kept, VERSION: msgspec.to_builtins(found)}, indent=2) + "\n")


async def run_counted(requests: int) -> None:
    """Ask one variant after the other, under valgrind."""
    with tempfile.TemporaryDirectory() as folder:
        questions: Iterator[bytes] = bodies(make_store(Path(folder)))
        for number, name in enumerate((FLOOR, *VARIANTS)):
            async with AsyncExitStack() as stack:
                connection = await connect(stack, Path(folder), name)
                await connection.ask(PATH, list(itertools.islice(questions, WARM_UP)))
                asked = list(itertools.islice(questions, requests))
                gc.collect()
                with counted(str(number)):
                    await connection.ask(PATH, asked)


def main() -> None:
    """Parse the command line, count, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--requests",
        type=int,
        default=COUNTED,
        help=f"for how many requests instructions are counted; {COUNTED}",
    )
    parser.add_argument("--instructions", action="store_true", help="count instructions, by valgrind")
    parser.add_argument("--functions", action="store_true", help="tell where the bytecodes are")
    parser.add_argument("--record", action="store_true", help=f"write what is counted to {RECORD.name}")
    parser.add_argument("--counted", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.requests < 1:
        parser.error("--requests is a whole number above 0")
    if arguments.counted:
        uvloop.run(run_counted(arguments.requests))
    elif arguments.functions:
        print_functions(uvloop.run(count_python()))
    elif arguments.instructions:
        counts = count([__file__, "--counted", f"--requests={arguments.requests}"])
        floor = counts["0"]
        print(f"{'':<24} {'instructions a request':>23} {'of the floor':>13}")
        for name, instructions in zip((FLOOR, *VARIANTS), counts.values(), strict=True):
            print(f"{name:<24} {instructions / arguments.requests:>23,.0f} {instructions / floor:>13.2f}")
    else:
        found = uvloop.run(cost_of_one())
        print(f"{'':<24} {'calls a request':>16} {'bytecodes':>10}")
        for name, cost in found.items():
            print(f"{name:<24} {cost.calls:>16,.1f} {cost.bytecodes:>10,.1f}")
        if arguments.record:
            record(found)


if __name__ == "__main__":
    main()
