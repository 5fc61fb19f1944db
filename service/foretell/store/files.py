"""Writing that either happens whole or not at all, and reading that does not wait or grow without end."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["read_regular", "replace_file", "sync_folder", "try_lock", "write_file"]


def read_regular(path: Path, *, max_bytes: int) -> bytes:
    """Read a small regular file; neither a pipe nor an endless device can hold the reader up.

    Raises:
        OSError: It cannot be read, is not a regular file, or is longer.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise OSError(errno.EFBIG, f"it is longer than {max_bytes} bytes")
    return data


def write_file(path: Path, data: bytes) -> None:
    """Write a new file and flush it to the disk.

    Raises:
        OSError: It exists already, or cannot be written.
    """
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, data: bytes, *, still: Callable[[], bool] = lambda: True) -> bool:
    """Write a file so that a reader sees the old content or the new one, and a crash leaves one of the two.

    Args:
        path: The file; it need not exist.
        data: Its new content.
        still: Is asked in the last moment whether it is still to be replaced.

    Returns:
        Whether it was.

    Raises:
        OSError: It cannot be written.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(path.stat().st_mode if path.exists() else 0o644)
        replaced = still()
        if replaced:
            temporary.replace(path)
        else:
            temporary.unlink()
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if replaced:
        sync_folder(path.parent)
    return replaced


def try_lock(handle: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Lock an open file, in place of how this handle has locked it before, unless somebody else's lock forbids it.

    Args:
        handle: The file.
        kind: ``LOCK_EX`` or ``LOCK_SH``.

    Returns:
        Whether it is locked so. If not, a lock that this handle had may be gone.

    Raises:
        OSError: The file system has no locks.

    Source: flock(2).
    """
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sync_folder(path: Path) -> None:
    """Flush a folder's entries to the disk, so that a rename in it survives a crash of the machine."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
