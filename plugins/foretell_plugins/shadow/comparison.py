"""Whether two answers to the same question agree, row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from foretell.tensors import Array

__all__ = ["Comparison", "compare"]

_MOST_ROWS: Final = 10


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
    alike = np.ones(rows, dtype=bool)
    difference = 0.0
    for name, own in ours.items():
        other = theirs[name]
        if own.shape != other.shape:
            near: NDArray[np.bool_] = np.zeros(own.shape or 1, dtype=bool)
        elif own.dtype.kind == "f":
            near, apart = _near(own, other, rtol, atol)
            difference = max(difference, apart)
        elif name in decisive:
            near = np.asarray(own == other, dtype=bool)
        else:
            continue
        if name in decisive:
            by_row = own.ndim > 0 and len(own) == rows
            alike &= near.reshape(rows, -1).all(axis=1) if by_row else near.all()
    differing = np.flatnonzero(~alike)
    return Comparison(rows, rows - len(differing), tuple(differing[:_MOST_ROWS].tolist()), difference)


def _near(own: Array, other: Array, rtol: float, atol: float) -> tuple[NDArray[np.bool_], float]:
    """Which floats are near each other, and how far the farthest two are apart. NaN is near NaN."""
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(np.subtract(other, own, dtype=np.float64))
        near = np.asarray(apart <= atol + rtol * np.abs(own.astype(np.float64)), dtype=bool)
    unknown = np.isnan(apart)
    if unknown.any():  # of NaN, or of two infinities
        near |= (own == other) | (np.isnan(own) & np.isnan(other))
        apart = apart[~unknown]
    return near, float(apart.max(initial=0.0))
