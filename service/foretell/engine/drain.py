"""How fast a queue empties: measured while something waits in it."""

from __future__ import annotations

import math
from typing import Final

__all__ = ["Drain"]

_KEPT: Final = 0.9
_SHORTEST_NS: Final = 1_000_000
_FORGOTTEN_NS: Final = 1_000_000_000
"""Half of what was seen is forgotten in this time if nothing new is seen, or in that of a row if that is longer."""


class Drain:
    """The time that a row takes to leave the queue, from what was seen of late; older times count for less.

    Args:
        row_ns: What a row is expected to take as long as nothing was seen, ns.
    """

    def __init__(self, row_ns: float) -> None:
        self._expected_ns = row_ns
        self._row_ns = row_ns
        self._seen_ns = 0
        self._rows = 0.0
        self._ns = 0.0
        self._since_ns = 0
        self._left = 0

    def begin(self, now_ns: int) -> None:
        """Something begins to wait where nothing did."""
        self._since_ns = now_ns
        self._left = 0

    def left(self, rows: int, now_ns: int, *, more: bool) -> None:
        """Rows have left the queue.

        Args:
            rows: How many.
            now_ns: When, ns.
            more: Whether others still wait. The last to leave says nothing of how fast they could have gone.
        """
        self._left += rows
        spent_ns = now_ns - self._since_ns
        if more and spent_ns >= _SHORTEST_NS:
            kept = _KEPT * self._remembered(now_ns)
            self._rows = self._rows * kept + self._left
            self._ns = self._ns * kept + spent_ns
            self._row_ns = self._ns / self._rows
            self._seen_ns = now_ns
            self.begin(now_ns)

    def wait_ns(self, rows: int, now_ns: int) -> float:
        """How long it takes until so many rows have left, ns.

        A queue that is kept short, because too much would wait, shows nothing new: so what was seen is forgotten.
        """
        seen_ns = self._row_ns - self._expected_ns
        return rows * (self._expected_ns + seen_ns * self._remembered(now_ns))

    def _remembered(self, now_ns: int) -> float:
        """How much of what was seen still counts, 0 to 1."""
        return math.pow(0.5, (now_ns - self._seen_ns) / max(_FORGOTTEN_NS, self._row_ns))
