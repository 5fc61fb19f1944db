"""Real servers on free ports, for tests that speak HTTP to them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SAMPLE_STORE = ROOT / "model_store"
_MEASURES = "COVERAGE_PROCESS_CONFIG"


def environment(environ: dict[str, str], *, measured: bool = False) -> dict[str, str]:
    """The variables of a process that a test starts.

    Counting covered lines makes a server a third slower to start, and the tests start hundreds: only those whose code
    runs nowhere else are measured.
    """
    return environ if measured else {key: value for key, value in environ.items() if key != _MEASURES}


class RunningServer:
    """A server process: its address, its log, and its end.

    Args:
        command: What starts it.
        cwd: Where.
        environ: Variables beside those of the tests.
        measured: Whether its lines are counted as covered; see `environment`.

    Attributes:
        url: Where it listens.
        events: The lines of its log so far.
    """

    def __init__(
        self,
        command: list[str],
        *,
        cwd: Path,
        environ: dict[str, str] | None = None,
        measured: bool = False,
    ) -> None:
        self.events: list[dict[str, Any]] = []
        self.raw: list[str] = []
        self._heard = threading.Condition()
        self._ended = False
        self._told = False
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment({**os.environ, **(environ or {})}, measured=measured),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def url(self) -> str:
        url: str = self.wait_for("serving")["url"]
        return url

    def wait_for(self, event: str, *, timeout_s: float = 120, **fields: Any) -> dict[str, Any]:
        """The first log line of an event, with some fields; waits for it."""
        with self._heard:
            found = self._heard.wait_for(lambda: self._find(event, fields) or self._ended, timeout_s)
            match = self._find(event, fields)
            if not found or match is None:
                raise AssertionError(f"no event {event!r} with {fields} in {self.raw}")
            return match

    def wait_for_more(self, event: str, count: int, **fields: Any) -> list[dict[str, Any]]:
        """The first so many log lines of an event, with some fields; waits for them."""

        def matching() -> list[dict[str, Any]]:
            wanted = {"event": event, **fields}
            return [line for line in self.events if wanted.items() <= line.items()]

        with self._heard:
            self._heard.wait_for(lambda: len(matching()) >= count or self._ended, 120)
            found = matching()[:count]
        assert len(found) == count, (event, fields, self.raw)
        return found

    def wait_for_text(self, text: str, *, timeout_s: float = 60) -> str:
        """The first log line that holds a text; waits for it."""
        with self._heard:
            self._heard.wait_for(lambda: any(text in line for line in self.raw) or self._ended, timeout_s)
            return next(line for line in self.raw if text in line)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, and return the exit status."""
        if self.process.poll() is None:
            self._told = True
            self.process.send_signal(number)
        status = self.process.wait(30)
        self._reader.join(30)
        return status

    def tell_to_stop(self) -> None:
        """Tell it to stop if nobody has; being told twice, it would not end in good order."""
        if not self._told and self.process.poll() is None:
            self._told = True
            self.process.terminate()

    def wait_or_kill(self) -> None:
        """Wait until it has ended; kill it if it does not end."""
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        self._reader.join(30)

    def wait_for_end(self) -> int:
        """Wait until it has ended by itself, and whoever writes to its log with it; returns the exit status."""
        self._reader.join(120)
        assert not self._reader.is_alive()
        return self.process.wait(120)

    def _find(self, event: str, fields: dict[str, Any]) -> dict[str, Any] | None:
        wanted = {"event": event, **fields}
        return next((line for line in self.events if wanted.items() <= line.items()), None)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._heard:
                self.raw.append(line)
                with contextlib.suppress(json.JSONDecodeError):
                    self.events.append(json.loads(line))
                self._heard.notify_all()
        self.process.stderr.close()
        with self._heard:
            self._ended = True
            self._heard.notify_all()


Serve = Callable[..., RunningServer]
"""Starts a command that serves, in a folder (``cwd``) and with variables (``environ``)."""
ServeStore = Callable[..., RunningServer]


def wait_until(condition: Callable[[], object], *, timeout_s: float = 30) -> None:
    """Wait until something holds, for instance because every worker has followed the store."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
