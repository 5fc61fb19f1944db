"""The msgspec types of scalars and nested lists, with every limit that the decoder can check by itself."""

from __future__ import annotations

import re
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import numpy as np
from msgspec import Meta

from foretell.excerpts import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foretell.signature import Column, Dimension, Enforcement
    from foretell.tensors import Array, DType

__all__ = [
    "Type",
    "column_type",
    "list_of",
    "list_type",
    "nested_type",
    "scalar_type",
    "too_large",
    "tuple_type",
]

Type = Any
"""A type annotation that is computed, such as ``Annotated[list[float], Meta(min_length=4)]``."""

_PYTHON: Final[dict[str, type]] = {"bool": bool, "int": int, "float": float, "string": str}

_INT64_MAX: Final = 2**63 - 1
"""The largest integer that msgspec takes as a bound."""


def scalar_type(dtype: DType, minimum: float | None = None, maximum: float | None = None) -> Type:
    """The type of one element, within the limits of its dtype and the narrower ones given."""
    base = _PYTHON[dtype.kind]
    if dtype.minimum is None or dtype.maximum is None:
        return base
    least = base(max(dtype.minimum, dtype.minimum if minimum is None else minimum))
    greatest = base(min(dtype.maximum, dtype.maximum if maximum is None else maximum))
    if dtype.name == "float64" and (least, greatest) == (dtype.minimum, dtype.maximum):
        return base  # the decoder refuses what is greater by itself, and compares no number in vain
    if greatest > _INT64_MAX and dtype.kind == "int":
        return Annotated[base, Meta(ge=min(least, _INT64_MAX))]
    return Annotated[base, Meta(ge=least, le=greatest)]


def column_type(column: Column, enforce: Sequence[Enforcement]) -> Type:
    """The type of one column's value: its dtype, what is enforced of it, and ``null`` where it may be missing."""
    value: Type
    if "categories" in enforce and column.categories and column.type.kind in {"int", "string"}:
        value = Literal[column.categories]
    elif "ranges" in enforce:
        value = scalar_type(column.type, column.minimum, column.maximum)
    else:
        value = scalar_type(column.type)
    if value is str and (column.missing == "empty" or column.nonempty or column.excluded):
        value = Annotated[str, _text_limits(column)]
    return value if column.missing == "refuse" else value | None


def _text_limits(column: Column) -> Meta:
    """What a text may not be: empty where that stands for a missing one, nor hold what the graph misreads.

    The latter is only documented here: msgspec's own ``pattern`` crashes the process once such types are collected.
    """
    pattern = f"^[^{re.escape(column.excluded)}]*$"
    return Meta(
        min_length=1 if column.missing == "empty" or column.nonempty else None,
        extra_json_schema={"pattern": pattern} if column.excluded else None,
    )


def list_type(element: Type, lengths: Meta | None = None) -> Type:
    """The type of a list of such elements, of any length or of the lengths given."""
    plain: Type = GenericAlias(list, (element,))
    return plain if lengths is None else Annotated[plain, lengths]


def tuple_type(elements: Sequence[Type]) -> Type:
    """The type of a list with exactly these elements, each of its own type."""
    return GenericAlias(tuple, tuple(elements))


def list_of(values: Sequence[Type]) -> Type:
    """The type of a list with exactly these values: a homogeneous one if they are alike, which documents shorter."""
    if all(value == values[0] for value in values):
        return list_type(values[0], Meta(min_length=len(values), max_length=len(values)))
    return tuple_type(values)


def nested_type(dtype: DType, shape: Sequence[Dimension], outermost: Meta | None = None) -> Type:
    """The type of nested lists of a shape; variable axes take any length.

    Args:
        dtype: The type of the elements.
        shape: The length of each axis; empty for a scalar.
        outermost: The bounds of the first axis where it is variable.
    """
    if not shape:
        return scalar_type(dtype)
    element = nested_type(dtype, shape[1:])
    if isinstance(shape[0], int):
        return list_type(element, Meta(min_length=shape[0], max_length=shape[0]))
    return list_type(element, outermost)


def too_large(dtype: DType, elements: Array) -> tuple[tuple[int, ...], str]:
    """Which number a dtype cannot hold, and what is wrong with it; for where numpy refuses a list as a whole.

    Args:
        dtype: The type of the tensor.
        elements: All elements, as Python's integers.
    """
    least, greatest = dtype.minimum or 0, dtype.maximum or 0
    beyond = np.logical_or(elements < least, elements > greatest)
    indices = tuple(int(index) for index in np.unravel_index(np.argmax(beyond), elements.shape))
    value = elements[indices]
    bound = f">= {least}" if value < least else f"<= {greatest}"
    return indices, f"expected {dtype.name} {bound}, got {shortened(str(value))}"
