"""The elements of a tensor as typed contents, the form of messages that are not raw bytes.

Source: Open Inference Protocol, message InferTensorContents.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from foretell.errors import InvalidInputError, Problem
from foretell.parser.types import too_large
from foretell.protocols.v2.datatypes import DATATYPES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from foretell.tensors import Array, DType, DTypeName

__all__ = ["FIELDS", "tensor_of_contents", "write_contents"]

FIELDS: Final[Mapping[DTypeName, str]] = MappingProxyType(
    {
        "bool": "bool_contents",
        "int8": "int_contents",
        "int16": "int_contents",
        "int32": "int_contents",
        "int64": "int64_contents",
        "uint8": "uint_contents",
        "uint16": "uint_contents",
        "uint32": "uint_contents",
        "uint64": "uint64_contents",
        "float32": "fp32_contents",
        "float64": "fp64_contents",
        "string": "bytes_contents",
    }
)
"""Where the elements of each type are. There is no place for FP16, which is only ever raw."""


def tensor_of_contents(contents: Any, dtype: DType, shape: list[int], path: str) -> Array:
    """Read a tensor.

    Args:
        contents: An ``InferTensorContents``.
        dtype: Its element type.
        shape: Its shape.
        path: The JSON path of the contents, for messages.

    Raises:
        InvalidInputError: The elements are of another type or number, or too large.
    """
    name = FIELDS.get(dtype.name)
    if name is None:
        message = f"{DATATYPES[dtype.name]} has no typed contents: send it as raw_input_contents"
        raise InvalidInputError(Problem(path, message))
    for field, _ in contents.ListFields():
        if field.name != name:
            message = f"{field.name} does not hold {DATATYPES[dtype.name]}: expected {name}"
            raise InvalidInputError(Problem(path, message))
    elements = getattr(contents, name)
    count = math.prod(shape)
    if len(elements) != count:
        message = f"expected {count} elements, as the shape {shape} says, got {len(elements)}"
        raise InvalidInputError(Problem(f"{path}.{name}", message))
    if dtype.kind == "string":
        return _texts(elements, f"{path}.{name}").reshape(shape)
    array = np.array(elements, dtype=None if count else dtype.numpy)
    if dtype.kind == "int" and count:
        limits = np.iinfo(dtype.numpy)
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            (at,), message = too_large(dtype, array.astype(object))
            raise InvalidInputError(Problem(f"{path}.{name}[{at}]", message))
    return array.astype(dtype.numpy, copy=False).reshape(shape)


def write_contents(contents: Any, tensor: Array, dtype: DType) -> None:
    """Put the elements of a tensor into contents.

    Args:
        contents: An empty ``InferTensorContents``.
        tensor: The tensor.
        dtype: Its element type, which has typed contents.
    """
    elements: list[Any] = np.ascontiguousarray(tensor).reshape(-1).tolist()
    if dtype.kind == "string":
        elements = [text.encode() for text in elements]
    getattr(contents, FIELDS[dtype.name]).extend(elements)


def _texts(elements: Any, path: str) -> Array:
    array = np.empty(len(elements), dtype=object)
    for number, element in enumerate(elements):
        try:
            array[number] = element.decode()
        except UnicodeDecodeError as error:
            message = f"element {number} is not UTF-8: {error.reason}"
            raise InvalidInputError(Problem(path, message)) from error
    return array
