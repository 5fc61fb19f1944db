"""What a server takes while it is under load: memory and file descriptors of all of its processes, second by second."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Sample", "growth"]

_PARTS: Final = 5


class Sample(msgspec.Struct, frozen=True):
    """What a server took at a moment.

    Attributes:
        at_s: When, in seconds since 1970.
        memory_mb: The resident memory of its processes together, MB.
        descriptors: How many file descriptors they had open together.
        processes: How many processes there were.
    """

    at_s: float
    memory_mb: float
    descriptors: int
    processes: int


def growth(values: Sequence[float]) -> float:
    """By which part values grew between the second and the last fifth of them: the medians of both are compared.

    The first fifth does not count, since caches and pools fill in it. NaN where there are too few.
    """
    fifth = len(values) // _PARTS
    before = median(values[fifth : 2 * fifth]) if fifth else 0
    return median(values[-fifth:]) / before - 1 if before else float("nan")
