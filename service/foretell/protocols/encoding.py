"""Answers as JSON bytes, straight from tensors."""

from __future__ import annotations

import math
from typing import Any, Final, TypeGuard, cast

import numpy as np
import orjson

from foretell.protocols.json_values import is_list, is_object
from foretell.tensors import Array

__all__ = ["NUMBERS", "encode", "json_row", "json_rows", "json_values"]

_OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY

NUMBERS: Final = "biuf"
"""The kinds of tensors, as numpy calls them, that are written as such: booleans and numbers."""


def encode(answer: dict[str, Any]) -> bytes:
    """Write an answer. Numbers of a float32 tensor have the fewest digits that tell them apart as float32.

    JSON has no NaN and no infinity: they are written as the strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``,
    so that none is lost.

    Args:
        answer: JSON values, and tensors of numbers or booleans, C-contiguous and of at least one dimension.

    Source: Protocol Buffers, ProtoJSON format, float and double.
    """
    body = orjson.dumps(answer, option=_OPTIONS)
    # The encoder writes every number that is not finite as null. The word may stand in a string as well: then the
    # answer is written a second time, and comes out the same.
    if b"null" in body:
        return orjson.dumps(_spelled_out(answer), option=_OPTIONS)
    return body


def json_values(tensor: Array) -> Any:
    """A tensor as nested lists, or in a form that `encode` writes as such."""
    if tensor.ndim == 0 and tensor.dtype.kind == "f":
        return tensor[()]
    if tensor.ndim == 0 or tensor.dtype.kind not in NUMBERS:
        return tensor.tolist()
    return np.ascontiguousarray(tensor)


def json_rows(tensor: Array) -> list[Any]:
    """The rows of a tensor of at least one dimension, each as a JSON value or in a form that `encode` writes."""
    if (tensor.ndim == 1 and tensor.dtype.kind != "f") or tensor.dtype == object:
        rows: list[Any] = tensor.tolist()
        return rows
    return list(np.ascontiguousarray(tensor))


def json_row(tensor: Array) -> Any:
    """The one row of a tensor of at least one dimension; see `json_rows`."""
    row = tensor[0]
    if not _is_tensor(row):
        return row if tensor.dtype.kind in "fO" else row.item()
    return row.tolist() if row.dtype.kind not in NUMBERS else np.ascontiguousarray(row)


def _spelled_out(value: Any) -> Any:
    if is_object(value):
        return {key: _spelled_out(item) for key, item in value.items()}
    if is_list(value):
        return [_spelled_out(item) for item in value]
    if _is_tensor(value):
        if value.dtype.kind != "f" or bool((finite := np.isfinite(value)).all()):
            return value
        items: list[Any] = list(value)
        for at in np.flatnonzero(~finite.reshape(len(value), -1).all(axis=1)):
            items[at] = _spelled_out(items[at])
        return items
    if _is_lost(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _is_tensor(value: Any) -> TypeGuard[Array]:
    return isinstance(value, np.ndarray)


def _is_lost(value: Any) -> bool:
    """Whether a value is a number that JSON has no form for."""
    return isinstance(value, (float, np.floating)) and not math.isfinite(cast("float", value))
