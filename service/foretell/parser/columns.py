"""Rows of named scalars: lists in the order of the columns, or records by column name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from msgspec import Meta
from msgspec.structs import astuple

from foretell.errors import InvalidInputError, Problem
from foretell.parser.capacity import Capacity
from foretell.parser.matrix import matrix_of
from foretell.parser.types import Type, column_type, list_of, list_type, too_large

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from foretell.parser.layout import Tensors
    from foretell.signature import Signature, Tensor
    from foretell.tensors import Array, DType

__all__ = ["ColumnLayout"]

_SEQUENCES: Final = frozenset((list, tuple))
_SHOWN_CHARACTERS: Final = 60


class ColumnLayout:
    """The layout of a signature with columns.

    A row is a list, a record, or the bare scalar where there is one column. The column form is an object with
    one list for each column; where all columns share one tensor, the list of its rows will do.
    """

    def __init__(self, signature: Signature, *, max_rows: int, name: str) -> None:
        columns = signature.columns
        self._names = [column.name for column in columns]
        self._blanks = [at for at, column in enumerate(columns) if column.missing == "empty"]
        self._excluded = [(at, column.excluded) for at, column in enumerate(columns) if column.excluded]
        self._groups: list[tuple[Tensor, list[int]]] = [
            (tensor, [at for at, column in enumerate(columns) if column.input == tensor.name])
            for tensor in signature.inputs
        ]
        only = signature.inputs[0]
        self._packed: tuple[str, DType] | None = None
        if len(self._groups) == 1 and len(only.shape) > 1 and not self._blanks and not self._excluded:
            self._packed = only.name, only.type

        values = [column_type(column, signature.enforce) for column in columns]
        keys = [msgspec.field(name=column.name) for column in columns]
        record = msgspec.defstruct(
            f"{name}Record",
            [(f"c{at}", value, key) for at, (value, key) in enumerate(zip(values, keys, strict=True))],
            forbid_unknown_fields=True,
            gc=False,
        )
        as_list = list_of(values)
        self.row: Type = as_list | record if len(values) > 1 else as_list | record | values[0]
        counts = Meta(min_length=1, max_length=max_rows)
        by_name = msgspec.defstruct(
            f"{name}Columns",
            [
                (f"c{at}", list_type(value, counts), key)
                for at, (value, key) in enumerate(zip(values, keys, strict=True))
            ],
            forbid_unknown_fields=True,
        )
        as_rows = list_type(as_list, counts)
        self.columns: Type = by_name | as_rows if len(self._groups) == 1 else by_name

    def capacity(self, rows: int) -> Capacity:
        """See `Layout`."""
        lists = rows + len(self._names)
        return Capacity(rows, lists, rows * len(self._names) + lists)

    def tensors_of_rows(self, rows: Sequence[Any], at: str) -> Tensors:
        """See `Layout`."""
        plain = rows
        if not _SEQUENCES.issuperset(map(type, rows)):
            plain = [row if type(row) in _SEQUENCES else _sequence(row) for row in rows]

        def place(row: int, column: int) -> str:
            return at.format(row) + self._step(rows[row], column)

        if self._packed is not None:
            name, dtype = self._packed
            return {name: _array(plain, dtype, place)}
        columns = list(zip(*plain, strict=True))
        return self._tensors(columns, lambda column, row: place(row, column))

    def tensors_of_columns(self, columns: Any, at: str) -> Tensors:
        """See `Layout`."""
        if not isinstance(columns, msgspec.Struct):
            return self.tensors_of_rows(columns, at + "[{}]")
        values: tuple[list[Any], ...] = astuple(columns)
        expected = len(values[0])
        for name, value in zip(self._names, values, strict=True):
            if len(value) != expected:
                message = f"expected {expected} values, as many as in {at}.{self._names[0]}, got {len(value)}"
                raise InvalidInputError(Problem(f"{at}.{name}", message))
        return self._tensors(values, lambda column, row: f"{at}.{self._names[column]}[{row}]")

    def _step(self, row: Any, column: int) -> str:
        """The JSON path from a row to its value of a column."""
        if type(row) in _SEQUENCES:
            return f"[{column}]"
        return f".{self._names[column]}" if isinstance(row, msgspec.Struct) else ""

    def _tensors(self, columns: Sequence[Sequence[Any]], place: Callable[[int, int], str]) -> Tensors:
        for at, excluded in self._excluded:
            unwanted = frozenset(excluded)
            for row, text in enumerate(columns[at]):
                if text and not unwanted.isdisjoint(text):
                    raise InvalidInputError(Problem(place(at, row), _unwanted(text, excluded)))
        filled = list(columns)
        for at in self._blanks:
            filled[at] = ["" if value is None else value for value in columns[at]]
        return {tensor.name: self._tensor(tensor, members, filled, place) for tensor, members in self._groups}

    @staticmethod
    def _tensor(
        tensor: Tensor, members: list[int], columns: list[Sequence[Any]], place: Callable[[int, int], str]
    ) -> Array:
        group = [columns[at] for at in members]
        array = _array(group, tensor.type, lambda member, row: place(members[member], row))
        return array[0] if len(tensor.shape) == 1 else np.ascontiguousarray(array.T)


def _unwanted(text: str, excluded: str) -> str:
    """What to say of a text with a character that the graph would read differently from the original."""
    letters = " and ".join(repr(letter) for letter in excluded if letter in text)
    shown = repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…")
    return f"expected a text without {letters}, got {shown}; send it in lower case, as Python's str.lower makes it"


def _sequence(row: Any) -> Sequence[Any]:
    return astuple(row) if isinstance(row, msgspec.Struct) else (row,)


def _array(values: Sequence[Sequence[Any]], dtype: DType, place: Callable[[int, int], str]) -> Array:
    """A two-dimensional array of equally long sequences; `place` gives the JSON path of an element."""
    matrix = matrix_of(values, dtype)
    if matrix is not None:
        return matrix
    try:
        return np.array(values, dtype=dtype.numpy)
    except OverflowError:
        (outer, inner), message = too_large(dtype, np.array(values, dtype=object))
        raise InvalidInputError(Problem(place(outer, inner), message)) from None
