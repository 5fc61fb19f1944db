"""Counts the instructions that a part of a program takes, by valgrind: what else the machine does has no part in them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_TRIGGER: Final = re.compile(r"^desc: Trigger: dump (.*)$", re.MULTILINE)
_TOTAL: Final = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


def count(command: list[str]) -> dict[str, int]:
    """Run a Python program under valgrind.

    Args:
        command: The program's file and its arguments.

    Returns:
        How many instructions each part took that it marked with `counted`, by its name, in that order.

    Raises:
        SystemExit: There is no valgrind, or the program fails.
    """
    if shutil.which("valgrind") is None:
        raise SystemExit("counting instructions needs valgrind: apt-get install valgrind")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "callgrind.out")
        options = ["--tool=callgrind", "--quiet", "--instr-atstart=no", f"--callgrind-out-file={out}"]
        # A fixed seed of hashes: the order of sets would change what is counted.
        run = subprocess.run(
            ["valgrind", *options, sys.executable, *command],
            env={**os.environ, "PYTHONHASHSEED": "0"},
            check=False,
        )
        if run.returncode:
            raise SystemExit(f"the program under valgrind ended with {run.returncode}")
        parts = sorted(out.parent.glob("callgrind.out.*"), key=lambda path: int(path.suffix[1:]))
        return dict(map(_part, [path.read_text() for path in parts]))


@contextmanager
def counted(name: str) -> Generator[None]:
    """Within this block, of a program that `count` runs, instructions are counted; the name is a word."""
    _control("--instr=on")
    _control("--zero")
    yield
    _control(f"--dump={name}")
    _control("--instr=off")


def _control(option: str) -> None:
    subprocess.run(["callgrind_control", option, str(os.getpid())], capture_output=True, check=True)


def _part(text: str) -> tuple[str, int]:
    name, total = _TRIGGER.search(text), _TOTAL.search(text)
    if name is None or total is None:
        raise SystemExit("callgrind wrote something that cannot be read")
    return name[1], int(total[1])
