"""Several measurements of one thing, as one figure with its spread."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Self

import msgspec

__all__ = ["Spread"]


class Spread(msgspec.Struct, frozen=True):
    """The median of some measurements, the least and the greatest of them, and how many they are."""

    median: float
    least: float
    greatest: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Self | None:
        """The spread of some values; None if there are none."""
        found = sorted(values)
        if not found:
            return None
        return cls(statistics.median(found), found[0], found[-1], len(found))
