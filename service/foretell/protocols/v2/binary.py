"""Tensors as they are in memory: little-endian, row by row, without gaps.

Source: Triton, binary tensor data extension.
"""

from __future__ import annotations

import math
import struct
import sys
from typing import TYPE_CHECKING, Final

import numpy as np

from foretell.errors import InvalidInputError, MalformedError, Problem
from foretell.excerpts import shortened

if TYPE_CHECKING:
    from foretell.tensors import Array, DType

__all__ = ["HEADER", "bytes_of", "message_length", "tensor_of_bytes"]

HEADER: Final = b"inference-header-content-length"
"""The header that tells the length of the JSON before the tensors."""

_LENGTH: Final = struct.Struct("<I")
_DIGITS: Final = 18
_SWAPS: Final = sys.byteorder == "big"
_ALIGNED: Final = 16
"""What numpy's own tensors, such as those that are read from JSON, begin at a multiple of, bytes."""


def message_length(value: bytes, body: bytes) -> int:
    """The length of the JSON in a body, bytes.

    Args:
        value: The value of the header.
        body: The body.

    Raises:
        MalformedError: It is no number, or greater than the body.
    """
    if not value.isdigit() or len(value) > _DIGITS:
        shown = shortened(value.decode("latin-1"))
        raise MalformedError(f"Inference-Header-Content-Length: expected a number of bytes, got {shown!r}")
    length = int(value)
    if length > len(body):
        raise MalformedError(
            f"Inference-Header-Content-Length is {length}, but the body has {len(body)} bytes"
        )
    return length


def tensor_of_bytes(data: memoryview, dtype: DType, shape: list[int], path: str) -> Array:
    """Read a tensor. It is no copy where its elements are numbers that begin as those of numpy's own tensors do.

    Elsewhere some operators add up in another order: the last bits of an answer would depend on how long the JSON before
    the tensor is.

    Args:
        data: Exactly its bytes.
        dtype: Its element type.
        shape: Its shape.
        path: The JSON path of the tensor, for messages.

    Raises:
        InvalidInputError: There are more or fewer bytes than the shape says, or they are not of that type.
    """
    count = math.prod(shape)
    if dtype.kind == "string":
        return _texts(data, count, path).reshape(shape)
    expected = count * dtype.numpy.itemsize
    if len(data) != expected:
        raise InvalidInputError(
            Problem(path, f"expected {expected} bytes for the shape {shape} of {dtype.name}, got {len(data)}")
        )
    if dtype.kind == "bool":
        flags = np.frombuffer(data, dtype=np.uint8)
        if flags.size and int(flags.max()) > 1:
            raise InvalidInputError(
                Problem(path, f"expected bytes of 0 or 1 for booleans, got {flags.max()}")
            )
        return flags.view(np.bool_).reshape(shape)
    array = np.frombuffer(data, dtype=dtype.numpy)
    if _SWAPS:
        array = array.byteswap()
    elif array.__array_interface__["data"][0] % _ALIGNED:
        array = array.copy()
    return array.reshape(shape)


def bytes_of(tensor: Array) -> bytes:
    """The bytes of a tensor."""
    if tensor.dtype == object:
        texts: list[str] = tensor.reshape(-1).tolist()
        written = {text: _with_length(text.encode()) for text in set(texts)}  # mostly labels, few and often
        return b"".join([written[text] for text in texts])
    return tensor.astype(tensor.dtype.newbyteorder("<"), copy=False).tobytes()


def _with_length(text: bytes) -> bytes:
    return _LENGTH.pack(len(text)) + text


def _texts(data: memoryview, count: int, path: str) -> Array:
    """Elements of any length, each with its length before it."""
    texts: list[str] = []
    at, end = 0, len(data)
    if count * _LENGTH.size > end:
        raise InvalidInputError(Problem(path, f"expected {count} elements, which {end} bytes cannot hold"))
    while at < end and len(texts) < count:
        if at + _LENGTH.size > end:
            break
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if length > end - at:
            raise InvalidInputError(
                Problem(path, f"element {len(texts)} is said to have {length} bytes, and {end - at} are left")
            )
        try:
            texts.append(str(data[at : at + length], "utf-8"))
        except UnicodeDecodeError as error:
            raise InvalidInputError(
                Problem(path, f"element {len(texts)} is not UTF-8: {error.reason}")
            ) from error
        at += length
    if len(texts) != count or at != end:
        raise InvalidInputError(
            Problem(
                path,
                f"expected {count} elements and no bytes more, got {len(texts)} and {end - at} bytes more",
            )
        )
    array = np.empty(count, dtype=object)
    array[:] = texts
    return array
