"""What kind of file system a folder is on, as far as following it depends on that."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

__all__ = ["gives_events", "kind_of"]

_SILENT: Final = re.compile(
    r"nfs\d*|cifs|smb\w*|fuse(\..+)?|9p|virtiofs|ceph|glusterfs|lustre|afs|gfs2?|ocfs2|vboxsf|beegfs"
)
"""File systems that others write to through another machine, or another kernel: this one hears nothing of it.

Source: inotify(7), Limitations and caveats.
"""

_MOUNTS: Final = Path("/proc/self/mountinfo")


def kind_of(folder: Path, mounts: Path = _MOUNTS) -> str | None:
    """The name of the file system that a folder is on, for instance ``ext4``; None where that is not known.

    Args:
        folder: The folder; it need not exist.
        mounts: The kernel's list of mounts.

    Source: proc(5), ``/proc/pid/mountinfo``.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    path = os.path.realpath(folder)
    best: tuple[int, str] | None = None
    for line in lines:
        left, _, right = line.partition(" - ")
        fields, kind = left.split(" "), right.partition(" ")[0]
        if len(fields) < 5 or not kind:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[4])
        # The last of those mounted at one point is the one that is seen.
        if (path == point or path.startswith(point.rstrip("/") + "/")) and (
            best is None or len(point) >= best[0]
        ):
            best = len(point), kind
    return None if best is None else best[1]


def gives_events(folder: Path, mounts: Path = _MOUNTS) -> bool:
    """Whether the kernel tells of every change in a folder; false for file systems that others may write to."""
    kind = kind_of(folder, mounts)
    return kind is not None and _SILENT.fullmatch(kind) is None
