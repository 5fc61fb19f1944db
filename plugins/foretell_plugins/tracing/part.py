"""A part of a traced request: its decoding, its run. Most spans are of parts, and they are simpler than spans can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext
from opentelemetry.trace.status import Status, StatusCode

__all__ = ["Part"]

_ERROR: Final = Status(StatusCode.ERROR)
_UNSET: Final = Status(StatusCode.UNSET)


class Part(msgspec.Struct):
    """A span of a part of a request.

    Attributes:
        parent: The span of the request.
        span_id: Its own identity, 64 bits, not 0.
        name: What it is.
        started_ns: When it began, ns since 1970.
        ended_ns: When it ended.
        resource: What made it.
        scope: The instrumentation that made it.
        attributes: What else is said of it: texts, numbers and truth values.
        failed: Whether the request failed there.
        links: The spans of other requests that it was done with.
    """

    parent: SpanContext
    span_id: int
    name: str
    started_ns: int
    ended_ns: int
    resource: Resource
    scope: InstrumentationScope
    attributes: Mapping[str, Any]
    failed: bool
    links: Sequence[Link]

    def readable(self) -> ReadableSpan:
        """The same, as exporters take it."""
        parent = self.parent
        return ReadableSpan(
            self.name,
            SpanContext(parent.trace_id, self.span_id, False, parent.trace_flags, parent.trace_state),
            parent,
            self.resource,
            self.attributes,
            links=self.links,
            status=_ERROR if self.failed else _UNSET,
            start_time=self.started_ns,
            end_time=self.ended_ns,
            instrumentation_scope=self.scope,
        )
