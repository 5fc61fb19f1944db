"""Giving memory back to the system after something large was let go."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weakref import ref

    from foretell.engine.version import Version

__all__ = ["give_back", "trim"]


def give_back(let_go: Sequence[ref[Version]]) -> None:
    """Return to the system what versions held that were let go. It may take a tenth of a second; call it in a thread.

    Args:
        let_go: The versions. One that is still there is in a cycle of references, which is looked for.
    """
    if any(version() is not None for version in let_go):
        gc.collect()
    trim()


def trim() -> None:
    """Return freed memory to the system, which the C library would keep for later; others than glibc cannot do it.

    Source: malloc_trim(3).
    """
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
