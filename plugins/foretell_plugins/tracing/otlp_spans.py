"""Spans as OTLP's protobuf, written when they end, in a fraction of the time that OpenTelemetry's encoder takes.

Only what nearly all spans have is written here. Other spans, and what spans share, are left to OpenTelemetry's encoder.

Source: opentelemetry-proto, trace/v1/trace.proto and common/v1/common.proto; Protocol Buffers, Encoding.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import INVALID_SPAN_CONTEXT

from foretell_plugins.tracing.part import Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.trace.status import Status

__all__ = ["Written", "write", "write_spans"]

Group: TypeAlias = "tuple[Resource, InstrumentationScope | None]"
"""What the spans of a group have in common."""

Plain: TypeAlias = "str | bool | int | float"
"""A value of an attribute that can be written here."""

_TRACE_ID: Final = b"\x0a\x10"
_SPAN_ID: Final = b"\x12\x08"
_PARENT_ID: Final = b"\x22\x08"
_NAME: Final = b"\x2a"
_KIND: Final = b"\x30"
_TIMES: Final = Struct("<BQBQ").pack
_STARTED: Final = 0x39
_ENDED: Final = 0x41
_ATTRIBUTE: Final = b"\x4a"
_STATUS: Final = b"\x7a"
_UNSET: Final = b"\x7a\x00"
_ERROR: Final = b"\x7a\x02\x18\x02"
_PARENT_HERE: Final = b"\x85\x01\x00\x01\x00\x00"
"""Flags of a span: it is known whether its parent is in another process, and it is not."""
_PARENT_ELSEWHERE: Final = b"\x85\x01\x00\x03\x00\x00"
_INTERNAL: Final = 0

_RESOURCE_SPANS: Final = b"\x0a"
_SCOPE_SPANS: Final = b"\x12"
_SPAN: Final = b"\x12"

_DOUBLE: Final = Struct("<Bd").pack
_LONGEST: Final = 128
"""Characters of a text that is worth keeping in its written form."""
_KEPT: Final = frozenset({bool, int})
_PLAIN: Final = frozenset({str, bool, int, float})
_INT_RANGE: Final = 1 << 64
_BYTES: Final = tuple(bytes([number]) for number in range(128))


class Written(msgspec.Struct):
    """A span that is written.

    Attributes:
        message: The span, as a field of its group.
        resource: What made it.
        scope: The instrumentation that made it.
    """

    message: bytes
    resource: Resource
    scope: InstrumentationScope | None


def write(span: ReadableSpan | Part) -> Written:
    """Write a span that has ended.

    Raises:
        Exception: What OpenTelemetry's encoder raises of a span that it cannot write: plugins name theirs as they like.
    """
    try:
        message = _part(span) if isinstance(span, Part) else _span(span)
    except Exception:  # noqa: BLE001 - OpenTelemetry's encoder has its own way with what is odd, or says what is wrong
        message = None
    if isinstance(span, Part):
        return Written(message or _odd(span.readable()), span.resource, span.scope)
    return Written(message or _odd(span), span.resource, span.instrumentation_scope)


def write_spans(spans: Sequence[ReadableSpan | Written]) -> bytes:
    """A request to export spans, ``ExportTraceServiceRequest``.

    Raises:
        Exception: See `write`.
    """
    groups: dict[tuple[int, int], tuple[Group, list[bytes]]] = {}
    for span in spans:
        written = span if isinstance(span, Written) else write(span)
        key = id(written.resource), id(written.scope)
        if key not in groups:
            groups[key] = (written.resource, written.scope), []
        groups[key][1].append(written.message)
    return b"".join(_group(shared, written) for shared, written in groups.values())


def _odd(span: ReadableSpan) -> bytes:
    """A span that has more than most have, by OpenTelemetry's encoder."""
    message = encode_spans([span]).resource_spans[0].scope_spans[0].spans[0]
    return _field(_SPAN, message.SerializeToString())


def _group(shared: Group, written: list[bytes]) -> bytes:
    resource, scope = shared
    empty = ReadableSpan("", INVALID_SPAN_CONTEXT, resource=resource, instrumentation_scope=scope)
    of_resource = encode_spans([empty]).resource_spans[0]
    of_scope = of_resource.scope_spans[0]
    del of_scope.spans[:]
    spans = _field(_SCOPE_SPANS, b"".join((of_scope.SerializeToString(), *written)))
    del of_resource.scope_spans[:]
    return _field(_RESOURCE_SPANS, of_resource.SerializeToString() + spans)


def _part(part: Part) -> bytes | None:
    """A part of a request; None if it has more than most have."""
    parent = part.parent
    if part.links or parent.trace_state:
        return None
    return _field(
        _SPAN,
        b"".join(
            (
                _TRACE_ID,
                parent.trace_id.to_bytes(16, "big"),
                _SPAN_ID,
                part.span_id.to_bytes(8, "big"),
                _PARENT_ID,
                parent.span_id.to_bytes(8, "big"),
                _name(part.name, _INTERNAL),
                _TIMES(_STARTED, part.started_ns, _ENDED, part.ended_ns),
                _PARENT_ELSEWHERE if parent.is_remote else _PARENT_HERE,
                _ERROR if part.failed else _UNSET,
                *_attributes(part.attributes.items()),
            )
        ),
    )


def _span(span: ReadableSpan) -> bytes | None:
    """A span; None if it has more than most have."""
    context, parent = span.get_span_context(), span.parent
    has_more = (
        context is None
        or context.trace_state
        or span.events
        or span.links
        or span.dropped_attributes
        or span.dropped_events
        or span.dropped_links
    )
    if has_more or context is None:
        return None
    attributes = list((span.attributes or {}).items())
    if not all(value.__class__ in _PLAIN for _, value in attributes):
        return None
    parts = [
        _TRACE_ID,
        context.trace_id.to_bytes(16, "big"),
        _SPAN_ID,
        context.span_id.to_bytes(8, "big"),
        _name(span.name, span.kind.value),
        _TIMES(_STARTED, span.start_time or 0, _ENDED, span.end_time or 0),
        _PARENT_ELSEWHERE if parent is not None and parent.is_remote else _PARENT_HERE,
        _status(span.status),
    ]
    if parent is not None:
        parts += (_PARENT_ID, parent.span_id.to_bytes(8, "big"))
    return _field(_SPAN, b"".join((*parts, *_attributes(attributes))))


def _name(name: str, kind: int) -> bytes:
    """A span's name and its kind."""
    return _kept_name(name, kind) if len(name) <= _LONGEST else _new_name(name, kind)


def _new_name(name: str, kind: int) -> bytes:
    """The protocol counts kinds from 1, and the SDK from 0."""
    return _field(_NAME, name.encode()) + _KIND + _varint(kind + 1)


_kept_name = lru_cache(maxsize=512)(_new_name)


def _attributes(attributes: Iterable[tuple[str, Any]]) -> list[bytes]:
    return [
        _kept_attribute(key, value)
        if len(key) <= _LONGEST
        and (value.__class__ in _KEPT or (value.__class__ is str and len(value) <= _LONGEST))
        else _attribute(key, value)
        for key, value in attributes
    ]


def _attribute(key: str, value: Plain) -> bytes:
    if isinstance(value, str):
        written = _field(b"\x0a", value.encode())
    elif isinstance(value, bool):
        written = b"\x10\x01" if value else b"\x10\x00"
    elif isinstance(value, int):
        if not -_INT_RANGE <= 2 * value < _INT_RANGE:
            raise OverflowError("an attribute has more than 64 bits")
        written = b"\x18" + _varint(value % _INT_RANGE)
    else:
        written = _DOUBLE(0x21, value)
    return _field(_ATTRIBUTE, _field(b"\x0a", key.encode()) + _field(b"\x12", written))


_kept_attribute = lru_cache(maxsize=2048, typed=True)(_attribute)


def _status(status: Status) -> bytes:
    if status.is_unset and not status.description:
        return _UNSET
    text = _field(b"\x12", status.description.encode()) if status.description else b""
    return _field(_STATUS, text + b"\x18" + _varint(status.status_code.value))


def _field(tag: bytes, content: bytes) -> bytes:
    """A field of a length that stands before it."""
    return tag + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """A number of at most 64 bits, seven of them a byte, the lowest first."""
    if number < len(_BYTES):
        return _BYTES[number]
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
