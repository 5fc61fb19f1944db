"""What a graph gives, as plain tensors: sequences and maps are flattened."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np

from foretell.errors import ScreeningError
from foretell.signature import Dimension, Scalar, Tensor
from foretell.tensors import DTYPES, dtype_of_onnx

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foretell.parser import Tensors
    from foretell.tensors import Array, DType, DTypeName

__all__ = ["Output", "flatten"]

_TENSOR: Final = re.compile(r"tensor\(\w+\)")
_SEQUENCE: Final = re.compile(r"seq\((tensor\(\w+\))\)")
_MAPS: Final = re.compile(r"(?:seq\()?map\((?:int64|string),(tensor\(\w+\))\)\)?")

_Map = dict[Any, Any]


class Output(msgspec.Struct, frozen=True):
    """One output of a graph.

    A tensor stays as it is. A sequence of maps (what ZipMap makes) becomes a matrix with one row for each map and
    one column for each key, in rising order; a single map is one such row. A sequence of tensors becomes one
    tensor for each place: ``name_0``, ``name_1``, ….

    Attributes:
        name: Its name in the graph.
        kind: What ONNX Runtime returns for it.
        dtype: The type of the elements, or of the maps' values.
        shape: What the graph says of a tensor's shape; nothing is known where it is empty.
    """

    name: str
    kind: Literal["tensor", "sequence", "maps"]
    dtype: DTypeName
    shape: tuple[Dimension, ...] = ()

    @classmethod
    def of(cls, name: str, type_string: str, shape: tuple[Dimension, ...]) -> Output:
        """Read an output's description.

        Args:
            name: Its name in the graph.
            type_string: Its ONNX Runtime type, for instance ``seq(map(int64,tensor(float)))``.
            shape: The length of each axis.

        Raises:
            ScreeningError: It is of a type that cannot be served.
        """
        patterns: tuple[tuple[Literal["tensor", "sequence", "maps"], re.Pattern[str]], ...]
        patterns = (("tensor", _TENSOR), ("sequence", _SEQUENCE), ("maps", _MAPS))
        for kind, pattern in patterns:
            match = pattern.fullmatch(type_string)
            dtype = dtype_of_onnx(match[match.lastindex or 0]) if match else None
            if dtype is not None:
                return cls(name, kind, dtype.name, shape)
        raise ScreeningError(f"the output {name!r} has the type {type_string}, which cannot be served")

    def tensors(self, value: Any) -> Tensors:
        """The plain tensors of what one run returned for it."""
        if self.kind == "tensor":
            return {self.name: value}
        if self.kind == "sequence":
            return {f"{self.name}_{place}": part for place, part in enumerate(value)}
        return {self.name: _matrix(value, DTYPES[self.dtype])}

    def describe(self, value: Any, rows: int | None) -> tuple[Tensor, ...]:
        """Describe the plain tensors of what one run returned for it.

        Args:
            value: What was returned.
            rows: How many rows the inputs of that run had; None where the model has no row axis.
        """

        def shape_of(tensor: Array) -> tuple[Dimension, ...]:
            if self.kind == "tensor" and len(self.shape) == tensor.ndim:
                return self.shape
            return tuple(
                length
                if self.kind == "maps" and axis == 1
                else "batch"
                if axis == 0 and length == rows
                else None
                for axis, length in enumerate(tensor.shape)
            )

        return tuple(Tensor(name, self.dtype, shape_of(part)) for name, part in self.tensors(value).items())

    def keys(self, value: Any) -> tuple[Scalar, ...] | None:
        """The keys of the maps that one run returned for it, which name the columns of its matrix."""
        return _keys(_maps(value)) if self.kind == "maps" else None


def flatten(outputs: Sequence[Output], values: Sequence[Any]) -> Tensors:
    """The plain tensors of everything that one run returned, by name."""
    tensors: Tensors = {}
    for output, value in zip(outputs, values, strict=True):
        tensors.update(output.tensors(value))
    return tensors


def _maps(value: Any) -> list[_Map]:
    maps: list[_Map] = [value] if isinstance(value, dict) else value
    return maps


def _keys(maps: Sequence[_Map]) -> tuple[Any, ...]:
    return tuple(sorted({key for row in maps for key in row}))


def _matrix(value: Any, dtype: DType) -> Array:
    maps = _maps(value)
    keys = _keys(maps)
    fill: Any = "" if dtype.kind == "string" else np.nan if dtype.kind == "float" else 0
    rows = [[row.get(key, fill) for key in keys] for row in maps]
    return np.array(rows, dtype=dtype.numpy).reshape(len(maps), len(keys))
