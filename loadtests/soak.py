"""Millions of questions to the sample store: all plugins, two workers, all forms, several sizes, and models rolled out.

    python loadtests/soak.py [--questions 5000000] [--rate 1500] [--out build/soak]

Makes a second store of the same models, trained from another seed, so that their answers are others, and hands both to
`foretell loadtest --profile soak`: every ten seconds a model is rolled out from it, or back. No answer may be wrong, none
may be missing, and memory and file descriptors must not grow (loadtests/soak.toml). What stands after -- goes to
`foretell loadtest`. Needs `make .venv/.dev`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from foretell import publish  # noqa: E402 - the path comes first
from loadtests.bench.receiver import Receiver  # noqa: E402
from loadtests.ports import free_port  # noqa: E402
from scripts.build_store import SAMPLES, SEED  # noqa: E402

_ROWS: Final = (1, 4, 16)
_DISTINCT: Final = 200
_IRIS: Final = 'default = "champion"\n\n[aliases]\nchampion = 3\ncandidate = 4\n'


_PLUGINS: Final = (
    "plugins.enabled=tracing,metrics,fallback,canary,cache,shadow",
    "plugins.config.tracing.ratio=0.1",
    "models.iris.plugins.canary={weights = {candidate = 30}}",
    "models.iris.plugins.shadow=candidate",
)


def next_store(folder: Path) -> None:
    """The models of the sample store from another seed, under the numbers that follow."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "model_store", folder)
    for name, make in SAMPLES.items():
        now = [path for path in (folder / name).iterdir() if path.is_dir()]
        for model in make(SEED + 1):
            told = publish(
                model.estimator, model.train, name=name, store=folder, description=model.description
            )
            print(told, file=sys.stderr)
        for version in now:
            shutil.rmtree(version)
    (folder / "iris" / "model.toml").write_text(_IRIS)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--questions", type=int, default=5_000_000, help="how many are asked; %(default)s")
    parser.add_argument("--rate", type=float, default=1500, help="how many in a second; %(default)s")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "soak", help="the folder; %(default)s")
    parser.add_argument("more", nargs="*", help="handed to foretell loadtest")
    arguments = parser.parse_args()
    following = arguments.out / "next"
    next_store(following)
    command = [sys.executable, "-m", "foretell", "loadtest", "--profile", "soak", "--default-model", "iris"]
    command += ["--store", str(ROOT / "model_store"), "--next", str(following), "--out", str(arguments.out)]
    command += ["--rate", str(arguments.rate), "--duration", str(arguments.questions / arguments.rate)]
    command += ["--targets", str(ROOT / "loadtests" / "soak.toml"), "--distinct", str(_DISTINCT)]
    command += [flag for rows in _ROWS for flag in ("--rows", str(rows))]
    command += [*arguments.more, "--any-version", "--", "--workers", "2"]
    receiver_folder = arguments.out / "receiver"
    shutil.rmtree(receiver_folder, ignore_errors=True)
    receiver_folder.mkdir()
    with Receiver(receiver_folder, max(os.sched_getaffinity(0)), free_port()) as receiver:
        for setting in (*_PLUGINS, f"plugins.config.tracing.endpoint={receiver.endpoint}"):
            command += ["--set", setting]
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
        print(f"the receiver of spans has got {receiver.received():,} bytes")
    sys.exit(status)


if __name__ == "__main__":
    main()
