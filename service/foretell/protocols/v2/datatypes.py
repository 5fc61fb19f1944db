"""What the protocol calls element types.

Source: Open Inference Protocol, tensor data types.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from foretell.tensors import DTypeName

__all__ = ["DATATYPES"]

DATATYPES: Final[Mapping[DTypeName, str]] = MappingProxyType(
    {
        "bool": "BOOL",
        "int8": "INT8",
        "int16": "INT16",
        "int32": "INT32",
        "int64": "INT64",
        "uint8": "UINT8",
        "uint16": "UINT16",
        "uint32": "UINT32",
        "uint64": "UINT64",
        "float16": "FP16",
        "float32": "FP32",
        "float64": "FP64",
        "string": "BYTES",
    }
)
"""The protocol's name of each element type."""
