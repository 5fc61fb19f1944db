"""What `publish` and `convert` are called with, checked before any work is done."""

from __future__ import annotations

import difflib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from foretell.errors import ArgumentError
from foretell.signature import Enforcement

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PRECISIONS", "check_arguments"]

PRECISIONS: Final = ("auto", "float32", "float64")

_TEXTS: Any = (str, bytes, Path)
_MANY: Any = (list, tuple, set, frozenset)


def check_arguments(
    *, sample: Any, enforce: Any, tolerance: Any, precision: Any, feature_names: Any, description: Any = ""
) -> tuple[Enforcement, ...]:
    """Check what does not depend on the estimator.

    Returns:
        The enforcements, each once.

    Raises:
        ArgumentError: One of them is not of the allowed kind.
    """
    if isinstance(sample, _TEXTS):
        raise ArgumentError(
            f"sample={sample!r} is no rows: give a data frame or an array, such as pandas.read_csv({str(sample)!r}) "
            "(foretell publish --sample takes a file)"
        )
    if precision not in PRECISIONS:
        raise ArgumentError(f"precision={precision!r} is not one of {', '.join(PRECISIONS)}")
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float)):
        raise ArgumentError(f"tolerance={tolerance!r} is no number: give one from 0 up, such as 1e-5")
    if not 0 <= tolerance < math.inf:
        raise ArgumentError(f"tolerance={tolerance!r} is not in the range x>=0: give one such as 1e-5")
    if not isinstance(description, str):
        raise ArgumentError(f"description={description!r} is no text")
    _check_names(feature_names)
    return _enforcements(enforce)


def _enforcements(enforce: Any) -> tuple[Enforcement, ...]:
    known: tuple[Enforcement, ...] = get_args(Enforcement)
    expected = ", ".join(known)
    if not isinstance(enforce, _MANY):
        raise ArgumentError(
            f"enforce={enforce!r} is no list: give some of {expected}, such as [{known[0]!r}]"
        )
    words: Sequence[Any] = list(enforce)
    for word in words:
        if word not in known:
            close = difflib.get_close_matches(str(word), known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ArgumentError(f"enforce: {word!r} is not one of {expected}{hint}")
    return tuple(word for word in known if word in words)


def _check_names(names: Any) -> None:
    if names is None:
        return
    if isinstance(names, _TEXTS) or not hasattr(names, "__len__"):
        raise ArgumentError(f"feature_names={names!r} is no list of names: give one for each column")
    odd = [name for name in names if not isinstance(name, str)]
    if odd:
        raise ArgumentError(f"feature_names: {odd[0]!r} is no text: give the columns' names as texts")
