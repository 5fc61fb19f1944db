"""Rows that are plain tensors without their first axis, as nested lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec import Meta
from msgspec.structs import astuple

from foretell.errors import InvalidInputError, Problem
from foretell.parser.types import Type, nested_type, scalar_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foretell.parser.layout import Tensors
    from foretell.signature import Signature, Tensor
    from foretell.tensors import Array

__all__ = ["NestedLayout"]


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
        self._takes_scalar = single and self._inputs[0].is_column
        as_list = values[0] if single else tuple[tuple(values)]  # type: ignore[misc]
        self.row: Type = as_list | by_name("Record", values)
        if self._takes_scalar:
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
        return {
            tensor.name: _array(part, tensor, lambda indices: _path(at.format(indices[0]), indices[1:]))
            for tensor, part in zip(self._inputs, zip(*inputs_of_rows, strict=True), strict=True)
        }

    def tensors_of_columns(self, columns: Any, at: str) -> Tensors:
        """See `Layout`."""
        if not isinstance(columns, msgspec.Struct):
            return {
                self._inputs[0].name: _array(columns, self._inputs[0], lambda indices: _path(at, indices))
            }
        return {
            tensor.name: _array(
                value, tensor, lambda indices, name=tensor.name: _path(f"{at}.{name}", indices)
            )  # type: ignore[misc]
            for tensor, value in zip(self._inputs, astuple(columns), strict=True)
        }

    def _inputs_of(self, row: Any) -> Sequence[Any]:
        if len(self._inputs) > 1:
            return row  # type: ignore[no-any-return]
        one_value = self._takes_scalar and len(self._inputs[0].shape) > 1 and not isinstance(row, list)
        return ([row],) if one_value else (row,)


def _path(start: str, indices: Sequence[int]) -> str:
    return start + "".join(f"[{index}]" for index in indices)


def _array(values: Any, tensor: Tensor, place: Any) -> Array:
    """An array of the tensor's rank from nested lists; `place` gives the JSON path of an element's indices."""
    shape = _shape(values, tensor)
    _check_regular(values, shape, (), place)
    dtype = tensor.type
    try:
        return np.array(values, dtype=dtype.numpy).reshape(shape)
    except OverflowError:
        limit = dtype.maximum or 0
        for indices in np.ndindex(*shape):
            value = values
            for index in indices:
                value = value[index]
            if value > limit:
                message = f"expected {dtype.name} <= {limit}, got {value}"
                raise InvalidInputError(Problem(place(indices), message)) from None
        raise


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


def _check_regular(values: Any, shape: tuple[int, ...], indices: tuple[int, ...], place: Any) -> None:
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
