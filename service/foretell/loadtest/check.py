"""Whether an answer is one of those that are right."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

import msgspec

__all__ = ["complaint"]

_TOLERANCE: Final = 1e-5
_SHOWN: Final = 200
_NUMBERS: Final[set[type[object]]] = {float, int}


def complaint(body: bytes, expected: Sequence[bytes]) -> str | None:
    """What is wrong with the body of an answer; None if nothing is.

    Most right answers are right to the last byte. Where a run is shared with others' rows, numbers may differ by as much as
    two orders of the same additions do: by 1e-5, or that part of themselves. Labels are equal.

    Args:
        body: The body.
        expected: The bodies that are right.
    """
    if body in expected:
        return None
    try:
        told: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return f"no JSON: {body[:_SHOWN]!r}"
    if any(_alike(told, right) for right in _read(expected)):
        return None
    return f"wrong: {body[:_SHOWN]!r}, not {expected[0][:_SHOWN]!r}"


def _read(bodies: Sequence[bytes]) -> Iterator[object]:
    """Those that are JSON; an answer with binary data is right to the last byte, or wrong."""
    for body in bodies:
        try:
            yield msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue


def _alike(told: Any, right: Any) -> bool:
    kinds: set[type[object]] = {type(told), type(right)}
    if float in kinds and kinds <= _NUMBERS:
        return math.isclose(told, right, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    if type(told) is not type(right):
        return False
    if isinstance(right, dict):
        theirs, ours = cast("dict[str, Any]", told), cast("dict[str, Any]", right)
        return theirs.keys() == ours.keys() and all(_alike(theirs[key], ours[key]) for key in ours)
    if isinstance(right, list):
        some, others = cast("list[object]", told), cast("list[object]", right)
        return len(some) == len(others) and all(map(_alike, some, others))
    return bool(told == right)
