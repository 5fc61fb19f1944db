"""One editor of a file at a time, among all who ask for that here."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from foretell.errors import StoreError
from foretell.store.files import try_lock

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

__all__ = ["edit_lock"]

_PATIENCE_S: Final = 30.0
"""How long an editor waits for its turn, seconds: an edit takes as long as two flushes to the disk."""

_TICK_S: Final = 0.01


@contextmanager
def edit_lock(path: Path) -> Generator[None]:
    """Have a file for oneself while it is edited, among all who edit it so, on this machine and others.

    The lock is on a hidden file beside it, which is there as long as somebody edits: NFS locks no folders, and the
    file itself is replaced by each edit. The kernel takes it back from a process that dies. Where it cannot be had,
    because the file system knows none or the folder cannot be written, the edit goes on without.

    Args:
        path: The file; it need not exist.

    Raises:
        StoreError: Somebody else has it, and does not give it back.

    Source: flock(2), NFS details.
    """
    lock = path.with_name(f".{path.name}.lock")
    handle = _taken(path, lock)
    try:
        yield
    finally:
        if handle is not None:
            with suppress(OSError):
                lock.unlink()  # before it is given back: whoever waits for it sees that, and makes another
            os.close(handle)


def _taken(path: Path, lock: Path) -> int | None:
    """The lock's file, locked; None where that is not possible."""
    ends_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError:
            return None
        try:
            held = _try(handle, lock, path.parent)
        except OSError:
            with suppress(OSError):
                lock.unlink()
            os.close(handle)
            return None
        if held:
            return handle
        os.close(handle)
        if time.monotonic() > ends_s:
            raise StoreError(
                f"somebody else has been editing {path} for {_PATIENCE_S:g} s: end the process that holds {lock}"
            )
        time.sleep(_TICK_S)


def _try(handle: int, lock: Path, folder: Path) -> bool:
    """Lock the lock's file, unless somebody else has it, or has just removed it.

    Raises:
        OSError: There are no locks here.
    """
    with suppress(PermissionError):  # it is another's, who has done so
        os.fchmod(handle, folder.stat().st_mode & 0o666)  # who may write the folder may edit
    if not try_lock(handle):
        return False
    try:
        return os.path.samestat(os.fstat(handle), lock.stat())
    except FileNotFoundError:
        return False
