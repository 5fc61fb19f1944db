"""The load generator: wrk, on a CPU of its own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

import msgspec

__all__ = ["Load", "LoadError", "Wrk", "parse"]

SCRIPT: Final = Path(__file__).with_name("requests.lua")


class LoadError(RuntimeError):
    """wrk is missing, failed, or said something else than what came of it."""


class Load(msgspec.Struct, frozen=True):
    """What came of asking for some time.

    Attributes:
        requests: How many requests were answered.
        duration_us: In how long, µs.
        p50_us: Half of them were answered faster than this, µs.
        p99_us: 99 of 100 were, µs.
        max_us: The slowest took this long, µs.
        errors: What went wrong how often: connections that failed, broke or stood still, and statuses above 399.
    """

    requests: int
    duration_us: int
    p50_us: int
    p99_us: int
    max_us: int
    errors: dict[str, int]

    @property
    def per_s(self) -> float:
        """Requests a second."""
        return self.requests / (self.duration_us / 1e6)

    @property
    def fault(self) -> str | None:
        """Why this is no measurement; None if it is one."""
        wrong = [f"{count} {kind}" for kind, count in self.errors.items() if count]
        if wrong:
            return f"errors under load: {', '.join(wrong)}"
        return None if self.requests else "not one request was answered"


def parse(printed: str) -> Load:
    """Read what wrk printed: the line of JSON that the script writes at its end.

    Raises:
        LoadError: There is no such line.
    """
    for line in reversed(printed.splitlines()):
        if line.startswith("{"):
            try:
                return msgspec.json.decode(line, type=Load)
            except msgspec.DecodeError as error:
                raise LoadError(f"wrk's figures cannot be read: {error}: {line}") from error
    raise LoadError(f"wrk printed no figures: {printed!r}")


class Wrk:
    """Asks one server after the other; no request equals an earlier one, where it holds the model's mark.

    Args:
        folder: An empty folder, for the requests.
        core: The CPU that it runs on.

    Raises:
        LoadError: wrk is not installed.
    """

    def __init__(self, folder: Path, core: int) -> None:
        program = shutil.which("wrk")
        if program is None:
            raise LoadError("load is made by wrk, which is not installed: apt-get install wrk")
        self._command = ["taskset", "--cpu-list", str(core), program]
        self._folder = folder
        self._asked = 0

    def run(self, port: int, requests: list[bytes], mark: str, *, connections: int, seconds: float) -> Load:
        """Ask for some time, each connection after its last answer.

        Args:
            port: Where the server listens on 127.0.0.1.
            requests: Whole HTTP requests, which take turns.
            mark: The text in them that is replaced by ever another number of its length.
            connections: How many are open.
            seconds: For how long; wrk counts whole seconds, so that it is rounded up.

        Raises:
            LoadError: wrk fails.
        """
        for number, request in enumerate(requests):
            (self._folder / str(number)).write_bytes(request)
        whole = max(1, int(-(-seconds // 1)))
        options = [
            "--threads",
            "1",
            "--connections",
            str(connections),
            "--duration",
            f"{whole}s",
            "--latency",
        ]
        options += ["--timeout", "30s", "--script", str(SCRIPT), f"http://127.0.0.1:{port}"]
        script = [str(self._folder), str(len(requests)), mark, str(self._asked)]
        run = subprocess.run(
            [*self._command, *options, "--", *script],
            capture_output=True,
            text=True,
            timeout=whole + 60,
            check=False,
        )
        if run.returncode:
            raise LoadError(f"wrk ended with {run.returncode}: {run.stderr or run.stdout}")
        load = parse(run.stdout)
        self._asked += load.requests + 2 * connections  # those without an answer were sent too
        return load
