"""Outputs as rows: one JSON value, or one object, for each row that was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foretell.errors import InvalidInputError, Problem
from foretell.protocols.encoding import json_row, json_rows, json_values
from foretell.protocols.records import MANY, json_records, records

if TYPE_CHECKING:
    from foretell.parser import Tensors
    from foretell.signature import Signature
    from foretell.tensors import Array

__all__ = ["example_row", "json_predictions", "prediction_rows", "rows_of"]


def rows_of(name: str, tensor: Array, rows: int) -> Array:
    """An output with one element for each row. A column of width one has scalars, as it takes them.

    Raises:
        InvalidInputError: The output has another first axis than the rows.
    """
    shape = tensor.shape
    if not shape or shape[0] != rows:
        message = (
            f"the output {name!r} has the shape {list(shape)}, not one value for each row; "
            "send `inputs` to the model's own path, /v1/models/<model>:predict"
        )
        raise InvalidInputError(Problem("$", message))
    return tensor.reshape(rows) if len(shape) == 2 and shape[1] == 1 else tensor


def prediction_rows(outputs: Tensors, rows: int) -> list[Any]:
    """The whole answer for each row: the value of the one output, or an object by output name.

    Raises:
        InvalidInputError: As for `rows_of`.
    """
    if rows == 1:
        row = {name: json_row(rows_of(name, tensor, 1)) for name, tensor in outputs.items()}
        return [row] if len(row) > 1 else [*row.values()]
    columns = {name: json_rows(rows_of(name, tensor, rows)) for name, tensor in outputs.items()}
    return next(iter(columns.values())) if len(columns) == 1 else records(columns)


def json_predictions(outputs: Tensors, rows: int) -> Any:
    """The same, in a form that `encode` writes as a list, and sooner.

    Raises:
        InvalidInputError: As for `rows_of`.
    """
    if rows < MANY:
        return prediction_rows(outputs, rows)
    tensors = {name: rows_of(name, tensor, rows) for name, tensor in outputs.items()}
    return json_values(next(iter(tensors.values()))) if len(tensors) == 1 else json_records(tensors, rows)


def example_row(signature: Signature) -> Any:
    """One row of the sample as a record, for documentation; None if the signature has none."""
    if signature.example is None:
        return None
    if not signature.columns:
        return list(signature.example)
    return {column.name: value for column, value in zip(signature.columns, signature.example, strict=True)}
