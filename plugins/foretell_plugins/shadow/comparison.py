"""Whether two answers to the same question agree, row by row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from foretell.tensors import Array

__all__ = ["Comparison", "compare"]

_MOST_ROWS: Final = 10
_NEAR: Final = np.ones((), dtype=bool)


class Comparison(msgspec.Struct, frozen=True):
    """How two answers compare.

    Attributes:
        rows: How many rows there are.
        agreed: In how many of them the answers agree.
        differing: The first rows in which they do not.
        difference: How far two of their floats lie apart at most.
    """

    rows: int
    agreed: int
    differing: tuple[int, ...]
    difference: float


def compare(
    ours: Mapping[str, Array],
    theirs: Mapping[str, Array],
    rows: int,
    *,
    decisive: Sequence[str],
    rtol: float,
    atol: float,
) -> Comparison:
    """Compare two answers.

    Args:
        ours: The caller's outputs.
        theirs: The others, of the same names.
        rows: How many rows there are. An output of another length is one value that all of them share.
        decisive: The outputs in which rows must be alike to agree: floats as near as the tolerances say, everything
            else equal. The caller's outputs that are not among them only count for the difference.
        rtol: How far two floats may lie apart, as a fraction of ours.
        atol: The same as a number, which is added to that.
    """
    alike: NDArray[np.bool_] | None = None
    difference = 0.0
    for name, own in ours.items():
        other, decides = theirs[name], name in decisive
        near = _NEAR
        if own.shape != other.shape:
            near = ~_NEAR
        elif own.dtype.kind == "f":
            with np.errstate(invalid="ignore", over="ignore"):
                apart = np.abs(np.subtract(other, own, dtype=np.float64))
                greatest = float(apart.max(initial=0.0))
                if math.isnan(greatest):  # there are NaN, or two infinities
                    greatest = float(apart.max(initial=0.0, where=~np.isnan(apart)))
                if decides:
                    near = _near(own, other, apart, rtol, atol)
            difference = max(difference, greatest)
        elif decides:
            near = np.asarray(own == other, dtype=bool)
        if decides and not near.all():  # most answers agree, and need no more
            alike = np.ones(rows, dtype=bool) if alike is None else alike
            by_row = near.ndim > 0 and len(near) == rows
            alike &= near.reshape(rows, -1).all(axis=1) if by_row else False
    if alike is None:
        return Comparison(rows, rows, (), difference)
    differing = np.flatnonzero(~alike)
    return Comparison(rows, rows - len(differing), tuple(differing[:_MOST_ROWS].tolist()), difference)


def _near(own: Array, other: Array, apart: Array, rtol: float, atol: float) -> NDArray[np.bool_]:
    """Which floats are near each other. NaN is near NaN, and an infinity near itself."""
    tolerance = atol + rtol * np.abs(own.astype(np.float64))
    near = np.asarray((apart <= tolerance) & (apart < np.inf), dtype=bool)
    if near.all():
        return near
    return np.asarray(near | (own == other) | (np.isnan(own) & np.isnan(other)), dtype=bool)
