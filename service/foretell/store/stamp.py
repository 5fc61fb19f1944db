"""What tells whether the files of a version are still the same, without reading them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, TypeAlias

from foretell.store.inspection import visible_fault
from foretell.store.manifest import MANIFEST_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Stamp", "is_whole", "stamp_of"]

Stamp: TypeAlias = "tuple[tuple[str, int, int, int, int], ...]"
"""For every file of a version: its path, inode, size in bytes, and the times in ns when its content and its entry
last changed. The second cannot be set by a tool that keeps the first."""

_MAX_FILES: Final = 10_000
"""The greatest number of files of a version that are looked at; a version has three."""


def stamp_of(folder: Path) -> Stamp:
    """The stamp of a version's folder: what changes if any file in it does.

    What cannot be looked at has no part in it, so that it changes again when that can be.
    """
    found: list[tuple[str, int, int, int, int]] = []
    for path in _files(os.fspath(folder)):
        try:
            status = os.stat(path)  # noqa: PTH116 - a Path for each file would cost more than the call
        except OSError:
            continue
        found.append((path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
        if len(found) >= _MAX_FILES:
            break
    return tuple(sorted(found))


def is_whole(folder: Path) -> bool:
    """Whether every file that the version's manifest lists is there in its full size: nobody is still copying it.

    A version without a manifest never says so.
    """
    return os.path.exists(folder / MANIFEST_FILE) and visible_fault(folder) is None  # noqa: PTH110 - raises nothing


def _files(folder: str) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        try:
            is_folder = entry.is_dir(follow_symlinks=False)
        except OSError:
            continue
        if is_folder:
            yield from _files(entry.path)
        else:
            yield entry.path
