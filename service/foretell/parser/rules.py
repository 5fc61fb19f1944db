"""What the columns of a signature ask of tensors that come as such, where no decoder has looked at each value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from foretell.errors import InvalidInputError, Problem
from foretell.excerpts import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from foretell.signature import Column, Signature, Tensor
    from foretell.tensors import Array

__all__ = ["ColumnRules", "rules_of"]


def rules_of(signature: Signature) -> dict[str, ColumnRules]:
    """The rules of each input, by its name; there are none for plain tensors."""
    return {
        tensor.name: ColumnRules(
            tensor, [column for column in signature.columns if column.input == tensor.name], signature
        )
        for tensor in signature.inputs
        if signature.columns
    }


class ColumnRules:
    """What the columns of one input ask of it.

    They are those that `column_type` gives to a decoder: a value that is missing only where it may be, no infinity,
    whole numbers, booleans, and what the signature enforces.

    Args:
        tensor: The input.
        columns: Its columns, from left to right.
        signature: What is enforced.
    """

    def __init__(self, tensor: Tensor, columns: Sequence[Column], signature: Signature) -> None:
        self._columns = columns
        self._kind = tensor.type.kind
        ranges, categories = "ranges" in signature.enforce, "categories" in signature.enforce
        self._categories = [
            (at, frozenset(column.categories))
            for at, column in enumerate(columns)
            if categories and column.categories and column.type.kind in {"int", "string"}
        ]
        dtype = np.float64 if self._kind == "string" else tensor.type.numpy
        self._missing: NDArray[Any] = np.array([column.missing == "nan" for column in columns])
        whole = [column.type.kind in {"int", "bool"} for column in columns]
        self._whole: NDArray[Any] | None = np.array(whole) if any(whole) else None
        bounds = [_bounds(column, ranges=ranges) for column in columns]
        self._bounded = self._kind in {"int", "float"} and any(bound != (None, None) for bound in bounds)
        if self._bounded:
            limits = np.iinfo(dtype) if self._kind == "int" else None
            least, greatest = (limits.min, limits.max) if limits else (-np.inf, np.inf)
            # Bounds are rounded as the values are: the least value of the sample is within them.
            self._least = np.array([least if low is None else low for low, _ in bounds], dtype=dtype)
            self._greatest = np.array([greatest if high is None else high for _, high in bounds], dtype=dtype)

    def check(self, values: Array, path: str) -> None:
        """Check an input.

        Args:
            values: The tensor, of its dtype and shape.
            path: The JSON path of the tensor, for messages.

        Raises:
            InvalidInputError: It is not what its columns take.
        """
        rows = values.reshape(len(values), -1)
        if self._kind == "string":
            self._check_texts(rows, path)
        elif self._kind == "float":
            self._check_finite(rows, path)
        if self._bounded:
            outside = (rows < self._least) | (rows > self._greatest)
            self._refuse(outside, rows, path)
        for at, allowed in self._categories:
            column = rows[:, at]
            missing = self._columns[at].missing
            known = np.array(
                [
                    value in allowed
                    or (missing == "empty" and value == "")
                    or (missing == "nan" and value != value)  # noqa: PLR0124 - NaN alone differs from itself
                    for value in column.tolist()
                ]
            )
            if not known.all():
                shown = ", ".join(repr(each) for each in sorted(allowed, key=str)[:12])
                self._refuse_one(int(np.argmin(known)), at, rows, path, f"one of {shown}")

    def _check_finite(self, rows: Array, path: str) -> None:
        finite = np.isfinite(rows)
        if not finite.all():
            wrong = ~finite & ~(np.isnan(rows) & self._missing)
            self._refuse(wrong, rows, path, "a finite number")
        if self._whole is not None:
            with np.errstate(invalid="ignore"):
                wrong = (np.rint(rows) != rows) & self._whole & ~np.isnan(rows)
            self._refuse(wrong, rows, path, "a whole number")

    def _check_texts(self, rows: Array, path: str) -> None:
        for at, column in enumerate(self._columns):
            refuses_empty = column.nonempty and column.missing != "empty"
            unwanted = frozenset(column.excluded)
            if not refuses_empty and not unwanted:
                continue
            for row, text in enumerate(rows[:, at].tolist()):
                if refuses_empty and not text:
                    self._refuse_one(row, at, rows, path, "a text that is not empty")
                if unwanted and not unwanted.isdisjoint(text):
                    letters = " and ".join(repr(letter) for letter in column.excluded if letter in text)
                    self._refuse_one(row, at, rows, path, f"a text without {letters}")

    def _range_of(self, at: int) -> str:
        return f"a number from {self._least[at]!s} to {self._greatest[at]!s}"

    def _refuse(self, wrong: NDArray[Any], rows: Array, path: str, expected: str | None = None) -> None:
        if wrong.any():
            row, at = (int(index) for index in np.unravel_index(np.argmax(wrong), wrong.shape))
            self._refuse_one(row, at, rows, path, expected or self._range_of(at))

    def _refuse_one(self, row: int, at: int, rows: Array, path: str, expected: str) -> None:
        name = shortened(self._columns[at].name)
        value = rows[row, at]
        shown = shortened(repr(value) if self._kind == "string" else str(value))
        remedy = "; this value may not be missing" if shown == "nan" else ""
        message = f"row {row} of the column {name!r}: expected {expected}, got {shown}{remedy}"
        raise InvalidInputError(Problem(path, message))


def _bounds(column: Column, *, ranges: bool) -> tuple[float | None, float | None]:
    """The least and the greatest value of a column; None where its tensor's own dtype says it all."""
    kind = column.type.kind
    if kind == "bool":
        return 0, 1
    if kind == "string":
        return None, None
    low, high = (column.minimum, column.maximum) if ranges else (None, None)
    if kind == "float":
        return low, high
    return column.type.minimum if low is None else low, column.type.maximum if high is None else high
