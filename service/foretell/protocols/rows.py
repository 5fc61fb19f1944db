"""Outputs as rows: one JSON value, or one object, for each row that was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foretell.errors import InvalidInputError, Problem
from foretell.protocols.encoding import json_rows

if TYPE_CHECKING:
    from foretell.parser import Tensors
    from foretell.signature import Signature
    from foretell.tensors import Array

__all__ = ["example_row", "prediction_rows", "rows_of"]


def rows_of(name: str, tensor: Array, rows: int) -> list[Any]:
    """One value of an output for each row. A column of width one gives scalars, as it takes them.

    Raises:
        InvalidInputError: The output has another first axis than the rows.
    """
    if tensor.ndim == 0 or len(tensor) != rows:
        message = (
            f"the output {name!r} has the shape {list(tensor.shape)}, not one value for each row; "
            "send `inputs` to the model's own path, /v1/models/<model>:predict"
        )
        raise InvalidInputError(Problem("$", message))
    return json_rows(tensor.reshape(rows) if tensor.ndim == 2 and tensor.shape[1] == 1 else tensor)


def prediction_rows(outputs: Tensors, rows: int) -> list[Any]:
    """The whole answer for each row: the value of the one output, or an object by output name.

    Raises:
        InvalidInputError: As for `rows_of`.
    """
    columns = {name: rows_of(name, tensor, rows) for name, tensor in outputs.items()}
    if len(columns) == 1:
        return next(iter(columns.values()))
    names = list(columns)
    return [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def example_row(signature: Signature) -> Any:
    """One row of the sample as a record, for documentation; None if the signature has none."""
    if signature.example is None:
        return None
    if not signature.columns:
        return list(signature.example)
    return {column.name: value for column, value in zip(signature.columns, signature.example, strict=True)}
