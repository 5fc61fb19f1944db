"""What a second worker brings: requests a second of one and of two, in turns.

    python loadtests/workers.py [--rounds 3] [--seconds 8]

A real server with one thread for runs in each worker, and requests that take a run of some ten milliseconds, so that the
callers, who share the CPUs with it, do not matter: several rows each, so that the time goes into computing. One row at a
time would be spent on reading the weights, and two workers share the memory. Needs `make .venv/.dev` and two CPUs that
are free.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from loadtests.arrivals import Arrivals, closed_loop  # noqa: E402 - the path comes first
from loadtests.heavy import NAME, body, write_heavy  # noqa: E402
from tests.servers import RunningServer  # noqa: E402

RAW: Final = """
import sys, time
import numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options)
inputs = {"X": np.ones((int(sys.argv[2]), session.get_inputs()[0].shape[1]), np.float32)}
session.run(None, inputs)
ended, done = time.perf_counter() + float(sys.argv[3]), 0
while time.perf_counter() < ended:
    session.run(None, inputs)
    done += 1
print(done / float(sys.argv[3]))
"""


def raw_rate(model: Path, rows: int, processes: int, seconds: float) -> float:
    """Runs a second of some processes that do nothing else, together: what this machine has to give."""
    command = [sys.executable, "-c", RAW, str(model), str(rows), str(seconds)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    return sum(float(each.communicate()[0]) for each in running)


async def rate(server: RunningServer, asked: bytes, callers: int, seconds: float) -> float:
    """Requests a second of some callers, each on a connection of its own."""
    arrivals = Arrivals(f"{server.url}/v1/models/{NAME}:predict", asked)
    await closed_loop(arrivals, callers, 1)
    found = await closed_loop(arrivals, callers, seconds)
    arrivals.close()
    return found


def ratio_of(found: dict[int, list[float]]) -> float:
    """How much two do of what one does, each pair measured one after the other."""
    return statistics.median(two / one for one, two in zip(found[1], found[2], strict=True))


def main() -> None:
    """Measure, and exit with 1 where the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each has its turn; %(default)s")
    parser.add_argument(
        "--seconds", type=float, default=8, help="how long each measurement takes; %(default)s"
    )
    parser.add_argument("--callers", type=int, default=16, help="how many ask at once; %(default)s")
    parser.add_argument("--hidden", type=int, default=3072, help="the width of the model")
    parser.add_argument("--rows", type=int, default=64, help="the rows of a request")
    arguments = parser.parse_args()
    asked = body(arguments.rows)
    rates: dict[int, list[float]] = {1: [], 2: []}
    raw: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "model_store"
        model = write_heavy(store, hidden=arguments.hidden, batching="off")
        flags = ["--set", "engine.run_threads=1", "--set", "plugins.enabled=metrics"]
        command = [sys.executable, "-m", "foretell", "serve", "--store", str(store), "--port", "0", *flags]
        servers = {
            count: RunningServer([*command, "--workers", str(count)], cwd=Path(folder)) for count in rates
        }
        try:
            for _ in range(arguments.rounds):
                for count, done in raw.items():
                    done.append(raw_rate(model, arguments.rows, count, arguments.seconds))
                for count, server in servers.items():
                    answered = rate(server, asked, arguments.callers, arguments.seconds)
                    rates[count].append(asyncio.run(answered))
        finally:
            for server in servers.values():
                server.stop()
    for what, found in (("workers", rates), ("bare processes", raw)):
        one, two = (statistics.median(found[count]) for count in (1, 2))
        print(f"{what:<15} {one:8.1f} requests/s with one, {two:8.1f} with two, ratio {ratio_of(found):.2f}")
    ratio = ratio_of(rates)
    raise SystemExit(ratio < 1.8)


if __name__ == "__main__":
    main()
