"""The base image, made from Debian's packages where no registry has it for us."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scripts.image_test.tools import ToolsError

if TYPE_CHECKING:
    from scripts.image_test.tools import Tools

__all__ = ["base_name", "make_base"]

_SUITE: Final = "bookworm"
_PACKAGES: Final = "python3,python3-venv,ca-certificates"
_SOURCES: Final = (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*")))


def base_name(containerfile: Path) -> str:
    """What the Containerfile calls its base image."""
    found = re.search(r"^ARG BASE=(\S+)$", containerfile.read_text(), re.MULTILINE)
    if found is None:
        raise ToolsError(f"{containerfile} names no base image")
    return found[1]


def make_base(tools: Tools, name: str) -> None:
    """Make an image with Python and nothing else, from the mirror that this machine's own packages come from.

    Raises:
        ToolsError: It cannot be made.
    """
    with tempfile.TemporaryDirectory(prefix="foretell-base-", dir="/var/tmp") as folder:
        root = Path(folder) / "root"
        tools.run("debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, str(root), _mirror())
        for sources in (root / "etc/apt/sources.list", *(root / "etc/apt/sources.list.d").glob("*")):
            sources.unlink(missing_ok=True)
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
            done = subprocess.run(
                ["podman", "import", "--quiet", "-", f"localhost/{name}"],
                stdin=tar.stdout,
                check=False,
                capture_output=True,
            )
        if done.returncode or tar.returncode:
            raise ToolsError(f"podman import: {done.stderr.decode()}")


def _mirror() -> str:
    """Debian's own, as the machine's sources have it. Source: sources.list(5)."""
    for path in _SOURCES:
        if not path.is_file():
            continue
        text = path.read_text()
        for pattern in (r"^URIs:\s*(\S+/debian/?)(?:\s|$)", r"^deb\s+(?:\[[^]]*\]\s+)?(\S+/debian/?)\s"):
            found = re.search(pattern, text, re.MULTILINE)
            if found is not None:
                return found[1]
    raise ToolsError("no source of Debian's packages is known: see /etc/apt/sources.list.d")
