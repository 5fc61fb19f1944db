"""Lists of numbers as a matrix, packed a row at a time: numpy takes more than twice as long for lists of lists."""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from struct import error as StructError  # noqa: N812 - a class, whatever it is called
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from foretell.tensors import Array, DType

__all__ = ["matrix_of"]

_FORMATS: Final = {
    "int8": "b",
    "int16": "h",
    "int32": "i",
    "int64": "q",
    "uint8": "B",
    "uint16": "H",
    "uint32": "I",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}
"""What `struct` calls the element types whose values it turns into the same bits as numpy does."""

_MANY: Final = 100
"""From how many numbers on that is faster."""


def matrix_of(rows: Sequence[Any], dtype: DType) -> Array | None:
    """What ``np.array(rows, dtype)`` gives, read-only.

    Args:
        rows: Lists or tuples of numbers.
        dtype: The type of the matrix.

    Returns:
        The matrix; None where numpy is to say what becomes of them: they differ in length, or hold something else than
        numbers within the limits of the type, or there are few.
    """
    width = len(rows[0]) if rows else 0
    if len(rows) * width < _MANY or (code := _FORMATS.get(dtype.name)) is None:
        return None
    pack = _packer(code, width)
    try:
        packed = b"".join([pack(*row) for row in rows])
    except (StructError, TypeError, OverflowError):
        return None
    return np.frombuffer(packed, dtype=code).reshape(-1, width)


@lru_cache(256)
def _packer(code: str, width: int) -> Callable[..., bytes]:
    return Struct(f"{width}{code}").pack
