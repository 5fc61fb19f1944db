"""The values that an estimator insists on: encoders may refuse what they were not trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from foretell.convert.cells import is_missing, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foretell.convert.frame import Frame, Row
    from foretell.convert.original import Original
    from foretell.signature import Scalar

__all__ = ["UNSEEN", "required_choices"]

_MOST: Final = 2000
"""More values than this are not tried out."""

_DEEPEST: Final = 12
"""Estimators are not looked into any deeper."""

_SEQUENCES: Any = (list, tuple)

UNSEEN: Final[dict[str, Scalar]] = {"string": "\N{REPLACEMENT CHARACTER} never seen", "int": -(2**52) - 1}
"""Values that no sensible training data has."""


def required_choices(original: Original) -> dict[str, tuple[Scalar, ...]]:
    """The columns of strings and integers where the estimator refuses an unseen value, and the values that it takes.

    It is asked, rather than looked into, so that it makes no difference where in a pipeline the encoder is.

    Args:
        original: The estimator, which must answer some row of its sample.
    """
    frame = original.frame
    if frame.form == "texts":
        return {}
    base = _answered_row(original, frame)
    if base is None:
        return {}
    known = tuple(dict.fromkeys(_categories(original.estimator)))
    required: dict[str, tuple[Scalar, ...]] = {}
    for at, column in enumerate(frame.columns):
        if column.kind not in UNSEEN or _takes(original, base, at, [UNSEEN[column.kind]]):
            continue
        kind = str if column.kind == "string" else int
        candidates: dict[Scalar, None] = {}
        for value in (*(row[at] for row in frame.rows), *known):
            if type(value) is kind:
                candidates.setdefault(value)
        if len(candidates) <= _MOST:
            required[column.name] = tuple(sorted(_takes(original, base, at, list(candidates)), key=_order))
    return required


def _order(value: Scalar) -> tuple[int, float, str]:
    return (1, 0.0, value) if isinstance(value, str) else (0, float(value), "")


def _answered_row(original: Original, frame: Frame) -> Row | None:
    for numbers, _ in original.answer_each(frame.rows[:8]):
        return frame.rows[numbers[0]]
    return None


def _takes(original: Original, base: Row, at: int, values: list[Scalar]) -> list[Scalar]:
    """Which of the values it takes in one column."""
    rows = [(*base[:at], value, *base[at + 1 :]) for value in values]
    return [values[number] for numbers, _ in original.answer_each(rows) for number in numbers]


def _categories(node: Any, depth: int = 0) -> Iterator[Scalar]:
    """Every category that an encoder inside an estimator knows."""
    if depth > _DEEPEST:
        return
    members: list[Any] = []
    if isinstance(node, _SEQUENCES):
        members = list(node)
    elif callable(getattr(node, "get_params", None)):
        members = list(_attributes(node).values())
        for column in _known(node):
            values: list[Any] = np.asarray(column, object).tolist()
            yield from (_whole(plain(value)) for value in values if not is_missing(value))
    for member in members:
        yield from _categories(member, depth + 1)


def _attributes(node: Any) -> dict[str, Any]:
    return getattr(node, "__dict__", {})


def _known(encoder: Any) -> list[Any]:
    return list(getattr(encoder, "categories_", None) or ())


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
