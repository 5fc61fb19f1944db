"""No request is dropped while versions come and go: clients in a closed loop, and a store that changes under them.

    python loadtests/reload.py [--reloads 200] [--clients 32]

A real server in a process of its own; half of the clients keep their connections, half open one for each request. The
changes take turns: a version is published, the alias moves to it, a corrupt version appears and is replaced by a good
one of its number, the alias is rolled back, old versions are removed. Each is awaited in the catalogue. Every answer is
checked against the version that it names. Needs `make .venv/.dev`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.servers import RunningServer  # noqa: E402 - the path comes first
from tests.soak import SETTINGS, ReloadSoak  # noqa: E402


def main() -> None:
    """Run it, and print what it came to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--reloads", type=int, default=200, help="how many changes of the store are made; %(default)s"
    )
    parser.add_argument("--clients", type=int, default=32, help="how many clients ask at once; %(default)s")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "model_store"
        soak = ReloadSoak(store)
        soak.fill(arguments.reloads)
        command = [sys.executable, "-m", "foretell", "serve", "--store", str(store), "--port", "0", *SETTINGS]
        server = RunningServer(command, cwd=Path(folder))
        try:
            figures = asyncio.run(soak.run(server, reloads=arguments.reloads, clients=arguments.clients))
        finally:
            server.stop()
    rss = [each / 1e6 for each in figures.resident_bytes]
    print(f"clients              {arguments.clients}")
    print(f"reloads              {figures.reloads} in {figures.took_s:.1f} s")
    print(f"requests             {figures.requests} ({figures.requests / figures.took_s:.0f} a second)")
    print(f"failed or wrong      {len(figures.failed)}")
    print(f"latency              p99 {figures.p99_ms:.1f} ms, slowest {figures.slowest_ms:.1f} ms")
    print(f"memory, MB           first {rss[0]:.1f}, last {rss[-1]:.1f}, greatest {max(rss):.1f}")
    print(f"last to second quarter {figures.growth:.3f}")
    for each in figures.failed[:10]:
        print(each)
    raise SystemExit(bool(figures.failed))


if __name__ == "__main__":
    main()
