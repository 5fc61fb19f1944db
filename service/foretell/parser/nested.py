"""Rows that are plain tensors without their first axis, as nested lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import getitem
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec import Meta
from msgspec.structs import astuple

from foretell.errors import InvalidInputError, Problem
from foretell.parser.types import Type, nested_type, scalar_type, too_large, tuple_type

if TYPE_CHECKING:
    from foretell.parser.layout import Tensors
    from foretell.signature import Signature, Tensor
    from foretell.tensors import Array

__all__ = ["NestedLayout"]

_Place = Callable[[tuple[int, ...]], str]
"""Gives the JSON path of an element from its indices."""


class NestedLayout:
    """The layout of a signature without columns.

    A row is the nested list of the one input, a record by input name, or, for several inputs, a list in
    their order. The column form is an object with one whole tensor for each input, or the tensor itself
    where there is one.
    """

    def __init__(self, signature: Signature, *, max_rows: int, name: str) -> None:
        self._inputs = signature.inputs
        single = len(self._inputs) == 1
        keys = [msgspec.field(name=tensor.name) for tensor in self._inputs]

        def by_name(suffix: str, values: list[Type]) -> Type:
            fields = [
                (f"t{at}", value, key) for at, (value, key) in enumerate(zip(values, keys, strict=True))
            ]
            return msgspec.defstruct(name + suffix, fields, forbid_unknown_fields=True)

        values = [nested_type(tensor.type, tensor.shape[1:]) for tensor in self._inputs]
        takes_scalar = single and self._inputs[0].is_column
        self._several = len(self._inputs) > 1
        self._wraps_scalar = takes_scalar and len(self._inputs[0].shape) > 1
        as_list = values[0] if single else tuple_type(values)
        self.row: Type = as_list | by_name("Record", values)
        if takes_scalar:
            self.row = self.row | scalar_type(self._inputs[0].type)
        counts = Meta(min_length=1, max_length=max_rows) if signature.batched else None
        wholes = [nested_type(tensor.type, tensor.shape, counts) for tensor in self._inputs]
        self.columns: Type = by_name("Tensors", wholes)
        if single:
            self.columns = self.columns | wholes[0]

    def tensors_of_rows(self, rows: Sequence[Any], at: str) -> Tensors:
        """See `Layout`."""
        inputs_of_rows = [
            astuple(row) if isinstance(row, msgspec.Struct) else self._inputs_of(row) for row in rows
        ]

        def places(number: int) -> _Place:
            return lambda indices: at.format(indices[0]) + self._step(rows[indices[0]], number, indices[1:])

        return {
            tensor.name: _array(part, tensor, places(number))
            for number, (tensor, part) in enumerate(
                zip(self._inputs, zip(*inputs_of_rows, strict=True), strict=True)
            )
        }

    def tensors_of_columns(self, columns: Any, at: str) -> Tensors:
        """See `Layout`."""
        if not isinstance(columns, msgspec.Struct):
            return {self._inputs[0].name: _array(columns, self._inputs[0], _places(at))}
        return {
            tensor.name: _array(value, tensor, _places(at, tensor.name))
            for tensor, value in zip(self._inputs, astuple(columns), strict=True)
        }

    def _step(self, row: Any, number: int, indices: tuple[int, ...]) -> str:
        """The JSON path from a row to an element of an input."""
        if isinstance(row, msgspec.Struct):
            return _path(f".{self._inputs[number].name}", indices)
        if self._several:
            return _path(f"[{number}]", indices)
        return "" if self._wraps_scalar and not isinstance(row, list) else _path("", indices)

    def _inputs_of(self, row: Any) -> Sequence[Any]:
        inputs: Sequence[Any] = row if self._several else (row,)
        return ([row],) if self._wraps_scalar and not isinstance(row, list) else inputs


def _path(start: str, indices: Sequence[int]) -> str:
    return start + "".join(f"[{index}]" for index in indices)


def _places(at: str, name: str | None = None) -> _Place:
    return lambda indices: _path(at if name is None else f"{at}.{name}", indices)


def _array(values: Any, tensor: Tensor, place: _Place) -> Array:
    """An array of the tensor's rank from nested lists; `place` gives the JSON path of an element's indices."""
    shape = _shape(values, tensor)
    _check_regular(values, shape, (), place)
    dtype = tensor.type
    try:
        return np.array(values, dtype=dtype.numpy).reshape(shape)
    except OverflowError:
        indices, message = too_large(dtype, ((at, reduce(getitem, at, values)) for at in np.ndindex(*shape)))
        raise InvalidInputError(Problem(place(indices), message)) from None


def _shape(values: Any, tensor: Tensor) -> tuple[int, ...]:
    """The shape that the first elements suggest; behind an empty axis, the fixed lengths of the tensor."""
    shape: list[int] = []
    for dimension in tensor.shape:
        if values is None:
            shape.append(dimension if isinstance(dimension, int) else 0)
        else:
            shape.append(len(values))
            values = values[0] if values else None
    return tuple(shape)


def _check_regular(values: Any, shape: tuple[int, ...], indices: tuple[int, ...], place: _Place) -> None:
    """Refuse ragged lists, which numpy would refuse without a place or turn into an array of lists."""
    if len(indices) + 1 > len(shape):
        return
    expected = shape[len(indices)]
    if len(values) != expected:
        message = f"expected a list of length {expected}, as its neighbours have, got {len(values)}"
        raise InvalidInputError(Problem(place(indices), message))
    if len(indices) + 1 < len(shape):
        for index, value in enumerate(values):
            _check_regular(value, shape, (*indices, index), place)
