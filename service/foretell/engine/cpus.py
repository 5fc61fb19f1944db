"""How many CPUs this process may really use: its affinity and its cgroup's quota, not the host's count."""

from __future__ import annotations

import math
import os
from pathlib import Path

__all__ = ["cgroup_quota", "usable_cpus"]


def usable_cpus(root: Path = Path("/")) -> int:
    """The number of CPUs to plan for, at least 1: the affinity mask, narrowed by the cgroup quota rounded up.

    Args:
        root: Where ``proc`` and ``sys`` are mounted.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota(root)
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def cgroup_quota(root: Path = Path("/")) -> float | None:
    """The CPUs that the tightest cgroup around this process grants, for instance 0.5; None without a limit.

    Source: Linux kernel documentation, cgroup-v2 (``cpu.max``) and CFS bandwidth control
    (``cpu.cfs_quota_us``, ``cpu.cfs_period_us``).
    """
    quotas = [
        quota
        for mount, group in _cpu_groups(root)
        for folder in _with_parents(mount, group)
        if (quota := _quota(folder)) is not None
    ]
    return min(quotas, default=None)


def _cpu_groups(root: Path) -> list[tuple[Path, str]]:
    """The mount point and this process's group of each hierarchy that can limit CPU time."""
    base = root / "sys/fs/cgroup"
    found: list[tuple[Path, str]] = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if not controllers:
            found += [(base, group), (base / "unified", group)]
        elif "cpu" in controllers.split(","):
            found += [(base / controllers, group), (base / "cpu", group)]
    return found


def _with_parents(mount: Path, group: str) -> list[Path]:
    """The group's folder and those around it. Inside a container the group's own path may not be visible."""
    folder = mount / group.lstrip("/")
    return [folder, *(parent for parent in folder.parents if parent == mount or mount in parent.parents)]


def _quota(folder: Path) -> float | None:
    unified = _read(folder / "cpu.max").split()
    if len(unified) == 2 and unified[0] != "max":
        return int(unified[0]) / int(unified[1])
    quota = _read(folder / "cpu.cfs_quota_us").strip()
    period = _read(folder / "cpu.cfs_period_us").strip()
    return int(quota) / int(period) if quota and period and int(quota) > 0 else None


def _read(path: Path) -> str:
    """A control file's text; empty where this kernel or this mount has none."""
    try:
        return path.read_text()
    except OSError:
        return ""
