"""The CPUs that this process may really use, under every kind of cgroup."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from foretell.engine.cpus import cgroup_quota, usable_cpus

ALLOWED = len(os.sched_getaffinity(0))


def make_tree(root: Path, files: dict[str, str]) -> Path:
    """A file system with these control files; ``self`` stands for proc/self/cgroup, the rest is below sys/fs/cgroup."""
    for name, text in files.items():
        path = root / ("proc/self/cgroup" if name == "self" else f"sys/fs/cgroup/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


TREES: dict[str, tuple[dict[str, str], float | None]] = {
    "no cgroups": ({}, None),
    "v2 without a limit": ({"self": "0::/\n", "cpu.max": "max 100000\n"}, None),
    "v2 root": ({"self": "0::/\n", "cpu.max": "150000 100000\n"}, 1.5),
    "v2 fraction of a CPU": ({"self": "0::/\n", "cpu.max": "5000 100000\n"}, 0.05),
    "v2 group": ({"self": "0::/a/b\n", "a/b/cpu.max": "200000 100000\n"}, 2),
    "v2 nested, tightest above": (
        {"self": "0::/a/b/c\n", "a/cpu.max": "100000 100000", "a/b/cpu.max": "400000 100000"},
        1,
    ),
    "v2 nested, tightest below": (
        {
            "self": "0::/a/b\n",
            "cpu.max": "max 100000",
            "a/cpu.max": "400000 100000",
            "a/b/cpu.max": "50000 50000",
        },
        1,
    ),
    "v2 beside another group": ({"self": "0::/a\n", "b/cpu.max": "100000 100000"}, None),
    "v2 group of a container, seen from inside": (
        {"self": "0::/kubepods/pod1/abc\n", "cpu.max": "300000 100000"},
        3,
    ),
    "v2 group outside of the namespace": ({"self": "0::/../../other\n", "cpu.max": "100000 100000"}, 1),
    "v2 without the CPU controller": ({"self": "0::/a\n", "a/memory.max": "max"}, None),
    "v1": (
        {
            "self": "4:memory:/x\n3:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n",
            "cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "250000\n",
            "cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000\n",
        },
        2.5,
    ),
    "v1 without a limit": (
        {"self": "3:cpu:/\n", "cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
        None,
    ),
    "v1 mounted by the controller's name": (
        {"self": "3:cpuacct,cpu:/\n", "cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"},
        0.5,
    ),
    "v1 group of a container, seen from inside": (
        {"self": "3:cpu:/docker/abc\n", "cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "50000"},
        2,
    ),
    "v1 of another controller": (
        {"self": "3:cpuset:/\n", "cpuset/cpu.cfs_quota_us": "1000", "cpuset/cpu.cfs_period_us": "1000"},
        None,
    ),
    "v1 quota without a period": ({"self": "3:cpu:/\n", "cpu/cpu.cfs_quota_us": "100000"}, None),
    "hybrid, limit in v1": (
        {
            "self": "3:cpu:/a\n0::/b\n",
            "cpu/a/cpu.cfs_quota_us": "100000",
            "cpu/a/cpu.cfs_period_us": "100000",
            "unified/b/cgroup.procs": "",
        },
        1,
    ),
    "hybrid, limits in both": (
        {
            "self": "3:cpu:/a\n0::/b\n",
            "cpu/a/cpu.cfs_quota_us": "300000",
            "cpu/a/cpu.cfs_period_us": "100000",
            "unified/b/cpu.max": "200000 100000",
        },
        2,
    ),
}


@pytest.mark.parametrize(("files", "wanted"), TREES.values(), ids=TREES)
def test_the_tightest_quota_around_the_process_counts(
    tmp_path: Path, files: dict[str, str], wanted: float | None
) -> None:
    assert cgroup_quota(make_tree(tmp_path, files)) == wanted


@pytest.mark.parametrize(
    ("quota", "wanted"),
    [
        ("1000 100000", 1),
        ("100000 100000", 1),
        ("100001 100000", min(2, ALLOWED)),
        ("99900000 100000", ALLOWED),
    ],
    ids=["a hundredth", "one", "a little more than one", "more than there are"],
)
def test_a_quota_is_rounded_up_and_never_widens_the_affinity(tmp_path: Path, quota: str, wanted: int) -> None:
    assert usable_cpus(make_tree(tmp_path, {"self": "0::/\n", "cpu.max": quota})) == wanted


def test_without_a_quota_the_affinity_counts(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path) == ALLOWED


def test_this_machine_can_be_asked() -> None:
    assert 1 <= usable_cpus() <= ALLOWED


def test_a_process_bound_to_one_cpu_may_use_one() -> None:
    cpu = min(os.sched_getaffinity(0))
    script = (
        f"import os; os.sched_setaffinity(0, {{{cpu}}})\n"
        "from foretell.engine.cpus import usable_cpus; print(usable_cpus())"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == "1\n"
