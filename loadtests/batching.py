"""Whether shared runs pay, and whether they are free for one caller alone.

    python loadtests/batching.py [--callers 32] [--rounds 7]

A model of some milliseconds a run. First the rows a second of raw `session.run` at each batch size; then those that
concurrent callers of the loaded version get, each asking for one row after the other, between two measurements of raw
runs at the best size, with which they are compared; then the latency of one caller alone, with shared runs and without,
by turns and on the same session. In one process, without HTTP, whose cost would be the same for all. Needs
`make .venv/.dev`.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from foretell.engine.lane import Lane, LaneRules
from foretell.engine.loader import Loader
from foretell.engine.version import Version
from foretell.prediction import PredictRequest, RequestRecord
from foretell.settings import EngineSettings, Settings
from foretell.store.model_config import ModelConfig

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from loadtests.heavy import WIDTH, write_heavy  # noqa: E402 - the path comes first

SIZES: Final = (1, 2, 4, 8, 16, 32, 64)
SECONDS: Final = 2.0


def ask(row: np.ndarray) -> PredictRequest:
    """A request of one row."""
    return PredictRequest({"X": row}, 1, RequestRecord("r", "native", time.perf_counter_ns()))


def rows() -> list[np.ndarray]:
    """Some rows to ask for."""
    rng = np.random.default_rng(1)
    return [rng.standard_normal((1, WIDTH)).astype(np.float32) for _ in range(64)]


def raw_rate(version: Version, size: int) -> float:
    """Rows a second of `session.run` on batches of one size."""
    batch = np.concatenate(rows()[:1] * size)
    began = time.perf_counter()
    done = 0
    while time.perf_counter() - began < SECONDS / 2:
        version._session.run_raw({"X": batch})  # noqa: SLF001 - what is compared is below the version
        done += size
    return done / (time.perf_counter() - began)


async def served_rate(version: Version, callers: int) -> float:
    """Rows a second that concurrent callers get, each asking for one row after the other."""
    ended = time.perf_counter() + SECONDS
    asked = rows()

    async def caller(number: int) -> int:
        done = 0
        while time.perf_counter() < ended:
            await version.predict(ask(asked[(number + done) % len(asked)]))
            done += 1
        return done

    began = time.perf_counter()
    counts = await asyncio.gather(*(caller(number) for number in range(callers)))
    return sum(counts) / (time.perf_counter() - began)


async def alone_us(*versions: Version, count: int = 200) -> list[float]:
    """The median latency of one caller alone, µs, of each of some versions; they take turns, request by request."""
    took: list[list[float]] = [[] for _ in versions]
    row = rows()[0]
    for _ in range(count):
        for version, found in zip(versions, took, strict=True):
            began = time.perf_counter()
            await version.predict(ask(row))
            found.append((time.perf_counter() - began) * 1e6)
    return [statistics.median(found) for found in took]


def without_sharing(version: Version, loader: Loader) -> Version:
    """The same version, on the same session, whose requests share no runs."""
    lane = Lane("heavy", "heavy", version._session, loader.pool, rules=LaneRules(), cost=version.cost)  # noqa: SLF001
    opened = version._opened  # noqa: SLF001
    off = msgspec.structs.replace(version.batching, rows=1)
    return Version(version.info, opened, version.parser, lane, cost=version.cost, batching=off, inline_us=0)


async def measure(callers: int, rounds: int, hidden: int, folder: Path) -> bool:
    """Measure, print, and say whether the targets are met."""
    settings = Settings(engine=EngineSettings(run_threads=1, inline_us=0))
    loader = Loader.of(settings)
    file = write_heavy(folder, hidden=hidden)
    version = loader.load("heavy", 1, file.parent, ModelConfig())
    single = without_sharing(version, loader)
    print(f"one row takes {version.cost.of(1) if version.cost else 0:.0f} µs; {version.batching.reason}")
    raw = {size: statistics.median(raw_rate(version, size) for _ in range(3)) for size in SIZES}
    best = max(raw, key=lambda size: raw[size] if size <= callers else 0.0)
    for size, rate in raw.items():
        print(
            f"raw session.run, {size:3d} rows a run   {rate:10.0f} rows/s{'  (best)' if size == best else ''}"
        )
    served: list[float] = []
    shares: list[float] = []
    apart: list[float] = []
    shared_alone: list[float] = []
    single_alone: list[float] = []
    for _ in range(rounds):
        before = raw_rate(version, best)
        served.append(await served_rate(version, callers))
        shares.append(served[-1] / statistics.mean((before, raw_rate(version, best))))
        apart.append(await served_rate(single, callers))
        for one, took in zip(await alone_us(version, single), (shared_alone, single_alone), strict=True):
            took.append(one)
    share = statistics.median(shares)
    print(
        f"{callers} callers, shared runs          {statistics.median(served):10.0f} rows/s  "
        f"{share:.1%} of the best beside it ({min(shares):.1%} to {max(shares):.1%})"
    )
    print(f"{callers} callers, a run each           {statistics.median(apart):10.0f} rows/s")
    ratio = statistics.median(one / other for one, other in zip(shared_alone, single_alone, strict=True))
    print(
        f"one caller alone: {statistics.median(shared_alone):.0f} µs with shared runs, "
        f"{statistics.median(single_alone):.0f} µs without; ratio of medians {ratio:.3f}"
    )
    loader.pool.close()
    return share >= 0.9 and ratio <= 1.05


def main() -> None:
    """Measure, and exit with 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--callers", type=int, default=32, help="how many ask at once; %(default)s")
    parser.add_argument("--rounds", type=int, default=7, help="how often each has its turn; %(default)s")
    parser.add_argument("--hidden", type=int, default=3072, help="the width of the model")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        met = asyncio.run(measure(arguments.callers, arguments.rounds, arguments.hidden, Path(folder)))
    raise SystemExit(not met)


if __name__ == "__main__":
    main()
