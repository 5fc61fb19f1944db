"""The programs that images are made and run with, and how they are told to do so on any machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

__all__ = ["Tools", "ToolsError"]

_PROGRAMS: Final = {"buildah": "buildah", "podman": "podman", "runc": "runc", "debootstrap": "debootstrap"}
"""What is needed, and the Debian packages that have it."""

_CONF: Final = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
netns = "host"

[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
"""No systemd, no network of its own: what works within a container and in a small virtual machine, too."""


class ToolsError(Exception):
    """A program is missing, or failed."""


class Tools:
    """Runs buildah and podman.

    Args:
        folder: Where their settings go.

    Raises:
        ToolsError: One is missing, or this user may not use them.
    """

    def __init__(self, folder: Path) -> None:
        missing = [package for program, package in _PROGRAMS.items() if shutil.which(program) is None]
        if missing:
            raise ToolsError(
                f"install them first: apt-get install --no-install-recommends {' '.join(missing)}"
            )
        if os.geteuid() != 0:
            raise ToolsError("only root may make a base image and limit memory: sudo make image-test")
        (folder / "containers.conf").write_text(_CONF)
        self._folder = folder  # conmon leaves files where it is started
        self._environ = {**os.environ, "CONTAINERS_CONF": str(folder / "containers.conf")}

    def run(self, *command: str, shown: bool = False, check: bool = True) -> str:
        """Run a command; what it prints.

        Args:
            command: The command.
            shown: Whether what it prints goes to the terminal, too.
            check: Whether it must end with 0.

        Raises:
            ToolsError: It does not.
        """
        lines: list[str] = []
        with subprocess.Popen(
            command,
            cwd=self._folder,
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            for line in process.stdout or ():
                lines.append(line)
                if shown:
                    sys.stdout.write(f"    {line}")
                    sys.stdout.flush()
        if check and process.returncode:
            told = "" if shown else f": {''.join(lines[-20:])}"
            raise ToolsError(f"{' '.join(command[:3])} … ended with {process.returncode}{told}")
        return "".join(lines).strip()

    def podman(self, *arguments: str, check: bool = True) -> str:
        """Run podman; what it prints."""
        return self.run("podman", *arguments, check=check)
