"""The server of a load test: a process of its own, on a free port, for as long as it is needed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from foretell.errors import ForetellError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Server"]

_START_S: Final = 120.0
_END_S: Final = 60.0


class Server:
    """``foretell serve`` on a free port, while it is entered. Ctrl-C does not reach it.

    Args:
        arguments: What else it is told, such as ``--store``.
        log: The file that its log goes to.

    Attributes:
        url: Where it listens.
    """

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        self.url = ""
        self._log = log
        command = [
            sys.executable,
            "-m",
            "foretell",
            "serve",
            "--port",
            "0",
            "--log-format",
            "json",
            *arguments,
        ]
        self._process = subprocess.Popen(  # noqa: S603 - this Python, with the caller's own options
            command, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        self._serves = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process, whose children its workers are."""
        return self._process.pid

    def __enter__(self) -> Self:
        try:
            self._serves.wait(_START_S)
        except BaseException:
            self._stop()
            raise
        if not self.url:
            self._stop()
            told = self._log.read_text().splitlines()
            raise ForetellError(f"the server does not start: {told[-1] if told else 'it says nothing'}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()

    def _read(self) -> None:
        if self._process.stderr is None:
            raise TypeError("the log goes elsewhere")
        with self._log.open("w") as log, self._process.stderr as lines:
            for line in lines:
                log.write(line)
                log.flush()
                if not self.url and line.startswith("{"):
                    event = json.loads(line)
                    if event.get("event") == "serving":
                        self.url = event["url"]
                        self._serves.set()
        self._serves.set()
