"""What the types of a plugin's configuration say: their parts, and what they take in words."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, cast

import msgspec

from foretell.settings.expectation import description_of

__all__ = [
    "alternatives",
    "element_of",
    "is_list",
    "is_table",
    "keys_of",
    "loose_struct",
    "struct_in",
    "told_of",
    "type_below",
    "values_of",
]

_LISTS: Final = (list, tuple, set, frozenset, Sequence, AbstractSet, Iterable)
_TABLES: Final = (dict, Mapping)


def alternatives(expected: Any) -> list[Any]:
    """The types that a union consists of; without annotations, aliases and new names for them."""
    origin = typing.get_origin(expected)
    if origin is typing.Annotated:
        return alternatives(expected.__origin__)
    if origin is typing.Union or isinstance(expected, types.UnionType):
        return [each for part in typing.get_args(expected) for each in alternatives(part)]
    for attribute in ("__supertype__", "__value__"):
        if not isinstance(expected, type) and hasattr(expected, attribute):
            return alternatives(getattr(expected, attribute))
    return [expected]


def is_list(kind: Any) -> bool:
    """Whether a type, which is no union, takes a list."""
    return (typing.get_origin(kind) or kind) in _LISTS


def is_table(kind: Any) -> bool:
    """Whether a type, which is no union, takes a table."""
    return (typing.get_origin(kind) or kind) in _TABLES or _is_struct(kind)


def struct_in(expected: Any) -> type[msgspec.Struct] | None:
    """The Struct that a type is or may be."""
    return next((kind for kind in alternatives(expected) if _is_struct(kind)), None)


def keys_of(struct: type[msgspec.Struct]) -> list[str]:
    """The keys of a Struct, as they are written."""
    return [field.encode_name for field in msgspec.structs.fields(struct)]


def type_below(expected: Any, name: str) -> Any:
    """The type of what a table of this type holds under a name; Any where that is not known."""
    for kind in alternatives(expected):
        if _is_struct(kind):
            for field in msgspec.structs.fields(kind):
                if field.encode_name == name:
                    return field.type
        elif (typing.get_origin(kind) or kind) in _TABLES:
            return (typing.get_args(kind) or (Any, Any))[1]
    return Any


def element_of(expected: Any, at: int = 0) -> Any:
    """The type of what a list of this type, or a table of any names, holds; Any where that is not known."""
    for kind in alternatives(expected):
        arguments = typing.get_args(kind)
        if is_list(kind) and arguments:
            return (
                arguments[0]
                if len(arguments) == 1 or Ellipsis in arguments
                else arguments[at % len(arguments)]
            )
        if (typing.get_origin(kind) or kind) in _TABLES:
            return (arguments or (Any, Any))[1]
    return Any


def values_of(expected: Any) -> list[str]:
    """The values that an enumeration or a literal type has, as they are written."""
    found: list[str] = []
    for kind in alternatives(expected):
        if typing.get_origin(kind) is typing.Literal:
            found += [str(value) for value in typing.get_args(kind)]
        elif isinstance(kind, type) and issubclass(kind, enum.Enum):
            found += [str(member.value) for member in kind]
    return found


def told_of(expected: Any) -> str | None:
    """What a type takes in its author's words: the description of its annotation, else an example."""
    told = description_of(expected)
    if told is not None:
        return told
    for part in [expected, *typing.get_args(expected)]:
        for meta in getattr(part, "__metadata__", ()):
            if isinstance(meta, msgspec.Meta) and meta.examples:
                return f"something like {meta.examples[0]!r}"
    return None


def loose_struct(struct: type[msgspec.Struct]) -> type[msgspec.Struct] | None:
    """The first Struct, this one or one in it, that takes keys which it does not know; None if there is none."""
    seen: set[Any] = set()
    waiting: list[Any] = [struct]
    while waiting:
        for kind in alternatives(waiting.pop(0)):
            if _is_struct(kind):
                found = cast("type[msgspec.Struct]", kind)
                if found in seen:
                    continue
                seen.add(found)
                if (
                    not found.__struct_config__.forbid_unknown_fields
                    and not found.__struct_config__.array_like
                ):
                    return found
                waiting += [field.type for field in msgspec.structs.fields(found)]
            else:
                waiting += [each for each in typing.get_args(kind) if each is not Ellipsis]
    return None


def _is_struct(kind: Any) -> bool:
    origin = typing.get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, msgspec.Struct)
