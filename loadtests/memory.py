"""Whether memory stays flat where each request has another number of rows.

    python loadtests/memory.py [--requests 100000] [--rows 512]

Requests of random sizes straight into loaded versions, in one process: a forest, and a chain of
matrix products. The growth of the resident memory counts from the end of the first tenth. Needs
`make .venv/.dev`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from foretell.engine.loader import Loader
from foretell.prediction import PredictRequest, RequestRecord
from foretell.settings import Settings
from foretell.store.model_config import ModelConfig

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from loadtests.heavy import WIDTH, write_heavy  # noqa: E402 - the path comes first
from loadtests.processes import resident_mb  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from foretell.engine.version import Version


def forest_inputs(rng: np.random.Generator, rows: int) -> dict[str, Any]:
    """Rows for the sample model digits."""
    return {"features": rng.random((rows, 64), dtype=np.float32) * 16}


def chain_inputs(rng: np.random.Generator, rows: int) -> dict[str, Any]:
    """Rows for the chain of products."""
    return {"X": rng.random((rows, WIDTH), dtype=np.float32)}


async def soak(
    name: str, version: Version, make: Callable[[np.random.Generator, int], Any], count: int, most: int
) -> float:
    """Ask a version again and again; returns by how much the memory has grown, as a fraction."""
    rng, sizes = np.random.default_rng(3), random.Random(3)
    began, first = time.perf_counter(), 0.0
    for number in range(count):
        rows = sizes.randint(1, most)
        record = RequestRecord("r", "native", time.perf_counter_ns())
        await version.predict(PredictRequest(make(rng, rows), rows, record))
        if number == count // 10:
            first = resident_mb()
    last = resident_mb()
    growth = last / first - 1
    took_s = time.perf_counter() - began
    print(
        f"{name:<8} {count} requests of 1 to {most} rows in {took_s:.0f} s: {first:.1f} MB → {last:.1f} MB ({growth:+.1%})"
    )
    return growth


async def measure(count: int, most: int, folder: Path) -> bool:
    """Soak each model, and say whether all stayed flat."""
    loader = Loader.of(Settings())
    forest = loader.load("digits", 1, ROOT / "model_store" / "digits" / "1", ModelConfig())
    chain = loader.load("heavy", 1, write_heavy(folder, hidden=128, depth=2).parent, ModelConfig())
    name = forest.info.signature.inputs[0].name
    grown = [
        await soak(
            "forest", forest, lambda rng, rows: {name: forest_inputs(rng, rows)["features"]}, count, most
        ),
        await soak("chain", chain, chain_inputs, count, most),
    ]
    loader.pool.close()
    return max(grown) < 0.05


def main() -> None:
    """Measure, and exit with 1 where memory grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--requests", type=int, default=100_000, help="how many requests are made; %(default)s"
    )
    parser.add_argument("--rows", type=int, default=512, help="how many rows a request has; %(default)s")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        flat = asyncio.run(measure(arguments.requests, arguments.rows, Path(folder)))
    raise SystemExit(not flat)


if __name__ == "__main__":
    main()
