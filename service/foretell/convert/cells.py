"""One cell of a table, as pandas and numpy hold it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["is_missing", "plain"]

_NUMPY_SCALAR: Any = np.generic


def is_missing(value: object) -> bool:
    """Whether a value of a column stands for none: None, NaN or pandas' NA."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    return type(value).__name__ in {"NAType", "NaTType"}


def plain(value: Any) -> Any:
    """A value as Python's own type rather than numpy's."""
    return value.item() if isinstance(value, _NUMPY_SCALAR) else value
