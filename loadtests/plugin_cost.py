"""What each bundled plugin adds to a request, as CPU time, side by side in one run, or as instructions.

    python loadtests/plugin_cost.py [--rounds 15] [--requests 1000]
    python loadtests/plugin_cost.py --instructions [--requests 320]

One row of JSON for breast_cancer (100 trees), each request another row. The requests go straight into the ASGI
application, from its router to the answer's last byte, observers included; there is no socket, whose cost would be the
same for all and whose noise is greater than what is measured. The variants live in one process and take turns, round by
round, so that what else the machine does falls on all of them. Needs `make .venv/.dev`.

Instructions are counted by valgrind. They tell the same on every machine, however busy it is, but nothing of memory
that is far away; some minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from foretell.app import create_app
from foretell.settings import Settings

sys.path.insert(0, str(Path(__file__).parents[1]))
from loadtests.callgrind import count, counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from litestar import Litestar

ROOT: Final = Path(__file__).parents[1]
MODEL: Final = "breast_cancer"
PATH: Final = f"/v1/models/{MODEL}:predict"

UNSAMPLED: Final = {"exporter": "otlp", "sampler": "parentbased_traceidratio", "ratio": 1e-9}
NOTHING: Final = "no plugins"
VARIANTS: Final[dict[str, dict[str, Any]]] = {
    NOTHING: {"enabled": []},
    "metrics": {"enabled": ["metrics"]},
    "tracing, unsampled": {"enabled": ["tracing"], "config": {"tracing": UNSAMPLED}},
    "fallback, armed": {"enabled": ["fallback"]},
    "cache, miss": {"enabled": ["cache"], "config": {"cache": {"force": True}}},
    "canary, sticky": {
        "enabled": ["canary"],
        "config": {"canary": {"weights": {"2": 5}, "key": "header:host"}},
    },
    "shadow, dropping": {
        "enabled": ["shadow"],
        "config": {"shadow": {"target": "2", "max_pending_bytes": 1}},
    },
    "shadow": {"enabled": ["shadow"], "config": {"shadow": {"target": "2"}}},
    "all four": {
        "enabled": ["tracing", "metrics", "fallback", "cache"],
        "config": {"tracing": UNSAMPLED, "cache": {"force": True}},
    },
}

COUNTED: Final = 320
"""How many requests are enough where instructions are counted."""

WARM_UP: Final = 150
"""How many come before them, so that what is made once is made, and Python has adapted its code."""


def make_store(folder: Path) -> dict[str, Any]:
    """A store with the one model, twice, and a fallback for it; returns the model's signature."""
    store = folder / "model_store"
    for version in ("1", "2"):
        shutil.copytree(ROOT / "model_store" / MODEL / "1", store / MODEL / version)
    signature: dict[str, Any] = json.loads((store / MODEL / "1" / "manifest.json").read_text())["signature"]
    label = json.dumps(signature["classes"][0])
    (store / MODEL / "model.toml").write_text(
        f"default = 1\nplugins.fallback = [{{value = {{label = {label}, probabilities = [0.5, 0.5]}}}}]\n"
    )
    return signature


def bodies(signature: dict[str, Any]) -> Iterator[bytes]:
    """Requests for one row each, no two of them equal."""
    rest = ", ".join(map(str, signature["example"][1:]))
    for number in itertools.count():
        yield f'{{"instances": [[{10 + number * 1e-5:.5f}, {rest}]]}}'.encode()


async def start(stack: AsyncExitStack, folder: Path, plugins: dict[str, Any], **settings: Any) -> Litestar:
    """An application with some plugins, that serves until the stack is closed."""
    store = {"path": str(folder / "model_store"), "follow": "off"}
    app = create_app(msgspec.convert({"store": store, "plugins": plugins, **settings}, Settings))
    await stack.enter_async_context(app.lifespan())
    return app


async def ask(app: Litestar, body: bytes) -> None:
    """One request, as a server hands it to the application.

    Raises:
        SystemExit: It is not answered with 200.
    """
    scope: Any = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": PATH, "raw_path": PATH.encode(), "query_string": b"", "root_path": "", "client": None,
        "server": ("127.0.0.1", 8000), "state": {}, "extensions": {},
        "headers": [(b"host", b"localhost:8000"), (b"content-type", b"application/json")],
    }  # fmt: skip

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message.get("status", 200) != 200:
            raise SystemExit(f"a request was answered with {message['status']}")

    await app(scope, receive, send)


async def ask_all(app: Litestar, asked: list[bytes]) -> None:
    """One request after the other; what plugins do afterwards is part of it."""
    for number, body in enumerate(asked):
        await ask(app, body)
        if number % 16 == 0:
            await asyncio.sleep(0)
    await asyncio.sleep(0.03)  # until the last observers have had their turn


async def cost_us(app: Litestar, requests: int, questions: Iterator[bytes]) -> float:
    """CPU time of one request, µs."""
    asked = list(itertools.islice(questions, requests))
    gc.collect()
    began = time.process_time_ns()
    await ask_all(app, asked)
    return (time.process_time_ns() - began) / requests / 1000


async def measure(rounds: int, requests: int, folder: Path) -> None:
    """Ask the applications in turns, and print what each needs for a request."""
    signature = make_store(folder)
    questions = bodies(signature)
    found: dict[str, list[float]] = {name: [] for name in VARIANTS}
    async with AsyncExitStack() as stack:
        apps = {
            name: await start(stack, folder, plugins, log={"level": "warning"})
            for name, plugins in VARIANTS.items()
        }
        for number in range(rounds + 1):
            for name, app in apps.items():
                cost = await cost_us(app, requests, questions)
                if number:  # the first round is for warming up
                    found[name].append(cost)
            print(f"\rround {number} of {rounds}", end="", file=sys.stderr)
    print(file=sys.stderr)
    base = found[NOTHING]
    print(f"{'plugins':<20} {'CPU µs a request':>17} {'added':>7}")
    for name, costs in found.items():
        added = statistics.median(cost - other for cost, other in zip(costs, base, strict=True))
        print(f"{name:<20} {statistics.median(costs):>17.1f} {added:>+7.1f}")


async def run_counted(requests: int, folder: Path) -> None:
    """Ask one application after the other, under valgrind."""
    questions = bodies(make_store(folder))
    for name, plugins in VARIANTS.items():
        async with AsyncExitStack() as stack:
            # As slow as everything is there, a run would no longer be worth its while on the event loop.
            app = await start(
                stack,
                folder,
                plugins,
                log={"level": "error"},
                engine={"inline_us": 1_000_000},
                limits={"deadline_s": 300},
            )
            await ask_all(app, list(itertools.islice(questions, WARM_UP)))
            asked = list(itertools.islice(questions, requests))
            gc.collect()
            with counted(str(list(VARIANTS).index(name))):
                await ask_all(app, asked)


def print_instructions(requests: int) -> None:
    """Count the instructions of each variant, and print what each needs for a request."""
    counts = count([__file__, "--counted", f"--requests={requests}"])
    base = counts["0"] / requests
    print(f"{'plugins':<20} {'instructions a request':>23} {'added':>8} {'added %':>8}")
    for name, instructions in zip(VARIANTS, counts.values(), strict=True):
        each = instructions / requests
        print(f"{name:<20} {each:>23,.0f} {each - base:>+8,.0f} {100 * (each - base) / base:>+8.1f}")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15, help="how often each has its turn; %(default)s")
    parser.add_argument("--requests", type=int, help="1000, or 320 where instructions are counted")
    parser.add_argument("--instructions", action="store_true", help="count instructions, under valgrind")
    parser.add_argument("--counted", action="store_true", help=argparse.SUPPRESS)  # it runs under valgrind
    arguments = parser.parse_args()
    if arguments.instructions:
        print_instructions(arguments.requests or COUNTED)
        return
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(
            run_counted(arguments.requests, Path(folder))
            if arguments.counted
            else measure(arguments.rounds, arguments.requests or 1000, Path(folder))
        )


if __name__ == "__main__":
    main()
