"""What a second worker brings: requests a second of one and of two, in turns.

    python loadtests/workers.py [--rounds 3] [--seconds 8]

A real server with one thread for runs in each worker, a model of some ten milliseconds a run, so that the callers, who
share the CPUs with it, do not matter. Needs `make .venv/.dev` and two CPUs that are free.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from loadtests.arrivals import Arrivals, closed_loop  # noqa: E402 - the path comes first
from loadtests.heavy import NAME, body, write_heavy  # noqa: E402

from tests.servers import RunningServer  # noqa: E402


async def rate(server: RunningServer, callers: int, seconds: float) -> float:
    """Requests a second of some callers, each on a connection of its own."""
    arrivals = Arrivals(f"{server.url}/v1/models/{NAME}:predict", body())
    await closed_loop(arrivals, callers, 1)
    found = await closed_loop(arrivals, callers, seconds)
    arrivals.close()
    return found


def main() -> None:
    """Measure, and exit with 1 where the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--hidden", type=int, default=3072, help="the width of the model")
    arguments = parser.parse_args()
    rates: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "model_store"
        write_heavy(store, hidden=arguments.hidden, batching="off")
        flags = ["--set", "engine.run_threads=1", "--set", "plugins.enabled=metrics"]
        command = [sys.executable, "-m", "foretell", "serve", "--store", str(store), "--port", "0", *flags]
        servers = {
            count: RunningServer([*command, "--workers", str(count)], cwd=Path(folder)) for count in rates
        }
        try:
            for _ in range(arguments.rounds):
                for count, server in servers.items():
                    rates[count].append(asyncio.run(rate(server, arguments.callers, arguments.seconds)))
        finally:
            for server in servers.values():
                server.stop()
    for count, found in rates.items():
        print(f"{count} worker{'s' if count > 1 else ' '}  {statistics.median(found):8.1f} requests/s")
    ratio = statistics.median(two / one for one, two in zip(rates[1], rates[2], strict=True))
    print(f"ratio      {ratio:8.2f}")
    raise SystemExit(ratio < 1.8)


if __name__ == "__main__":
    main()
