"""Numbers that JSON has no form for, as Python's `json` and other libraries write them all the same."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["not_finite_as"]

_TEXT: Final = re.compile(rb'("(?:[^"\\]|\\(?:.|\Z))*+(?:"|\Z))', re.DOTALL)
"""A text, to the end of the body where it has none of its own."""


_MOST_QUOTES: Final = 200_000
"""Of bodies with more texts than half of that, what is no JSON is refused as it is: to look for it takes too long."""


def not_finite_as(body: bytes, *, nan: bytes, infinity: bytes | None = None) -> bytes | None:
    """A body in which ``NaN`` and infinities outside of texts stand as JSON; None if there are none.

    Args:
        body: The body.
        nan: What stands for ``NaN``.
        infinity: What stands for ``Infinity``; None leaves it. A text takes the sign before it into itself.
    """
    if b"NaN" not in body and not (infinity and b"Infinity" in body):
        return None
    if body.count(b'"') > _MOST_QUOTES:
        return None
    parts = _TEXT.split(body)  # every other part is a text
    parts[::2] = [_replaced(part, nan, infinity) for part in parts[::2]]
    written = b"".join(parts)
    return None if written == body else written


def _replaced(part: bytes, nan: bytes, infinity: bytes | None) -> bytes:
    part = part.replace(b"NaN", nan)
    if infinity is not None:
        part = part.replace(b"Infinity", infinity).replace(b'-"Infinity"', b'"-Infinity"')
    return part
