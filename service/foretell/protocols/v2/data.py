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
from foretell.parser.types import list_type, scalar_type, too_large
from foretell.protocols.complaints import DECODE_ERRORS
from foretell.tensors import DTYPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from foretell.tensors import Array, DType, DTypeName

__all__ = ["tensor_of_json"]

_OPENING: Final = re.compile(rb"[\[\s]*")
_BEFORE_PLACE: Final = " - at `$"
_NOT_FINITE: Final = Literal["NaN", "Infinity", "-Infinity"]
"""How answers write what JSON has no number for; requests may write it so too."""


def tensor_of_json(raw: msgspec.Raw, dtype: DType, shape: list[int], path: str, *, missing: bool) -> Array:
    """Read a tensor.

    Args:
        raw: Its elements: a list of all, or lists within lists as the shape says; the element itself for a scalar.
        dtype: Its element type.
        shape: Its shape.
        path: The JSON path of the data, for messages.
        missing: Whether ``null`` stands for a missing value: NaN, or the empty text.

    Raises:
        InvalidInputError: The elements are of another type or number, or nested in another way.
    """
    text = bytes(raw)
    count = math.prod(shape)
    opening = _OPENING.match(text)
    depth = 0 if opening is None else opening[0].count(b"[")
    if depth not in {0 if not shape else 1, 1, len(shape)} and count:
        raise InvalidInputError(
            Problem(path, f"expected one flat list, or lists nested {len(shape)} deep, got {depth} deep")
        )
    # Without elements there may still be empty lists, as many as there are before the axis without a length.
    most = count or math.prod(takewhile(bool, shape))
    if dtype.kind != "string" and text.count(b",") > most * (1 + depth):
        raise InvalidInputError(Problem(path, f"expected {count} elements, as the shape says, got more"))
    values: Any = None
    try:
        values = _decoder(dtype.name, depth if count else max(depth, 1), missing=missing)(text)
        array = _array(values, dtype, missing=missing)
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
    return array.reshape(shape)


def _array(values: Any, dtype: DType, *, missing: bool) -> Array:
    if dtype.kind == "string":
        array = np.array(values, dtype=object)
        if missing and array.size:
            array[array == None] = ""  # noqa: E711 - element by element
        return array
    return np.array(values, dtype=dtype.numpy)


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
