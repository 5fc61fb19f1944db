"""Answers as bytes, for a store that other processes and hosts share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from foretell.tensors import DTYPES

if TYPE_CHECKING:
    from foretell.tensors import Array

__all__ = ["FORMAT", "Value", "decode", "encode"]

FORMAT: Final = 2
"""The version of the form. What has another is not read."""

_TEXTS: Final = "O"
_NUMBERS: Final = {dtype.numpy.str: dtype.numpy for dtype in DTYPES.values() if dtype.kind != "string"}


class Value(msgspec.Struct, frozen=True):
    """An answer that was read.

    Attributes:
        outputs: Its tensors by name.
        expires_s: When it is too old, seconds since 1970.
    """

    outputs: dict[str, Array]
    expires_s: float


class _Array(msgspec.Struct, frozen=True, array_like=True):
    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes | list[str]


class _Value(msgspec.Struct, frozen=True, array_like=True):
    format: int
    fingerprint: str
    question: bytes
    expires_s: float
    outputs: list[_Array]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Value)


def encode(outputs: Mapping[str, Array], *, fingerprint: str, question: bytes, expires_s: float) -> bytes:
    """Write an answer down.

    Args:
        outputs: Its tensors by name.
        fingerprint: That of the version that gave it.
        question: The digest of what was asked.
        expires_s: When it is too old, seconds since 1970.
    """
    arrays = [
        _Array(
            name,
            _TEXTS if array.dtype.hasobject else array.dtype.str,
            array.shape,
            array.ravel().tolist() if array.dtype.hasobject else array.tobytes(),
        )
        for name, array in outputs.items()
    ]
    return _encoder.encode(_Value(FORMAT, fingerprint, question, expires_s, arrays))


def decode(raw: bytes, *, fingerprint: str, question: bytes) -> Value | None:
    """Read an answer; None if it is of another form, of another version, to another question, or damaged."""
    try:
        value = _decoder.decode(raw)
    except (msgspec.MsgspecError, ValueError):  # ValueError: a text that is not UTF-8
        return None
    if (value.format, value.fingerprint, value.question) != (FORMAT, fingerprint, question):
        return None
    outputs: dict[str, Array] = {}
    for output in value.outputs:
        array = _array(output)
        if array is None or output.name in outputs:
            return None
        outputs[output.name] = array
    return Value(outputs, value.expires_s) if math.isfinite(value.expires_s) else None


def _array(output: _Array) -> Array | None:
    """A tensor; None if its parts contradict each other."""
    if min(output.shape, default=0) < 0:
        return None
    size = math.prod(output.shape)
    array: np.ndarray[Any, np.dtype[Any]]
    if isinstance(output.data, list):
        if output.dtype != _TEXTS or len(output.data) != size:
            return None
        array = np.empty(size, dtype=object)
        array[:] = output.data
    else:
        dtype = _NUMBERS.get(output.dtype)
        if dtype is None or len(output.data) != size * dtype.itemsize:
            return None
        array = np.frombuffer(bytearray(output.data), dtype=dtype)
    try:
        return array.reshape(output.shape)
    except (ValueError, OverflowError):  # too many axes, or one that is too long beside an empty one
        return None
