"""The header by which a caller says which trace a request belongs to.

Source: W3C Trace Context, level 1, sections 3.2 and 3.3.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from foretell.prediction import Headers

__all__ = ["Parent", "parent_of", "parse_traceparent", "says_unsampled", "traceparent_of"]

_NO_TRACE: Final = b"0" * 32
_NO_SPAN: Final = b"0" * 16
_USUAL: Final = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}").fullmatch
_ANY_VERSION: Final = re.compile(
    rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL
)
_EVEN: Final = b"02468ace"
_LONGEST: Final = 512


class Parent(NamedTuple):
    """Where a span belongs.

    Attributes:
        trace_id: The trace, 128 bits.
        span_id: The span that it is a child of, 64 bits; 0 if it begins the trace.
        flags: The trace flags; bit 0 says that the trace is sampled.
    """

    trace_id: int
    span_id: int
    flags: int


def traceparent_of(headers: Headers) -> bytes | None:
    """The ``traceparent`` header of a request; None if there is none, or more than one."""
    found = None
    for name, value in headers:
        if name == b"traceparent":
            if found is not None:
                return None
            found = value
    return found


def parent_of(headers: Headers) -> Parent | None:
    """What the headers of a request say of its trace; None if they say nothing, nothing valid, or two things."""
    value = traceparent_of(headers)
    return None if value is None else parse_traceparent(value)


def parse_traceparent(value: bytes) -> Parent | None:
    """What a ``traceparent`` header says; None if it is malformed.

    A version that is newer than this code is read as far as it is known, as the recommendation asks.
    """
    if _USUAL(value) is None:
        return _parse_unusual(value)
    return Parent(int(value[3:35], 16), int(value[36:52], 16), int(value[53:55], 16))


def says_unsampled(value: bytes) -> bool:
    """Whether a ``traceparent`` header is of the usual form and says that its trace is not sampled.

    That is the most frequent answer, and costs a third of parsing.
    """
    return _USUAL(value) is not None and value[54] in _EVEN


def _parse_unusual(value: bytes) -> Parent | None:
    """A header with space around it, or of a later version."""
    if len(value) > _LONGEST:
        return None
    match = _ANY_VERSION.fullmatch(value.strip(b" \t"))
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return Parent(int(trace_id, 16), int(span_id, 16), int(flags, 16))
