"""ONNX element types, their numpy counterparts, and the JSON values they are written as."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping


__all__ = ["DTYPES", "Array", "DType", "DTypeName", "dtype_of_onnx", "zeros"]

Array = np.ndarray[Any, np.dtype[Any]]
"""A tensor of any element type and shape. Strings have numpy's object dtype."""

DTypeName = Literal[
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "string",
]


class DType(msgspec.Struct, frozen=True):
    """An element type: what numpy calls it, what ONNX calls it, and its numeric limits.

    Attributes:
        name: The name used in signatures and messages.
        onnx: The type string of ONNX Runtime, for instance ``tensor(float)``.
        kind: Which JSON value an element is: a boolean, an integer, a number or a string.
        minimum: The least finite value, None for booleans and strings.
        maximum: The greatest finite value, None for booleans and strings. A float's is not below what its shortest
            digits say, so that every number in an answer may be sent back.
    """

    name: DTypeName
    onnx: str
    kind: Literal["bool", "int", "float", "string"]
    minimum: float | None = None
    maximum: float | None = None

    @property
    def numpy(self) -> np.dtype[Any]:
        """The numpy dtype that holds it (object for strings)."""
        return _NUMPY[self.name]


def _integer(name: DTypeName) -> DType:
    limits = np.iinfo(name)
    return DType(name, f"tensor({name})", "int", int(limits.min), int(limits.max))


def _floating(name: DTypeName, onnx: str) -> DType:
    greatest = np.finfo(name).max
    limit = max(float(greatest), float(str(greatest)))
    return DType(name, f"tensor({onnx})", "float", -limit, limit)


_INTEGERS: Final[tuple[DTypeName, ...]] = (
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
)

DTYPES: Final[Mapping[DTypeName, DType]] = MappingProxyType(
    {
        dtype.name: dtype
        for dtype in (
            DType("bool", "tensor(bool)", "bool"),
            *map(_integer, _INTEGERS),
            _floating("float16", "float16"),
            _floating("float32", "float"),
            _floating("float64", "double"),
            DType("string", "tensor(string)", "string"),
        )
    }
)
"""Every element type that can be served, by name."""

_NUMPY: Final[Mapping[DTypeName, np.dtype[Any]]] = MappingProxyType(
    {name: np.dtype(object if dtype.kind == "string" else name) for name, dtype in DTYPES.items()}
)
_BY_ONNX: Final = MappingProxyType({dtype.onnx: dtype for dtype in DTYPES.values()})


def dtype_of_onnx(type_string: str) -> DType | None:
    """The element type of an ONNX Runtime type string such as ``tensor(float)``; None if it cannot be served."""
    return _BY_ONNX.get(type_string)


def zeros(dtype: DType, shape: tuple[int, ...]) -> Array:
    """A tensor of zeros, False or empty strings, for warm-up runs."""
    if dtype.kind == "string":
        return np.full(shape, "", dtype=object)
    return np.zeros(shape, dtype=dtype.numpy)
