"""loadtests/bench/process.py"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from loadtests.bench.process import ServerProcess, cores
from tests.servers import wait_until

BUSY = """
import subprocess, sys, time
child = "import time\\nwhile time.process_time() < 0.3: pass\\nprint('child', flush=True)\\ntime.sleep(60)"
subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
while time.process_time() < 0.2: pass
print("parent", flush=True)
time.sleep(60)
"""


def is_running(pid: int) -> bool:
    """Whether a process is there and is more than a status that nobody has asked for."""
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def test_cpu_and_memory_are_those_of_the_whole_tree_and_all_of_it_ends(tmp_path: Path) -> None:
    core, _ = cores()
    with ServerProcess([sys.executable, "-c", BUSY], {}, tmp_path, core) as server:
        wait_until(lambda: {"parent", "child"} <= set(server.log_end().split()))
        pids = server.pids()
        assert len(pids) == 2
        assert [os.sched_getaffinity(pid) for pid in pids] == [{core}, {core}]
        assert server.cpu_s() >= 0.48  # both, but for a tick each
        assert server.resident_mb() > server.proportional_mb() > 1
        running = server.status
    assert (running, server.status) == (None, -15)
    wait_until(lambda: not any(map(is_running, pids)))


def test_a_program_that_ends_leaves_its_status_and_its_log(tmp_path: Path) -> None:
    program = "import sys; print('out'); sys.exit('no port')"
    with ServerProcess([sys.executable, "-c", program], {}, tmp_path, cores()[0]) as server:
        wait_until(lambda: server.status is not None)
        assert server.status == 1
        assert set(server.log_end().split("\n")) == {"out", "no port", ""}
        assert server.pids() == []


def test_settings_of_the_caller_do_not_reach_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETELL_SERVER__PORT", "1")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    program = (
        "import os; print(sorted(name for name in os.environ if name[:5] in ('FORET', 'OTEL_', 'OMP_N')))"
    )
    with ServerProcess([sys.executable, "-c", program], {}, tmp_path, cores()[0]) as server:
        wait_until(lambda: server.status is not None)
        assert server.log_end() == "['OMP_NUM_THREADS']\n"
