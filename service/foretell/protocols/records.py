"""Rows of several outputs as JSON: an object for each row, with the value of each output by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from foretell.protocols.encoding import NUMBERS, json_rows, json_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from foretell.tensors import Array

__all__ = ["json_records", "records"]

_MANY: Final = 6
"""From how many rows on whole tensors are written faster than rows; 64 rows of two outputs in a third of the time."""


def records(tensors: Mapping[str, Array]) -> list[dict[str, Any]]:
    """The rows of several tensors as objects.

    Args:
        tensors: The tensors by name, at least one, all of the same first axis.
    """
    names = list(tensors)
    columns = map(json_rows, tensors.values())
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def json_records(tensors: Mapping[str, Array]) -> Any:
    """The same, in a form that `encode` writes as a list, and sooner."""
    rows = len(next(iter(tensors.values())))
    written = _written(tensors, rows) if rows >= _MANY else None
    return records(tensors) if written is None else orjson.Fragment(written)


def _written(tensors: Mapping[str, Array], rows: int) -> bytes | None:
    """All objects, written without one in memory for each row and number; None if something is to be spelled out."""
    width = 2 * len(tensors)
    pieces = [b""] * (width * rows)  # what stands before a value, and the value
    ends = [b"]" * (tensor.ndim - 1) for tensor in tensors.values()]
    before = between = ends[-1] + b"},{"
    for at, ((name, tensor), end) in enumerate(zip(tensors.items(), ends, strict=True)):
        values = _numbers(tensor) if tensor.dtype.kind in NUMBERS else _texts(tensor)
        if values is None or len(values) != rows:
            return None
        pieces[2 * at :: width] = [before + orjson.dumps(name) + b":" + b"[" * len(end)] * rows
        pieces[2 * at + 1 :: width] = values
        before = end + b","
    pieces[0] = b"[{" + pieces[0].removeprefix(between)
    pieces.append(ends[-1] + b"}]")
    return b"".join(pieces)


def _texts(tensor: Array) -> list[bytes] | None:
    """Each text as JSON, equal ones encoded once; None if something else is among them."""
    if tensor.ndim != 1:
        return None
    texts: list[Any] = tensor.tolist()
    if set(map(type, texts)) != {str}:
        return None
    encoded = {text: orjson.dumps(text) for text in set(texts)}
    return [encoded[text] for text in texts]


def _numbers(tensor: Array) -> list[bytes] | None:
    """What stands within the brackets of each row; None if something is no number, or there is nothing to be split."""
    if not tensor.size:
        return None
    text = orjson.dumps(json_values(tensor), option=orjson.OPT_SERIALIZE_NUMPY)
    if b"null" in text:
        return None
    inner = tensor.ndim - 1
    return text[tensor.ndim : -tensor.ndim].split(b"]" * inner + b"," + b"[" * inner)
