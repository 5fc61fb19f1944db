"""The environments that contenders live in: ours, and one for each that brings requirements of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

__all__ = ["NoEnvironment", "is_there", "python_of", "releases"]

ROOT: Final = Path(__file__).parents[2]
OURS: Final = ("foretell", "httptools", "litestar", "msgspec", "numpy", "onnxruntime", "uvicorn", "uvloop")
RELEASES: Final = """
import importlib.metadata, json, platform, sys
releases = {name: importlib.metadata.version(name) for name in sys.argv[1:]}
print(json.dumps({"python": platform.python_version(), **releases}))
"""


class NoEnvironment(RuntimeError):  # noqa: N818 - it is what it says
    """An environment cannot be made."""


def _done(name: str) -> Path:
    return ROOT / ".venv-bench" / name / ".done"


def is_there(name: str | None) -> bool:
    """Whether an environment, ours if None, needs no making."""
    return name is None or _done(name).exists()


def python_of(name: str | None) -> Path:
    """The interpreter of an environment, of ours if None; made if it is not there, or its lock is newer.

    Raises:
        NoEnvironment: It cannot be made.
    """
    if name is None:
        return Path(sys.executable)
    target = _done(name).relative_to(ROOT)
    made = subprocess.run(["make", "--silent", str(target)], cwd=ROOT, stdout=sys.stderr, check=False)
    if made.returncode:
        raise NoEnvironment(f"`make {target}` failed; what it said stands above")
    return ROOT / target.parent / "bin" / "python"


def releases(name: str | None, python: Path) -> dict[str, str]:
    """The releases of Python and of what an environment is there for."""
    names = list(OURS)
    if name is not None:
        told = (ROOT / "requirements" / f"bench-{name}.in").read_text()
        names = re.findall(r"^[\w-]+", told, re.MULTILINE)
    run = subprocess.run([str(python), "-c", RELEASES, *names], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, str] = json.loads(run.stdout)
    return found
