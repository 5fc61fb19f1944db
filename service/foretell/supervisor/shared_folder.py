"""The folder in which the workers of a server share weights."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foretell.logs import Logger

__all__ = ["shared_folder"]


@contextmanager
def shared_folder(log: Logger) -> Generator[Path | None]:
    """A folder of the server's own, removed at the end; None, and a line in the log, where none can be made."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="foretell-weights-"))
    except OSError as error:
        reason = f"there is no folder for temporary files: {error.strerror}; set TMPDIR"
        log.warning("each worker has a copy of all weights", reason=reason)
        yield None
        return
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
