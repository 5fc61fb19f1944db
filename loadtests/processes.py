"""How much memory a process takes."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["proportional_mb", "resident_mb"]


def resident_mb(pid: int | None = None) -> float:
    """The memory of a process, of this one if None, MB."""
    pages = int(Path(f"/proc/{pid or 'self'}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def proportional_mb(pid: int) -> float:
    """The memory of a process, MB; what it shares counts in part."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(size) for size in re.findall(r"^Pss: +(\d+) kB", rollup, re.MULTILINE)) * 1024 / 1e6
