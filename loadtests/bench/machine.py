"""What a run ran on, for whoever reads its figures later."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Final

__all__ = ["describe"]

ROOT: Final = Path(__file__).parents[2]


def describe(server_core: int, load_core: int) -> dict[str, str]:
    """The machine, the date, and the commit of foretell."""
    told = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", told, re.MULTILINE)
    return {
        "cpu": model[1] if model else platform.machine(),
        "cpus": str(os.cpu_count()),
        "server on CPU": str(server_core),
        "load on CPU": str(load_core),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "commit": _git("rev-parse", "--short", "HEAD")
        + (" and changes" if _git("status", "--porcelain") else ""),
    }


def _git(*arguments: str) -> str:
    """What git says; `unknown` outside a clone."""
    run = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return run.stdout.strip() if run.returncode == 0 else "unknown"
