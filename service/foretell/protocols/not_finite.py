"""Numbers that JSON has no form for, as Python's `json` and other libraries write them all the same."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["not_finite_as"]

_TEXT: Final = re.compile(rb'("(?:[^"\\]|\\(?:.|\Z))*+(?:"|\Z))', re.DOTALL)
"""A text, to the end of the body where it has none of its own."""


def not_finite_as(body: bytes, *, quote: bool) -> bytes | None:
    """A body in which ``NaN`` and infinities outside of texts stand as JSON; None if there are none.

    Args:
        body: The body.
        quote: Whether they become texts, as ``"NaN"``; if not, NaN becomes ``null``, and infinities stay.
    """
    if b"NaN" not in body and not (quote and b"Infinity" in body):
        return None
    parts = _TEXT.split(body)  # every other part is a text
    parts[::2] = [_quoted(part) if quote else part.replace(b"NaN", b"null") for part in parts[::2]]
    written = b"".join(parts)
    return None if written == body else written


def _quoted(part: bytes) -> bytes:
    return (
        part.replace(b"NaN", b'"NaN"')
        .replace(b"Infinity", b'"Infinity"')
        .replace(b'-"Infinity"', b'"-Infinity"')
    )
