"""What a setting takes, in a user's words."""

from __future__ import annotations

import types
import typing
from typing import Any

import msgspec
from msgspec import inspect

__all__ = ["description_of", "expectation"]


def expectation(expected: Any) -> str | None:
    """What values a type takes: ``a whole number from 0 to 65535``; None for types that have no such words.

    Args:
        expected: The type of a setting.
    """
    told = description_of(expected)
    if told is not None:
        return told
    if typing.get_origin(expected) is typing.Literal:  # in the order of its declaration; msgspec sorts
        return f"one of {', '.join(map(repr, typing.get_args(expected)))}"
    described = inspect.type_info(expected)
    if isinstance(described, inspect.UnionType):
        kinds = [kind for kind in described.types if not isinstance(kind, inspect.NoneType)]
        if any(isinstance(kind, inspect.LiteralType) for kind in kinds):
            return _one_of_several(expected)
        described = kinds[0] if len(kinds) == 1 else described
    match described:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return f"a whole number{_range(described.ge, described.le)}"
        case inspect.FloatType():
            return f"a number{_range(described.ge, described.le)}"
        case inspect.StrType():
            return "text" if not described.min_length else "text that is not empty"
        case _:
            return None


def description_of(expected: Any) -> str | None:
    """What a type takes in its author's words: the description of its annotation, or of one of several; None without."""
    parts = (
        typing.get_args(expected) if typing.get_origin(expected) in {typing.Union, types.UnionType} else ()
    )
    for part in (expected, *parts):
        for meta in getattr(part, "__metadata__", ()):
            if isinstance(meta, msgspec.Meta) and meta.description:
                return meta.description
    return None


def _one_of_several(union: Any) -> str:
    """Words and what else: ``'auto' or a whole number from 1 to 8``."""
    parts = typing.get_args(union)
    words = [
        repr(word)
        for part in parts
        if typing.get_origin(part) is typing.Literal
        for word in typing.get_args(part)
    ]
    others = [expectation(part) or "" for part in parts if typing.get_origin(part) is not typing.Literal]
    return " or ".join([*words, *others])


def _range(least: float | None, most: float | None) -> str:
    if least is None:
        return "" if most is None else f" of at most {_shown(most)}"
    return f" of at least {_shown(least)}" if most is None else f" from {_shown(least)} to {_shown(most)}"


def _shown(bound: float) -> str:
    return msgspec.json.encode(int(bound) if bound == int(bound) else bound).decode()
