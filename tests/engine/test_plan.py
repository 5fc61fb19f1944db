"""The plan never keeps more threads busy than there are CPUs, unless it is told to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.engine.cpus import usable_cpus
from foretell.engine.plan import make_plan
from foretell.settings import EngineSettings, Settings
from foretell.settings.model import ServerSettings


def plan_of(cpus: int, workers: Any, **engine: Any) -> Any:
    return make_plan(Settings(server=ServerSettings(workers=workers), engine=EngineSettings(**engine)), cpus)


@given(st.integers(1, 128), st.one_of(st.just("auto"), st.integers(1, 128)), st.integers(1, 16))
def test_busy_threads_never_exceed_cpus_where_each_worker_can_have_one(
    cpus: int, workers: Any, intra_op_threads: int
) -> None:
    plan = plan_of(cpus, workers, intra_op_threads=intra_op_threads)
    assert plan.run_threads >= 1
    assert plan.busy_threads <= max(cpus, plan.workers * intra_op_threads)
    assert plan.reasons.keys() == {"cpus", "workers", "run_threads", "intra_op_threads"}


@pytest.mark.parametrize(
    ("cpus", "workers", "intra_op_threads", "expected"),
    [(8, 1, 1, (1, 8)), (8, "auto", 1, (8, 1)), (8, 2, 2, (2, 2)), (2, 4, 1, (4, 1)), (1, "auto", 4, (1, 1))],
    ids=str,
)
def test_the_cpus_are_divided(
    cpus: int, workers: Any, intra_op_threads: int, expected: tuple[int, int]
) -> None:
    plan = plan_of(cpus, workers, intra_op_threads=intra_op_threads)
    assert (plan.workers, plan.run_threads) == expected


def test_what_is_set_stands() -> None:
    plan = plan_of(2, 1, run_threads=7)
    assert (plan.run_threads, plan.reasons["run_threads"]) == (7, "engine.run_threads")


@pytest.mark.skipif(usable_cpus() < 2, reason="with one CPU there is nothing to take away")
def test_the_affinity_mask_counts() -> None:
    first = min(os.sched_getaffinity(0))
    asked = (
        "from foretell.engine.plan import make_plan; from foretell.settings import Settings; "
        "plan = make_plan(Settings()); print(plan.cpus, plan.run_threads)"
    )
    ran = subprocess.run(
        ["taskset", "--cpu-list", str(first), sys.executable, "-c", asked],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert ran.stdout.split() == ["1", "1"]


@pytest.fixture
def half_a_cpu() -> Iterator[Path]:
    """A real cgroup that grants half a CPU: the file to which a process writes its number to enter it."""
    for mount, limits in _CPU_CONTROLLERS.items():
        group = mount / f"foretell-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if not all((group / file).exists() for file in limits):
                continue  # an ordinary folder, or a group without this controller
            for file, value in limits.items():
                (group / file).write_text(value)
            yield group / "cgroup.procs"
            return
        finally:
            group.rmdir()
    pytest.skip("this machine allows no cgroup with a quota to be made")


_CPU_CONTROLLERS = {
    Path("/sys/fs/cgroup"): {"cpu.max": "50000 100000"},
    Path("/sys/fs/cgroup/cpu"): {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000"},
    Path("/sys/fs/cgroup/cpu,cpuacct"): {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000"},
}


def test_the_quota_of_a_real_cgroup_counts(half_a_cpu: Path) -> None:
    asked = (
        "import os; from pathlib import Path; "
        f"Path({str(half_a_cpu)!r}).write_text(str(os.getpid())); "
        "from foretell.engine.cpus import cgroup_quota; from foretell.engine.plan import make_plan; "
        "from foretell.settings import Settings, ServerSettings; "
        "plan = make_plan(Settings(server=ServerSettings(workers='auto'))); "
        "print(cgroup_quota(), plan.cpus, plan.workers, plan.run_threads)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.split() == ["0.5", "1", "1", "1"]
