"""A server's processes: started on one CPU, with what they cost, and ended together."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Final, Self

from loadtests.processes import proportional_mb, resident_mb

__all__ = ["ServerProcess", "cores"]

_PARENT, _SESSION, _BEGAN = 1, 3, 19
"""Where these stand in /proc/PID/stat, counted from the third field. Source: proc(5)."""

_TICKS: Final = os.sysconf("SC_CLK_TCK")

ENVIRON: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "ORT_TELEMETRY_DISABLED": "1",
    "PYTHONWARNINGS": "ignore",
}
"""What every server gets, however it is started."""
OTHERS: Final = ("COVERAGE_", "FORETELL_", "OTEL_")
"""How variables begin that no server gets: they are meant for whoever starts the bench."""


def cores() -> tuple[int, int]:
    """The CPU for servers and the one for the load; the same, if this process may use no more than one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[-1], allowed[0]


class ServerProcess:
    """A command, and all processes that it starts.

    Args:
        command: The command.
        environ: Variables beside those of this process.
        folder: Where it runs; what it prints goes to `log` there.
        core: The one CPU that all of them share.
    """

    def __init__(self, command: list[str], environ: dict[str, str], folder: Path, core: int) -> None:
        self._log = folder / "log"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OTHERS)}
        with self._log.open("wb") as log:
            self.began = time.perf_counter()
            self._process = subprocess.Popen(
                ["taskset", "--cpu-list", str(core), *command],
                cwd=folder,
                env={**kept, **ENVIRON, **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs."""
        return self._process.poll()

    def log_end(self, length: int = 600) -> str:
        """The end of what it printed."""
        return self._log.read_text(errors="replace")[-length:]

    def pids(self) -> list[int]:
        """Its processes: those of its session, and what descends from it."""
        found = {self._process.pid}
        told = _all_processes()
        before = 0
        while len(found) != before:
            before = len(found)
            found |= {
                pid
                for pid, (parent, session) in told.items()
                if parent in found or session == self._process.pid
            }
        return sorted(found & told.keys())

    def cpu_s(self) -> float:
        """The CPU time of all of them so far, seconds, with those of their children that have ended."""
        ticks = 0
        for pid in self.pids():
            fields = _fields(pid)
            ticks += sum(map(int, fields[11:15])) if fields else 0
        return ticks / _TICKS

    def resident_mb(self) -> float:
        """The memory of all of them, MB; what they share counts in each."""
        return sum(map(resident_mb, self.pids()))

    def proportional_mb(self) -> float:
        """The memory of all of them, MB; what they share counts once."""
        return sum(map(proportional_mb, self.pids()))

    def stop(self) -> None:
        """End all of them: politely, and after ten seconds for good."""
        began = {pid: fields[_BEGAN] for pid in self.pids() if (fields := _fields(pid))}
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for pid, when in began.items():  # those whom the first left behind
            fields = _fields(pid)
            if fields and fields[_BEGAN] == when:
                _kill(pid)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _all_processes() -> dict[int, tuple[int, int]]:
    """The parent and the session of every process."""
    found: dict[int, tuple[int, int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (fields := _fields(int(entry.name))):
            found[int(entry.name)] = int(fields[_PARENT]), int(fields[_SESSION])
    return found


def _fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on; none if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return stat.rpartition(")")[2].split()
