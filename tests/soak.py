"""Clients ask a real server without a pause while its store is changed again and again."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from onnx import helper

from foretell.store.decisions import roll_back, set_alias
from tests.models import make_manifest, model_bytes, value_info
from tests.servers import RunningServer

__all__ = ["SETTINGS", "Figures", "ReloadSoak", "resident_bytes", "weighty_model_bytes"]

SETTINGS = ("--set", "plugins.config.cache.max_bytes=1000000")
"""All plugins, and a cache that is soon full: what it keeps of answers is no leak."""

MODEL = "m"
ROW = [1.0, 2.0]
KEPT = 4
"""How many versions are there at a time."""


def weighty_model_bytes(weight: float, table_bytes: int = 2_000_000) -> bytes:
    """``Y = (X[0] + X[1]) * weight``, and a table of zeros that no optimizer can fold away."""
    nodes = [
        helper.make_node("MatMul", ["X", "W"], ["XW"]),
        helper.make_node("Clip", ["XW", "zero", "zero"], ["none"]),
        helper.make_node("Cast", ["none"], ["index"], to=7),
        helper.make_node("Gather", ["table", "index"], ["nothing"]),
        helper.make_node("Add", ["XW", "nothing"], ["Y"]),
    ]
    return model_bytes(
        nodes,
        [value_info("X", "float32", ("batch", 2))],
        [value_info("Y", "float32", ("batch", 1))],
        {
            "W": np.full((2, 1), weight, dtype=np.float32),
            "zero": np.float32(0),
            "table": np.zeros(table_bytes // 4, dtype=np.float32),
        },
    )


def resident_bytes(pid: int) -> int:
    """How much memory a process has, bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(status.partition("VmRSS:")[2].split(maxsplit=1)[0])


class Figures(msgspec.Struct):
    """What a soak came to.

    Attributes:
        reloads: How often the store was changed, and the change awaited.
        requests: How many requests were answered.
        failed: What went wrong with requests; empty if nothing did.
        resident_bytes: The server's memory after each change.
        slowest_ms: The latency of the slowest request.
        p99_ms: What 99 of 100 requests took less than.
        took_s: How long it took.
    """

    reloads: int = 0
    requests: int = 0
    failed: list[str] = []
    resident_bytes: list[int] = []
    slowest_ms: float = 0
    p99_ms: float = 0
    took_s: float = 0

    @property
    def growth(self) -> float:
        """The memory of the last quarter, as a multiple of that of the second."""
        quarter = len(self.resident_bytes) // 4
        second, last = self.resident_bytes[quarter : 2 * quarter], self.resident_bytes[-quarter:]
        return (sum(last) / len(last)) / (sum(second) / len(second))


class ReloadSoak:
    """Clients that ask without a pause, and a store that changes.

    Version 1 stays as it is, so that it can be asked for by its number. The answer of each version tells which files
    it was loaded from.

    Args:
        store: An empty store, which `fill` fills before the server starts.
    """

    def __init__(self, store: Path) -> None:
        self.figures = Figures()
        self._store = store
        self._model = store / MODEL
        self._highest = 0
        self._champion = 1
        self._weights: dict[int, int] = {}
        self._weight = 0
        self._latencies_ms: list[float] = []
        self._chance = random.Random(4)

    def fill(self, reloads: int) -> None:
        """Put the first versions there, and lay out aside what so many changes will need."""
        for weight in range(1, reloads // 2 + 10):
            self._stage(weight)
        self._publish()
        self._publish()
        (self._model / "model.toml").write_text('# ours\ndefault = "champion"\n\n[aliases]\nchampion = 1\n')

    async def run(self, server: RunningServer, *, reloads: int, clients: int) -> Figures:
        """Change the store so often, under so many clients."""
        began = time.monotonic()
        host, _, port = server.url.removeprefix("http://").partition(":")
        done = asyncio.Event()
        asking = [
            asyncio.ensure_future(self._ask(host, int(port), done, keeps=number % 2 == 0, seed=number))
            for number in range(clients)
        ]
        try:
            await self._change_all(host, int(port), server, reloads)
        finally:
            done.set()
            await asyncio.gather(*asking)
        figures = self.figures
        figures.took_s = time.monotonic() - began
        latencies_ms = sorted(self._latencies_ms)
        figures.requests = len(latencies_ms)
        figures.slowest_ms = latencies_ms[-1]
        figures.p99_ms = latencies_ms[len(latencies_ms) * 99 // 100]
        return figures

    # ------------------------------------------------------------------ the store

    async def _change_all(self, host: str, port: int, server: RunningServer, reloads: int) -> None:
        while self.figures.reloads < reloads:
            for change in (
                self._publish_next,
                self._move_alias,
                self._corrupt,
                self._replace,
                self._roll_back,
                self._remove,
            ):
                expected = await asyncio.to_thread(change)
                await self._until(host, port, expected)
                self.figures.reloads += 1
                self.figures.resident_bytes.append(resident_bytes(server.process.pid))

    def _publish_next(self) -> Expected:
        number = self._publish()
        return lambda told: _ready(told, number)

    def _move_alias(self) -> Expected:
        self._champion = self._highest
        set_alias(self._model, "champion", self._champion)
        return lambda told: told["default_version"] == str(self._champion)

    def _corrupt(self) -> Expected:
        """A version whose bytes are not those of its manifest."""
        self._highest += 1
        number = self._highest
        staged = self._staged(self._next_weight())
        (staged / "model.onnx").write_bytes(b"damaged")
        staged.rename(self._model / str(number))
        return lambda told: (
            not _ready(told, number) and "not the file that was published" in _reason(told, number)
        )

    def _replace(self) -> Expected:
        """The corrupt version is replaced by a good one of its number."""
        number, weight = self._highest, self._next_weight()
        self._weights[number] = weight
        shutil.rmtree(self._model / str(number))
        self._put(number, weight)
        return lambda told: _ready(told, number)

    def _roll_back(self) -> Expected:
        self._champion = roll_back(self._model, "champion").now
        return lambda told: told["default_version"] == str(self._champion)

    def _remove(self) -> Expected:
        """The oldest versions but the first, the champion and the newest."""
        numbers = sorted(int(path.name) for path in self._model.iterdir() if path.name.isdecimal())
        spare = [number for number in numbers if number not in {1, self._champion, self._highest}]
        gone = spare[: max(len(numbers) - KEPT, 1)]
        for number in gone:
            shutil.rmtree(self._model / str(number))
        return lambda told: (
            not {str(number) for number in gone} & {each["version"] for each in told["versions"]}
        )

    def _publish(self) -> int:
        self._highest += 1
        weight = self._next_weight()
        self._weights[self._highest] = weight
        self._put(self._highest, weight)
        return self._highest

    def _put(self, number: int, weight: int) -> None:
        self._model.mkdir(exist_ok=True)
        self._staged(weight).rename(self._model / str(number))

    def _stage(self, weight: int) -> None:
        model = weighty_model_bytes(weight)
        staged = self._staged(weight)
        staged.mkdir(parents=True)
        (staged / "manifest.json").write_bytes(make_manifest(model).encode())
        (staged / "model.onnx").write_bytes(model)

    def _staged(self, weight: int) -> Path:
        return self._store / ".staging" / f"weight-{weight}"

    def _next_weight(self) -> int:
        self._weight += 1
        return self._weight

    async def _until(self, host: str, port: int, expected: Expected) -> None:
        """Wait until the catalogue tells what is expected."""
        reader, writer = await asyncio.open_connection(host, port)
        try:
            async with asyncio.timeout(60):
                while True:
                    _, told = await _exchange(reader, writer, f"GET /v1/models/{MODEL}", b"")
                    if expected(told):
                        return
        finally:
            writer.close()

    # ------------------------------------------------------------------ the clients

    async def _ask(self, host: str, port: int, done: asyncio.Event, *, keeps: bool, seed: int) -> None:
        chance = random.Random(seed)
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not done.is_set():
            path = chance.choice([MODEL, f"{MODEL}/labels/champion", f"{MODEL}/versions/1"])
            row = [float(chance.randrange(1000)), ROW[1]]
            began = time.perf_counter()
            try:
                if connection is None:
                    connection = await asyncio.open_connection(host, port)
                body = json.dumps({"instances": [row]}).encode()
                status, told = await _exchange(*connection, f"POST /v1/models/{path}:predict", body)
            except (OSError, EOFError, ValueError) as error:
                self.figures.failed.append(f"{path}: {error!r}")
                connection = None
                continue
            self._latencies_ms.append((time.perf_counter() - began) * 1e3)
            if status != 200 or not self._is_right(told, row, path):
                self.figures.failed.append(f"{path}: {status} {told}")
            if not keeps:
                connection[1].close()
                connection = None
        if connection is not None:
            connection[1].close()

    def _is_right(self, told: dict[str, Any], row: list[float], path: str) -> bool:
        number = int(told["model_version"])
        return told["predictions"] == [sum(row) * self._weights[number]] and (
            not path.endswith("versions/1") or number == 1
        )


Expected = Callable[[dict[str, Any]], bool]
"""Whether the catalogue tells what it should."""


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: str, body: bytes
) -> tuple[int, dict[str, Any]]:
    """One request and its answer; the connection stays open."""
    head = f"{line} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    answer = await reader.readuntil(b"\r\n\r\n")
    status = int(answer.split(maxsplit=2)[1])
    length = int(answer.lower().partition(b"content-length:")[2].split(maxsplit=1)[0])
    told: dict[str, Any] = json.loads(await reader.readexactly(length))
    return status, told


def _ready(told: dict[str, Any], number: int) -> bool:
    return any(each["version"] == str(number) and each["ready"] for each in told["versions"])


def _reason(told: dict[str, Any], number: int) -> str:
    return next((each.get("reason", "") for each in told["versions"] if each["version"] == str(number)), "")
