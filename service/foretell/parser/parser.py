"""The parser of one model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Meta

from foretell.errors import InvalidInputError, Problem
from foretell.excerpts import shortened
from foretell.parser.columns import ColumnLayout
from foretell.parser.nested import NestedLayout
from foretell.parser.rules import rules_of
from foretell.parser.types import list_type
from foretell.signature import check_record_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from foretell.parser.capacity import Capacity
    from foretell.parser.layout import Layout, Tensors
    from foretell.parser.types import Type
    from foretell.signature import Signature, Tensor

__all__ = ["Parser"]


class Parser:
    """The types of a signature's rows and columns, and their conversion to tensors.

    Args:
        signature: What the model takes.
        max_rows: The greatest number of rows in one request.
        name: The prefix of the generated type names, which become component names in OpenAPI.

    Attributes:
        row: The type of one row; None where a request cannot be one row.
        rows: The type of a list of rows, bounded in length; None where the model has no row axis.
        columns: The type of the column form.

    Raises:
        InvalidNameError: A column or an input has a name with a quotation mark, a backslash or a control character.
    """

    def __init__(self, signature: Signature, *, max_rows: int, name: str = "Model") -> None:
        self.signature = signature
        self.max_rows = max_rows
        self._batched = signature.batched
        for named in signature.columns or signature.inputs:
            check_record_key(named.name)
        make = ColumnLayout if signature.columns else NestedLayout
        self._layout: Layout = make(signature, max_rows=max_rows, name=name)
        self._equal_axes = [] if signature.columns else _equal_axes(signature)
        self._tensor_axes = _equal_axes(signature)
        self._rules = rules_of(signature)
        self.columns: Type = self._layout.columns
        counts = _row_counts(signature, max_rows)
        self.row: Type | None = self._layout.row if counts is not None and counts.min_length == 1 else None
        self.rows: Type | None = None if counts is None else list_type(self._layout.row, counts)

    def capacity(self, rows: int | None = None) -> Capacity:
        """How much a body of so many rows can hold; of as many as are allowed if None."""
        return self._layout.capacity(self.max_rows if rows is None else rows)

    def tensors_of_rows(self, rows: Sequence[Any], at: str = "$.instances[{}]") -> tuple[Tensors, int]:
        """Turn decoded rows into the input tensors.

        Args:
            rows: Values of the type `row`, at least one. Plain lists and tuples in the order of the columns will
                do, as long as their values are of the column's types.
            at: The JSON path of a row, with ``{}`` for its number.

        Returns:
            The tensors by input name, C-contiguous, and the number of rows.

        Raises:
            InvalidInputError: A ragged nested list, or a number that its type cannot hold.
        """
        tensors = self._layout.tensors_of_rows(rows, at)
        if self._equal_axes:
            _check_axes(self._equal_axes, tensors, at.partition("[")[0])
        return tensors, len(rows)

    def tensors_of_columns(self, columns: Any, at: str = "$.inputs") -> tuple[Tensors, int]:
        """Turn a decoded column form into the input tensors.

        Args:
            columns: A value of the type `columns`.
            at: Its JSON path.

        Returns:
            The tensors by input name, and the number of rows (1 for a model without a row axis).

        Raises:
            InvalidInputError: Columns of different lengths, a ragged list, or a number that its type cannot hold.
        """
        tensors = self._layout.tensors_of_columns(columns, at)
        _check_axes(self._equal_axes, tensors, at)
        return tensors, len(tensors[self.signature.inputs[0].name]) if self._batched else 1

    def check_shape(self, tensor: Tensor, shape: Sequence[int], path: str) -> None:
        """Check the shape of an input before it is read, so that nobody reads more than the model takes.

        Args:
            tensor: The input.
            shape: Its shape in a request.
            path: The JSON path of the tensor.

        Raises:
            InvalidInputError: The signature does not allow it, or it has too few or too many rows.
        """
        _check_shape(tensor, shape, path)
        if self._batched and not 1 <= shape[0] <= self.max_rows:
            message = f"expected 1 to {self.max_rows} rows, got {shortened(str(shape[0]))}"
            raise InvalidInputError(Problem(f"{path}.shape", message))

    def check_tensors(self, tensors: Tensors, paths: Mapping[str, str]) -> int:
        """Check input tensors that came as such, whose shapes `check_shape` has seen: their axes, and what columns ask.

        Args:
            tensors: One tensor for each input, each of its dtype.
            paths: The JSON path of each, by its name.

        Returns:
            The number of rows; 1 for a model without a row axis.

        Raises:
            InvalidInputError: They are not what the model takes.
        """
        _check_axes(self._tensor_axes, tensors, "$.inputs")
        for name, rules in self._rules.items():
            rules.check(tensors[name], paths[name])
        return len(tensors[self.signature.inputs[0].name]) if self._batched else 1


def _check_axes(equal_axes: list[list[tuple[str, int]]], tensors: Tensors, at: str) -> None:
    """Refuse inputs that give one named axis two lengths; the graph would fail on them."""
    for (first, first_axis), *others in equal_axes:
        expected = tensors[first].shape[first_axis]
        for name, axis in others:
            length = tensors[name].shape[axis]
            if length != expected:
                message = (
                    f"axis {axis} of {name!r} has the length {length} and axis {first_axis} of {first!r} has "
                    f"{expected}; they must be equal"
                )
                raise InvalidInputError(Problem(at, message))


def _check_shape(tensor: Tensor, shape: Sequence[int], path: str) -> None:
    """Refuse a shape that the signature does not allow."""
    declared = tensor.shape
    if len(shape) == len(declared):
        for length, got in zip(declared, shape, strict=True):
            if length != got and isinstance(length, int):
                break
        else:
            return
    wanted = list(tensor.lengths)
    message = f"expected the shape {wanted} for {shortened(tensor.name)!r}, got {shortened(str(list(shape)))}"
    remedy = ", where -1 is any length" if -1 in wanted else ""
    raise InvalidInputError(Problem(f"{path}.shape", message + remedy))


def _equal_axes(signature: Signature) -> list[list[tuple[str, int]]]:
    """The axes that must be equally long: all that count rows, and all of one name."""
    axes: dict[str | None, list[tuple[str, int]]] = {}
    for tensor in signature.inputs:
        for axis, dimension in enumerate(tensor.shape):
            if axis == 0 and signature.batched:
                axes.setdefault(None, []).append((tensor.name, axis))
            elif isinstance(dimension, str):
                axes.setdefault(dimension, []).append((tensor.name, axis))
    return [alike for alike in axes.values() if len(alike) > 1]


def _row_counts(signature: Signature, max_rows: int) -> Meta | None:
    """How many rows a request may have; None where the inputs share no first axis to count rows on."""
    if signature.batched:
        return Meta(min_length=1, max_length=max_rows)
    firsts = {tensor.shape[0] if tensor.shape else None for tensor in signature.inputs}
    fixed = firsts.pop() if len(firsts) == 1 else None
    return (
        Meta(min_length=fixed, max_length=fixed) if isinstance(fixed, int) and 0 < fixed <= max_rows else None
    )
