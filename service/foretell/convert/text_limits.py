"""Which characters a column of texts may not hold, because the ONNX form would read them differently."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from foretell.convert.cells import is_missing
from foretell.convert.vectorizers import refused_characters

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["fills_gaps_in_texts", "text_limits"]

_DEEPEST: Final = 12
"""Estimators are not looked into any deeper."""

_SEQUENCES: Any = (list, tuple)


def text_limits(estimator: Any, names: Sequence[str]) -> dict[str, str]:
    """The refused characters by column; columns without any are left out.

    Args:
        estimator: A fitted estimator of scikit-learn.
        names: The columns that it is given.
    """
    found: dict[str, set[str]] = {}
    for vectorizer, columns in _vectorizers(estimator, list(names)):
        refused = set(refused_characters(vectorizer))
        for name in columns if refused else ():
            found.setdefault(name, set()).update(refused)
    return {name: "".join(sorted(refused)) for name, refused in found.items()}


def fills_gaps_in_texts(node: Any, depth: int = 0) -> bool:
    """Whether a step inside an estimator knows missing strings, which its ONNX form sees as empty ones."""
    if depth > _DEEPEST:
        return False
    if isinstance(node, _SEQUENCES):
        return any(fills_gaps_in_texts(member, depth + 1) for member in node)
    if not callable(getattr(node, "get_params", None)):
        return False
    statistics = getattr(node, "statistics_", None)
    if statistics is not None and np.asarray(statistics).dtype.kind in "OUT":
        return is_missing(node.missing_values)
    known: Any = getattr(node, "categories_", None)
    for categories in () if known is None else known:
        values: list[Any] = np.asarray(categories, object).tolist()
        if any(map(is_missing, values)) and any(isinstance(value, str) for value in values):
            return True
    return any(fills_gaps_in_texts(member, depth + 1) for member in _attributes(node).values())


def _attributes(node: Any) -> dict[str, Any]:
    return getattr(node, "__dict__", {})


def _vectorizers(node: Any, columns: list[str]) -> Iterator[tuple[Any, list[str]]]:
    """Every vectorizer, with the columns that its texts may come from."""
    if hasattr(node, "vocabulary_") and hasattr(node, "token_pattern"):
        yield node, columns
    elif hasattr(node, "transformers_"):
        for _, child, chosen in node.transformers_:
            yield from _vectorizers(child, _named(chosen, columns))
    else:
        for child in _children(node):
            yield from _vectorizers(child, columns)


def _named(chosen: Any, columns: list[str]) -> list[str]:
    """The columns that a step of a ColumnTransformer names, and all of them where it names them otherwise."""
    if isinstance(chosen, str):
        return [chosen] if chosen in columns else columns
    if isinstance(chosen, int) and -len(columns) <= chosen < len(columns):
        return [columns[chosen]]
    return columns


def _children(node: Any) -> list[Any]:
    steps = [*getattr(node, "steps", ()), *getattr(node, "transformer_list", ())]
    inner = getattr(node, "best_estimator_", getattr(node, "estimator_", getattr(node, "regressor_", None)))
    members = getattr(node, "estimators_", None)
    several = list(members) if isinstance(members, list) else []  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]
    return [child for _, child in steps] + ([] if inner is None else [inner]) + several
