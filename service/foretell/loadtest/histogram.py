"""Latencies, counted so that every percentile is known to within two hundredths."""

from __future__ import annotations

import math
from typing import Final

import msgspec

__all__ = ["Histogram"]

_PARTS: Final = 64
"""Into how many parts each power of two is divided."""


class Histogram(msgspec.Struct):
    """How many latencies there were of which length.

    Locust's own statistics are of whole milliseconds, and an answer may take a fifth of one.

    Attributes:
        counts: How many there were, by the part that they fall into.
        total: How many there were.
        sum_us: Their sum, µs.
        most_us: The longest, µs.
    """

    counts: dict[int, int] = {}
    total: int = 0
    sum_us: float = 0.0
    most_us: float = 0.0

    def add(self, us: float) -> None:
        """Count a latency, µs; less than one counts as one."""
        mantissa, exponent = math.frexp(us if us > 1 else 1.0)
        part = exponent * _PARTS + int((mantissa - 0.5) * 2 * _PARTS)
        self.counts[part] = self.counts.get(part, 0) + 1
        self.total += 1
        self.sum_us += us
        self.most_us = max(self.most_us, us)

    def merge(self, other: Histogram) -> None:
        """Count what another has counted too."""
        for part, count in other.counts.items():
            self.counts[part] = self.counts.get(part, 0) + count
        self.total += other.total
        self.sum_us += other.sum_us
        self.most_us = max(self.most_us, other.most_us)

    def percentile(self, percent: float) -> float:
        """What so many of a hundred took at most, µs; NaN where there are none."""
        if not self.total:
            return math.nan
        wanted, seen = math.ceil(self.total * percent / 100), 0
        for part in sorted(self.counts):
            seen += self.counts[part]
            if seen >= wanted:
                return min(_end_us(part), self.most_us)
        return self.most_us


def _end_us(part: int) -> float:
    exponent, number = divmod(part, _PARTS)
    return math.ldexp(0.5 + (number + 1) / (2 * _PARTS), exponent)
