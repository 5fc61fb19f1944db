"""Programs and environments that some tests need."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

from tests.servers import ROOT

__all__ = ["require_clients", "require_program"]


def require_program(name: str) -> str:
    """The path of a program. Without it the test is skipped, and fails where everything must be there (CI=true)."""
    path = shutil.which(name)
    if path is None:
        _do_without(f"{name} is not installed (Debian package {name}); .ci/run installs it")
    return path


def require_clients() -> str:
    """The interpreter of the environment of other people's clients; without it, as for a program."""
    folder = ROOT / ".venv-clients"
    if not (folder / ".done").exists():
        _do_without(
            f"{folder.name} is not there: `make test` makes it, and so does `make {folder.name}/.done`"
        )
    return str(folder / "bin" / "python")


def _do_without(message: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
