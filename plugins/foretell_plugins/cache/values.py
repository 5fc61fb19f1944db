"""Answers as bytes, for a store that other processes and hosts share."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np

from foretell.plugin import PredictResponse

__all__ = ["FORMAT", "decode", "encode"]

FORMAT: Final = 1
"""The version of the form. What has another is not read."""


class _Array(msgspec.Struct, frozen=True, array_like=True):
    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes | list[str]


class _Value(msgspec.Struct, frozen=True, array_like=True):
    format: int
    fingerprint: str
    outputs: list[_Array]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Value)


def encode(response: PredictResponse, fingerprint: str) -> bytes:
    """Write an answer down, with the fingerprint of the version that gave it."""
    outputs = [
        _Array(
            name,
            "O" if array.dtype.hasobject else array.dtype.str,
            array.shape,
            array.ravel().tolist() if array.dtype.hasobject else array.tobytes(),
        )
        for name, array in response.outputs.items()
    ]
    return _encoder.encode(_Value(FORMAT, fingerprint, outputs))


def decode(raw: bytes, fingerprint: str) -> PredictResponse | None:
    """Read an answer; None if it is of another form, of another version, or damaged."""
    try:
        value = _decoder.decode(raw)
        if value.format != FORMAT or value.fingerprint != fingerprint:
            return None
        return PredictResponse({output.name: _array(output) for output in value.outputs})
    except (msgspec.MsgspecError, ValueError, TypeError):
        return None


def _array(output: _Array) -> np.ndarray[Any, np.dtype[Any]]:
    if isinstance(output.data, list):
        if output.dtype != "O":
            raise ValueError("texts in an array of numbers")
        array = np.empty(len(output.data), dtype=object)
        array[:] = output.data
    else:
        dtype = np.dtype(output.dtype)
        if dtype.hasobject:
            raise ValueError("objects cannot be read from bytes")
        array = np.frombuffer(output.data, dtype=dtype)
    array = array.reshape(output.shape)
    array.flags.writeable = False
    return array
