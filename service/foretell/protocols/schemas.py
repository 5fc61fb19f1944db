"""The JSON schema of outputs, for OpenAPI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foretell.signature import Dimension, Signature, Tensor

__all__ = [
    "answer_schema",
    "output_element_schema",
    "output_row_schema",
    "output_tensor_schema",
    "prediction_row_schema",
]

_JSON_TYPES: Final = {"bool": "boolean", "int": "integer", "float": "number", "string": "string"}


def answer_schema(properties: dict[str, Any], optional: Sequence[str] = ()) -> dict[str, Any]:
    """The schema of an answer: what is given, and what every answer has.

    Args:
        properties: The schemas of what only this answer has.
        optional: Which of those may be absent.
    """
    text = {"type": "string"}
    both = {**properties, "model_name": text, "model_version": text, "request_id": text}
    required = [name for name in both if name not in optional]
    degraded = {"degraded": {"type": "boolean"}, "served_by": text}
    return {"type": "object", "properties": {**both, **degraded}, "required": required}


def output_tensor_schema(tensor: Tensor) -> dict[str, Any]:
    """The schema of a whole output."""
    return _nested(output_element_schema(tensor), tensor.shape)


def output_row_schema(tensor: Tensor) -> dict[str, Any]:
    """The schema of an output's value for one row."""
    element = output_element_schema(tensor)
    if len(tensor.shape) == 2 and tensor.shape[1] == 1:
        return element
    row = _nested(element, tensor.shape[1:])
    if len(tensor.shape) == 2 and not isinstance(tensor.shape[1], int):
        return {"anyOf": [row, element]}  # it may turn out to have the width one
    return row


def prediction_row_schema(signature: Signature) -> dict[str, Any]:
    """The schema of the whole answer for one row."""
    rows = {tensor.name: output_row_schema(tensor) for tensor in signature.outputs}
    if len(rows) == 1:
        return next(iter(rows.values()))
    return {"type": "object", "properties": rows, "required": list(rows)}


def output_element_schema(tensor: Tensor) -> dict[str, Any]:
    """The schema of one element of an output."""
    schema: dict[str, Any] = {"type": _JSON_TYPES[tensor.type.kind]}
    if tensor.type.kind != "float":
        return schema
    return {"anyOf": [schema, {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}]}


def _nested(element: dict[str, Any], shape: Sequence[Dimension]) -> dict[str, Any]:
    if not shape:
        return element
    schema: dict[str, Any] = {"type": "array", "items": _nested(element, shape[1:])}
    return {**schema, "minItems": shape[0], "maxItems": shape[0]} if isinstance(shape[0], int) else schema
