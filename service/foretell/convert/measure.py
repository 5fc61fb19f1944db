"""What counts as a small difference of two numbers, as the original's own answers tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from foretell.tensors import Array

__all__ = ["Measure"]

_CONSTANT: Final = 1e-9
"""Numbers that vary by a smaller part of their size are one number, and what float64 sums lose."""


class Measure(NamedTuple):
    """How an output without bounds varies, column by column.

    Attributes:
        center: ``float64[columns]``, the median of the sample's answers.
        spread: ``float64[columns]``, how far from it those typically are that are not equal to it.
    """

    center: Array
    spread: Array

    @classmethod
    def of(cls, answers: Array) -> Measure:
        """Measure numbers, ``[rows, ...]``: the answers to the sample."""
        values = answers.astype(np.float64).reshape(len(answers), -1)
        centers: list[float] = []
        spreads: list[float] = []
        for column in values.T:
            finite = column[np.isfinite(column)]
            center = float(np.median(finite)) if finite.size else 0.0
            away = np.abs(finite - center)
            spread = float(np.median(away[away > 0])) if away.any() else 0.0
            greatest = float(np.abs(finite).max(initial=0.0))
            centers.append(center)
            # A constant varies by nothing: then its size is what differences are a part of.
            spreads.append(spread if spread > _CONSTANT * greatest else greatest or 1.0)
        return cls(np.array(centers), np.array(spreads))

    def size(self, numbers: Array) -> Array:
        """``float64[rows, columns]``: what the tolerance is a part of, at numbers ``[rows, columns]``."""
        return np.asarray(self.spread + np.abs(numbers - self.center))
