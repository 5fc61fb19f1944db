"""Versions are added, replaced and removed under load, with a cache around all: each answer is the named version's own."""

from __future__ import annotations

import asyncio
import random
import shutil
from pathlib import Path
from typing import Any

from foretell_plugins.cache import Cache
from tests.models import linear_model_bytes, write_version
from tests.plugins.fallback.servers import Server

CLIENTS, REQUESTS, SWAPS = 16, 10_000, 60

Allowed = dict[tuple[str, int], set[float]]
"""The weights that a version may answer with at the moment: two while it is being replaced."""


def put(store: Path, name: str, number: int, weight: float) -> None:
    """Put a version into the store, in place of one of its number."""
    shutil.rmtree(store / name / str(number), ignore_errors=True)
    write_version(store, name, number, linear_model_bytes(weights=[weight, weight]))


async def swap(server: Server, store: Path, allowed: Allowed, done: asyncio.Event) -> None:
    """Change the store again and again, and let the server follow."""
    chance = random.Random(1)
    weight = 10.0
    for _ in range(SWAPS):
        name, number = chance.choice(["one", "two"]), chance.choice([1, 2, 3])
        weight += 1
        if number == 3 and (store / name / "3").exists():
            shutil.rmtree(store / name / "3")
            await server.registry.refresh()
            allowed[name, 3] = set()
        else:
            allowed.setdefault((name, number), set()).add(weight)
            put(store, name, number, weight)
            await server.registry.refresh()
            allowed[name, number] = {weight}
        await asyncio.sleep(0)
    done.set()


async def ask_many(server: Server, seed: int, allowed: Allowed, wrong: list[Any]) -> int:
    """Ask for predictions without a pause; returns how many came from the cache."""
    chance = random.Random(seed)
    hits = 0
    for _ in range(REQUESTS // CLIENTS):
        name, version = chance.choice(["one", "two"]), chance.choice([None, 1, 2])
        row = [float(chance.randrange(4)), 1.0]
        before = {key: set(weights) for key, weights in allowed.items()}
        path = name if version is None else f"{name}/versions/{version}"
        answer = await server.ask_rows(path, [row])
        if answer.status != 200:
            wrong.append((path, answer))
            continue
        answered = int(answer.body["model_version"])
        weights = before.get((name, answered), set()) | allowed.get((name, answered), set())
        if (
            answer.body["model_name"] != name
            or version not in {None, answered}
            or answer.body["predictions"] not in [[sum(row) * weight] for weight in weights]
        ):
            wrong.append((path, row, answer.body, weights))
        hits += answer.headers["x-foretell-cache"] == "hit"
        await asyncio.sleep(0)
    return hits


def test_no_answer_comes_from_another_model_or_version_while_versions_are_swapped(store: Path) -> None:
    allowed: Allowed = {}
    wrong: list[Any] = []
    for name, base in (("one", 1.0), ("two", 5.0)):
        for number in (1, 2):
            put(store, name, number, base + number)
            allowed[name, number] = {base + number}

    async def scenario() -> int:
        server = Server(store, plugins={"cache": Cache}, config={"cache": {"force": True}})
        await server.registry.load()
        done = asyncio.Event()
        swapping = asyncio.ensure_future(swap(server, store, allowed, done))
        hits = await asyncio.gather(*(ask_many(server, seed, allowed, wrong) for seed in range(CLIENTS)))
        await swapping
        server.close()
        return sum(hits)

    hits = asyncio.run(scenario())
    assert wrong == []
    assert hits > REQUESTS / 10
