"""What a server does that is offered four times what it can do.

    python loadtests/overload.py [--seconds 60] [--times 4] [--deadline 2]

A real server with one thread for a model of some milliseconds a run, pinned to one CPU, the callers to the other. First
its capacity: what eight callers get who each send one request after the other. Then requests arrive at several times
that rate, each with a deadline. Goodput must stay near capacity, those who are admitted must be answered in time, the
others must be told at once when to come back; memory stays where it was; and when it is over, so is the trouble. Needs
`make .venv/.dev`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from loadtests.arrivals import Arrivals, closed_loop  # noqa: E402 - the path comes first
from loadtests.heavy import NAME, body, write_heavy  # noqa: E402
from loadtests.processes import resident_mb  # noqa: E402
from tests.servers import RunningServer  # noqa: E402


async def measure(server: RunningServer, *, seconds: float, times: float, deadline_s: float) -> bool:
    """Offer the load, print what came of it, and say whether the promises were kept."""
    url = f"{server.url}/v1/models/{NAME}:predict"
    calm = Arrivals(url, body())
    await closed_loop(calm, 8, 2)
    capacity = await closed_loop(calm, 8, 5)
    before = statistics.median([(await calm.ask()).took_s for _ in range(50)])
    memory = resident_mb(server.process.pid)
    flood = Arrivals(url, body(), f"X-Request-Timeout: {deadline_s}\r\n")
    began = time.perf_counter()
    await flood.offer(capacity * times, seconds)
    took_s = time.perf_counter() - began
    await asyncio.sleep(1)
    after = statistics.median([(await calm.ask()).took_s for _ in range(50)])
    grown = resident_mb(server.process.pid) - memory
    good = sorted(outcome.took_s for outcome in flood.outcomes if outcome.status == 200)
    refused = [outcome for outcome in flood.outcomes if outcome.status == 503]
    silent = sum(not outcome.retry_after for outcome in refused)
    goodput = len(good) / took_s
    p99 = good[int(len(good) * 0.99)] if good else float("inf")
    print(f"capacity           {capacity:8.1f} requests/s (8 callers in a closed loop)")
    print(f"offered            {capacity * times:8.1f} requests/s for {seconds:g} s")
    print(f"goodput            {goodput:8.1f} requests/s, {goodput / capacity:.0%} of capacity")
    print(f"admitted, p99      {p99:8.3f} s, deadline {deadline_s:g} s")
    print(f"statuses           {dict(sorted(flood.statuses().items()))}, {silent} of 503 without Retry-After")
    print(
        f"refusals, median   {statistics.median(o.took_s for o in refused) * 1e3 if refused else 0:8.1f} ms"
    )
    print(f"memory             {memory:8.1f} MB, {grown:+.1f} MB")
    print(f"one caller alone   {before * 1e3:8.1f} ms before, {after * 1e3:.1f} ms one second after")
    calm.close()
    flood.close()
    unforeseen = set(flood.statuses()) - {200, 503}
    return (
        goodput >= 0.9 * capacity
        and p99 <= deadline_s
        and not silent
        and not unforeseen
        and after <= 2 * before
    )


def main() -> None:
    """Measure, and exit with 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--seconds", type=float, default=60, help="how long each measurement takes; %(default)s"
    )
    parser.add_argument(
        "--times",
        type=float,
        default=4,
        help="how many times what the server can answer is asked; %(default)s",
    )
    parser.add_argument(
        "--deadline", type=float, default=2, help="how long each caller waits, seconds; %(default)s"
    )
    parser.add_argument("--hidden", type=int, default=6144, help="the width of the model")
    arguments = parser.parse_args()
    cpus = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "model_store"
        write_heavy(store, hidden=arguments.hidden, batching="off")
        flags = [
            flag
            for setting in (
                "engine.run_threads=1",
                "engine.inline_us=0",
                "plugins.enabled=metrics",
            )  # no cache
            for flag in ("--set", setting)
        ]
        command = [sys.executable, "-m", "foretell", "serve", "--store", str(store), "--port", "0", *flags]
        os.sched_setaffinity(0, {cpus[-1]})
        server = RunningServer(["taskset", "--cpu-list", str(cpus[0]), *command], cwd=Path(folder))
        try:
            kept = asyncio.run(
                measure(
                    server, seconds=arguments.seconds, times=arguments.times, deadline_s=arguments.deadline
                )
            )
        finally:
            server.stop()
    raise SystemExit(not kept)


if __name__ == "__main__":
    main()
