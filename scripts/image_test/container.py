"""A container of the image, with the limits that it is tried with."""

from __future__ import annotations

import json
import time
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from loadtests.ports import free_port
from scripts.image_test.tools import ToolsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scripts.image_test.tools import Tools

__all__ = ["Answer", "Container"]

_LIMITS: Final = ("--memory", "256m", "--memory-swap", "256m", "--cpus", "0.5", "--pids-limit", "256")
_LOCKED: Final = ("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges")
_WAIT_S: Final = 90.0
_PAUSE_S: Final = 0.02


class Answer(NamedTuple):
    """An answer: its status, and its body."""

    status: int
    body: bytes


class Container:
    """A container, while it is entered: read-only, without capabilities, and with little memory and CPU.

    Args:
        tools: What runs it.
        image: The image.
        models: The folder of the models.
        mounted: Where the container finds it.
        environ: Variables.
        options: Further options of ``podman run``.
        command: What is told to the image.

    Attributes:
        port: Where it answers.
        began: When it was started, by `time.monotonic`.
    """

    def __init__(
        self,
        tools: Tools,
        image: str,
        models: Path,
        *,
        mounted: str = "/models",
        environ: Mapping[str, str] | None = None,
        port_variable: str = "FORETELL_SERVER__PORT",
        options: tuple[str, ...] = (),
        command: tuple[str, ...] = (),
    ) -> None:
        self.port = free_port()
        self.began = 0.0
        self._tools = tools
        self._id = ""
        variables = {port_variable: str(self.port), **(environ or {})}
        self._command = (
            *("run", "--detach", "--pull", "never", *_LOCKED, *_LIMITS, *options),
            *(part for key, value in variables.items() for part in ("--env", f"{key}={value}")),
            *("--volume", f"{models}:{mounted}:ro", image, *command),
        )

    def __enter__(self) -> Self:
        self.began = time.monotonic()
        self._id = self._tools.podman(*self._command).splitlines()[-1]
        return self

    def __exit__(self, *_: object) -> None:
        self._tools.podman("rm", "--force", "--time", "0", self._id)

    def ask(self, path: str, message: object = None, *, timeout_s: float = 60) -> Answer:
        """Ask it: with GET, or with POST if there is a message.

        Raises:
            OSError: It does not answer.
            HTTPException: It breaks off.
        """
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            if message is None:
                connection.request("GET", path)
            else:
                connection.request("POST", path, json.dumps(message), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return Answer(answer.status, answer.read())
        finally:
            connection.close()

    def until_answered(self, path: str, message: object = None) -> Answer:
        """Ask until the answer is a 200.

        Raises:
            ToolsError: It is not in time.
        """
        until, told = time.monotonic() + _WAIT_S, "it does not answer"
        while time.monotonic() < until:
            try:
                answer = self.ask(path, message)
            except (OSError, HTTPException) as error:
                told = str(error)
            else:
                if answer.status == 200:
                    return answer
                told = f"{answer.status} {answer.body[:300]!r}"
            time.sleep(_PAUSE_S)
        raise ToolsError(f"{path}: {told}; the container's log ends with {self.log()[-2000:]}")

    def execute(self, *command: str, check: bool = True) -> str:
        """What a command prints that runs within it."""
        return self._tools.podman("exec", self._id, *command, check=check)

    def told(self, template: str) -> str:
        """What podman tells of it, such as ``{{.State.ExitCode}}``."""
        return self._tools.podman("inspect", "--format", template, self._id)

    def podman(self, *command: str) -> str:
        """Run a command of podman that ends with its name."""
        return self._tools.podman(*command, self._id)

    def log(self) -> str:
        """What it has written so far."""
        return self._tools.podman("logs", self._id)
