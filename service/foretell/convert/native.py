"""The dtypes of a sample's columns: which values they hold, and what they make of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from foretell.tensors import DTypeName

__all__ = ["EXACT_IN_FLOAT32", "holds", "is_integer", "rounds_to"]

EXACT_IN_FLOAT32: Final = 2**24
"""Up to here float32 tells neighbouring integers apart."""

_NARROW: Final[dict[str, DTypeName]] = {"float16": "float16", "float32": "float32"}


def rounds_to(native: Any) -> DTypeName | None:
    """The type narrower than JSON's numbers that a column of a dtype rounds them to; None if it is none such."""
    return _NARROW.get(str(native).lower())


def is_integer(native: Any) -> bool:
    """Whether a dtype of numpy or pandas is one of integers."""
    return native is not None and native.kind in "iu"


def holds(native: Any, value: Any) -> bool:
    """Whether a column of a dtype can hold a value as it is, or rounds it as the served model does.

    Args:
        native: The dtype of numpy or pandas; None for whatever Python has.
        value: A value that comes out of JSON.
    """
    if value is None or native is None:
        return True
    if hasattr(native, "categories"):
        return bool(value in native.categories)
    if not is_integer(native):
        return True
    limits = np.iinfo(getattr(native, "numpy_dtype", native))
    return bool(limits.min <= value <= limits.max and value == int(value))
