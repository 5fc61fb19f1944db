"""What workers take in memory for a model of large weights, each with a copy of its own and all with one.

    python loadtests/weights.py [--hidden 4096] [--workers 2]

A real server, started once for each; its workers answer some requests before they are looked at. PSS counts a page that
several processes have as a part for each. Needs `make .venv/.dev`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import httpx

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from loadtests.heavy import NAME, body, write_heavy  # noqa: E402 - the path comes first
from loadtests.processes import proportional_mb  # noqa: E402
from tests.servers import RunningServer  # noqa: E402

_ASKED: Final = 20


def ask(server: RunningServer) -> float:
    """Ask on connections of their own, so that every worker answers; returns the median duration, ms."""
    durations: list[float] = []
    for _ in range(_ASKED):
        began = time.perf_counter()
        httpx.post(f"{server.url}/v1/models/{NAME}:predict", content=body()).raise_for_status()
        durations.append((time.perf_counter() - began) * 1000)
    return statistics.median(durations)


def main() -> None:
    """Measure, print, and exit with 1 where sharing saves less than three quarters of what it could."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--hidden", type=int, default=4096, help="the width of the model")
    parser.add_argument("--workers", type=int, default=2, help="how many workers answer; %(default)s")
    arguments = parser.parse_args()
    found: dict[bool, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "model_store"
        weights_mb = write_heavy(store, hidden=arguments.hidden).stat().st_size / 1e6
        print(f"{weights_mb:.0f} MB of weights, {arguments.workers} workers")
        for shares in (False, True):
            command = [sys.executable, "-m", "foretell", "serve", "--store", str(store), "--port", "0"]
            command += ["--workers", str(arguments.workers), "--set", "plugins.enabled=metrics"]
            command += ["--set", f"engine.share_weights={str(shares).lower()}"]
            server = RunningServer(command, cwd=Path(folder))
            try:
                took_ms = ask(server)
                pids = [
                    server.wait_for("worker ready", worker=slot)["pid"] for slot in range(arguments.workers)
                ]
                each = [proportional_mb(pid) for pid in pids]
            finally:
                server.stop()
            found[shares] = sum(each)
            listed = " + ".join(f"{one:.0f}" for one in each)
            name = "one copy for all" if shares else "a copy in each  "
            print(f"{name}  {listed} = {sum(each):.0f} MB of PSS, one row {took_ms:.1f} ms")
    saved_mb = found[False] - found[True]
    print(f"saved      {saved_mb:8.0f} MB")
    raise SystemExit(saved_mb < 0.75 * weights_mb * (arguments.workers - 1))


if __name__ == "__main__":
    main()
