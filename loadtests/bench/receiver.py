"""The receiver of spans, for contenders that trace: it runs beside the load, so that its time is nobody's."""

from __future__ import annotations

import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Final, Self

from loadtests.bench.contender import SERVERS
from loadtests.bench.process import ServerProcess

__all__ = ["Receiver"]

START_S: Final = 20.0
GATHERED_S: Final = 8.0
"""Exporters send what they have gathered after five seconds at the latest, unless they are told otherwise."""


class Receiver:
    """Takes spans over HTTP while it is entered.

    Args:
        folder: Where its log goes; an empty folder.
        core: The CPU that it shares with the load.
        port: Where it listens, on 127.0.0.1.

    Attributes:
        endpoint: Where exporters are to send.
    """

    def __init__(self, folder: Path, core: int, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self._port = port
        command = [sys.executable, "-m", "uvicorn", "--app-dir", str(SERVERS), "receiver:app"]
        command += ["--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log"]
        self._process = ServerProcess(command, {}, folder, core)

    def __enter__(self) -> Self:
        try:
            self._wait()
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    def received(self) -> int:
        """How many bytes it has got."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", "/")
            return int(connection.getresponse().read())
        finally:
            connection.close()

    def gets_more_than(self, had: int) -> bool:
        """Whether it has got more bytes than that, or does in as long as exporters gather spans."""
        until = time.monotonic() + GATHERED_S
        while not (more := self.received() > had) and time.monotonic() < until:
            time.sleep(0.1)
        return more

    def _wait(self) -> None:
        began = time.monotonic()
        while True:
            try:
                self.received()
            except OSError as error:
                if self._process.status is not None or time.monotonic() - began > START_S:
                    message = f"the receiver of spans does not start: {self._process.log_end()}"
                    raise subprocess.SubprocessError(message) from error
                time.sleep(0.05)
            else:
                return
