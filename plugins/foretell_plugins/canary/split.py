"""Which part of all requests is whose."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Final

__all__ = ["Split"]

_WHOLE: Final = 100.0


class Split:
    """Divides the places from 0 to 100 among candidates; what is left over in the middle is nobody's.

    By turns, in the order of their names, the candidates' parts begin at the lower and at the upper end. So whatever
    is in some candidate's part stays in one when a weight rises; and of the first two candidates, neither loses
    anything when the other's weight changes.

    Args:
        weights: How much each candidate has, per cent; no more than 100 together.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        names = sorted(weights)  # a TOML table has no order
        lower, upper = names[::2], names[1::2]
        self._parts: list[str | None] = [*lower, None, *reversed(upper)]
        self._edges: list[float] = [
            *(sum(weights[each] for each in lower[: place + 1]) for place in range(len(lower))),
            *reversed(
                [_WHOLE - sum(weights[each] for each in upper[: place + 1]) for place in range(len(upper))]
            ),
        ]

    def at(self, place: float) -> str | None:
        """Whose a place is; None if it is nobody's."""
        return self._parts[bisect_right(self._edges, place)]
