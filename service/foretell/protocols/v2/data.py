"""The elements of a tensor as JSON: flat or nested, row by row."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np

from foretell.errors import InvalidInputError, Problem
from foretell.excerpts import shortened
from foretell.parser.matrix import matrix_of
from foretell.parser.types import list_type, scalar_type, too_large
from foretell.protocols.complaints import DECODE_ERRORS
from foretell.protocols.excess import outside_of_texts
from foretell.tensors import DTYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from foretell.tensors import Array, DType, DTypeName

__all__ = ["tensor_of_json"]

_OPENING: Final = re.compile(rb"[\[\s]*")
_BEFORE_PLACE: Final = " - at `$"
_NOT_FINITE: Final = Literal["NaN", "Infinity", "-Infinity"]
"""How answers write what JSON has no number for; requests may write it so too."""


def tensor_of_json(
    raw: msgspec.Raw, dtype: DType, shape: list[int], path: str, *, may_miss: Sequence[bool] = ()
) -> Array:
    """Read a tensor.

    Args:
        raw: Its elements: a list of all, or lists within lists as the shape says; the element itself for a scalar.
        dtype: Its element type.
        shape: Its shape.
        path: The JSON path of the data, for messages.
        may_miss: In which columns, from left to right, ``null`` stands for a missing value: NaN, or the empty text.

    Raises:
        InvalidInputError: The elements are of another type or number, or nested in another way.
    """
    text = bytes(raw)
    count = math.prod(shape)
    missing = any(may_miss)
    opening = _OPENING.match(text)
    depth = 0 if opening is None else opening[0].count(b"[")
    if depth > max(len(shape), 1) or (depth not in {0 if not shape else 1, 1, len(shape)} and count):
        raise InvalidInputError(
            Problem(path, f"expected one flat list, or lists nested {len(shape)} deep, got {depth} deep")
        )
    # Without elements there may still be empty lists, as many as there are before the axis without a length.
    most = count or math.prod(takewhile(bool, shape))
    commas = text.count(b",")
    if commas > most * (1 + depth) and dtype.kind == "string":
        commas = outside_of_texts(text)[1]
    if commas > most * (1 + depth):
        raise InvalidInputError(Problem(path, f"expected {count} elements, as the shape says, got more"))
    values: Any = None
    try:
        values = _decoder(dtype.name, depth if count else max(depth, 1), missing=missing)(text)
        array = _array(values, dtype, depth)
    except DECODE_ERRORS as error:
        raise InvalidInputError(_complaint(error, dtype, path)) from error
    except OverflowError:
        indices, message = too_large(dtype, np.array(values, dtype=object))
        raise InvalidInputError(Problem(path + "".join(f"[{at}]" for at in indices), message)) from None
    except ValueError as error:
        raise InvalidInputError(Problem(path, "the nested lists are of different lengths")) from error
    if array.size != count:
        raise InvalidInputError(
            Problem(path, f"expected {count} elements, as the shape {shape} says, got {array.size}")
        )
    if depth > 1 and count and list(array.shape) != shape:
        raise InvalidInputError(Problem(path, f"expected lists nested as {shape}, got {list(array.shape)}"))
    array = array.reshape(shape)
    if missing and dtype.kind == "string" and count:
        _blank(array, may_miss, path)
    return array


def _array(values: Any, dtype: DType, depth: int) -> Array:
    if depth in {1, 2}:
        matrix = matrix_of([values] if depth == 1 else values, dtype)
        if matrix is not None:
            return matrix[0] if depth == 1 else matrix
    return np.array(values, dtype=object if dtype.kind == "string" else dtype.numpy)


def _blank(array: Array, may_miss: Sequence[bool], path: str) -> None:
    """Put the empty text in the places of texts that are missing.

    Raises:
        InvalidInputError: One is missing where none may.
    """
    rows = array.reshape(len(array), -1)
    nulls = np.asarray(rows == None)  # noqa: E711 - element by element
    wrong = np.argwhere(nulls & ~np.array(may_miss, dtype=bool))
    if len(wrong):
        row, column = wrong[0].tolist()
        at = f"[{row}][{column}]" if array.ndim > 1 else f"[{row}]"
        raise InvalidInputError(Problem(path + at, "this value may not be missing"))
    rows[nulls] = ""


def _complaint(error: Exception, dtype: DType, path: str) -> Problem:
    if not isinstance(error, msgspec.ValidationError):
        return Problem(path, f"the data cannot be read: {error}")
    what, place, at = str(error).rpartition(_BEFORE_PLACE)
    shown = (
        (what if place else str(error))
        .replace("`", "")
        .replace("Expected ", "expected ")
        .replace(" | ", " or ")
    )
    return Problem(
        f"{path}{at[:-1]}" if place else path, f"{shortened(shown, 200)}; the tensor is of {dtype.name}"
    )


@lru_cache(256)
def _decoder(name: DTypeName, depth: int, *, missing: bool) -> Callable[[bytes], Any]:
    dtype = DTYPES[name]
    element: Any = scalar_type(dtype)
    if dtype.kind == "float":
        element = element | _NOT_FINITE
    elif dtype.kind == "bool":
        element = element | Literal[0, 1]
    if missing:
        element = element | None
    for _ in range(depth):
        element = list_type(element)
    return msgspec.json.Decoder(element).decode
