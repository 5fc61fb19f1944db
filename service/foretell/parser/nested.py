"""Rows that are plain tensors without their first axis, as nested lists."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from msgspec import Meta
from msgspec.structs import astuple

from foretell.errors import InvalidInputError, Problem
from foretell.parser.capacity import Capacity
from foretell.parser.matrix import matrix_of
from foretell.parser.types import Type, nested_type, scalar_type, too_large, tuple_type

if TYPE_CHECKING:
    from foretell.parser.layout import Tensors
    from foretell.signature import Dimension, Signature, Tensor
    from foretell.tensors import Array

__all__ = ["NestedLayout"]

_MAX_OPEN_LISTS: Final = 1_000_000
"""How many lists the axes of unknown length of one request may make, which its body alone would not bound enough."""

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
        self._batched = signature.batched
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

    def capacity(self, rows: int) -> Capacity:
        """See `Layout`."""
        number = rows if self._batched else 1
        shapes = [tensor.shape[1:] if self._batched else tensor.shape for tensor in self._inputs]
        lists = [_lists(shape) for shape in shapes]
        elements = [_elements(shape) for shape in shapes]
        around = (number + 1) * (len(shapes) + 1)
        closed = None if None in lists else number * sum(filter(None, lists)) + around
        if closed is None or None in elements:
            return Capacity(rows, _MAX_OPEN_LISTS if closed is None else closed, None)
        return Capacity(rows, closed, number * sum(filter(None, elements)) + closed + around)

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
    dtype = tensor.type
    if len(tensor.shape) == 2 and (matrix := matrix_of(values, dtype)) is not None:
        return matrix
    try:
        array = np.array(values, dtype=dtype.numpy)
    except OverflowError:
        _check_regular(values, tensor, place)
        indices, message = too_large(dtype, np.array(values, dtype=object))
        raise InvalidInputError(Problem(place(indices), message)) from None
    except ValueError:
        _check_regular(values, tensor, place)
        raise
    if array.ndim == len(tensor.shape):
        return array
    _check_regular(values, tensor, place)
    return array.reshape(_shape(values, tensor))


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


def _check_regular(values: Any, tensor: Tensor, place: _Place) -> None:
    """Refuse ragged lists, which numpy refuses without a place or turns into an array of lists."""
    level: list[Any] = [values]
    shape: list[int] = []
    for depth in range(len(tensor.shape)):
        if depth:
            level = list(chain.from_iterable(level))
        if not level:
            return
        lengths = np.fromiter(map(len, level), dtype=np.int64, count=len(level))
        odd = int(np.argmax(lengths != lengths[0]))
        if lengths[odd] != lengths[0]:
            indices = tuple(int(index) for index in np.unravel_index(odd, shape))
            message = f"expected a list of length {lengths[0]}, as its neighbours have, got {lengths[odd]}"
            raise InvalidInputError(Problem(place(indices), message))
        shape.append(int(lengths[0]))


def _lists(shape: Sequence[Dimension]) -> int | None:
    """How many lists hold a tensor of a shape; None where that depends on the request."""
    if not shape:
        return 0
    inner = _lists(shape[1:])
    if inner == 0:
        return 1
    return 1 + shape[0] * inner if isinstance(shape[0], int) and inner is not None else None


def _elements(shape: Sequence[Dimension]) -> int | None:
    """How many elements a tensor of a shape has; None where that depends on the request."""
    lengths = [length for length in shape if isinstance(length, int)]
    return math.prod(lengths) if len(lengths) == len(shape) else None
