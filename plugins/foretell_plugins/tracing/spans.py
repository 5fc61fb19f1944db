"""The spans of requests. Only this module and its exporters touch OpenTelemetry's SDK, and only for traced requests."""

from __future__ import annotations

import re
import time
from functools import partial
from importlib.metadata import version
from random import Random
from typing import TYPE_CHECKING, Any, Final

import msgspec
from opentelemetry import context as contexts
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags, set_span_in_context
from opentelemetry.trace.span import TraceState
from opentelemetry.trace.status import StatusCode

from foretell_plugins.tracing.current import PROVIDER_KEY
from foretell_plugins.tracing.part import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from foretell.prediction import Headers, ModelInfo, RequestRecord
    from foretell_plugins.tracing.settings import TracingSettings
    from foretell_plugins.tracing.span_queue import SpanQueue
    from foretell_plugins.tracing.traceparent import Parent

__all__ = ["OpenSpan", "Spans"]

_PLAIN: Final = (str, bool, int, float)
_HTTP_PORT: Final = 80
_MOST_PORTS: Final = 65535
_PORT: Final = re.compile(r"[0-9]{1,5}").fullmatch


class ServerSpan(Span):
    """The span of a request. OpenTelemetry's own tracers cannot take a decision that was made before."""


class _Hashed(Resource):
    """A resource that keeps its hash: encoders ask for it with each span, and the SDK writes it as JSON to find it."""

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource.attributes, resource.schema_url)
        self._hash = super().__hash__()

    def __hash__(self) -> int:
        return self._hash


class OpenSpan(msgspec.Struct, frozen=True, gc=False):
    """A request that is being traced.

    Attributes:
        span: Its span.
        wall_ns: What to add to the times of its record to get time since 1970, ns.
        model: The version that was asked; None if it did not get there.
    """

    span: ServerSpan
    wall_ns: int
    model: ModelInfo | None


class Spans:
    """Makes the spans of requests.

    Args:
        settings: What is wanted.
        queue: Takes the spans that have ended.
        random: Where identities of spans come from.
    """

    def __init__(self, settings: TracingSettings, queue: SpanQueue, random: Random) -> None:
        self._trace_context = settings.trace_context
        self._baggage = W3CBaggagePropagator() if settings.baggage else None
        self._queue = queue
        self._getrandbits = random.getrandbits
        self._limits = SpanLimits()
        self._scope = InstrumentationScope("foretell", version("foretell"))
        named = {} if settings.service_name is None else {"service.name": settings.service_name}
        self._resource = _Hashed(Resource.create(named))
        ratio = {"always_on": 1.0, "always_off": 0.0}.get(
            settings.sampler.removeprefix("parentbased_"), settings.ratio
        )
        self._provider = TracerProvider(
            ParentBased(TraceIdRatioBased(ratio)),
            self._resource,
            shutdown_on_exit=False,
            span_limits=self._limits,
        )
        self._provider.add_span_processor(queue)

    def open(self, record: RequestRecord, place: Parent, model: ModelInfo | None) -> OpenSpan:
        """Begin the span of a request, at the time at which it was taken up; the record learns its identity.

        Args:
            record: The record of the request.
            place: Where the span belongs.
            model: The version that is asked.
        """
        state = self._trace_state(record.headers) if place.span_id and self._trace_context else None
        flags = TraceFlags(place.flags & 3)
        context = SpanContext(place.trace_id, self._getrandbits(64) or 1, False, flags, state)
        parent = None
        if place.span_id:
            parent = SpanContext(place.trace_id, place.span_id, True, flags, state)
        name = f"{record.method} {record.route}" if record.route else record.method
        span = ServerSpan(
            name,
            context,
            parent,
            resource=self._resource,
            kind=SpanKind.SERVER,
            span_processor=self._queue,
            limits=self._limits,
            instrumentation_scope=self._scope,
        )
        wall_ns = time.time_ns() - time.perf_counter_ns()
        span.start(record.started_ns + wall_ns)
        record.trace_id = f"{place.trace_id:032x}"
        record.span_id = f"{context.span_id:016x}"
        return OpenSpan(span, wall_ns, model)

    def enter(self, opened: OpenSpan, headers: Headers) -> Callable[[], None]:
        """Make a span the current one, with the caller's baggage, until what it gives is called."""
        context = set_span_in_context(opened.span, contexts.get_current())
        if self._baggage is not None:
            values = [value.decode("latin-1") for name, value in headers if name == b"baggage"]
            if values:
                context = self._baggage.extract({"baggage": [",".join(values)]}, context)
        return partial(
            contexts.detach, contexts.attach(contexts.set_value(PROVIDER_KEY, self._provider, context))
        )

    def finish(self, opened: OpenSpan, record: RequestRecord) -> None:
        """End the span of a request, and make those of its parts."""
        span, wall_ns = opened.span, opened.wall_ns
        for name, started_ns, ended_ns, failed in _parts(record):
            self._part(opened, name, started_ns, ended_ns, None, failed=failed)
        if record.together > 1:
            self._part(
                opened,
                "batch",
                record.run_started_ns,
                record.run_ended_ns,
                {"foretell.batch.requests": record.together},
                links=[_link(trace_id, span_id) for trace_id, span_id in record.companions],
            )
        for step in record.steps or ():
            self._part(opened, step.name, step.started_ns, step.ended_ns, step.attributes)
        span.set_attributes(_attributes(record, opened.model))
        ended_ns = record.finished_ns + wall_ns
        failure = record.failure
        if failure is not None:
            kind = f"{type(failure).__module__}.{type(failure).__qualname__}"
            span.add_event(
                "exception", {"exception.type": kind, "exception.message": str(failure)}, timestamp=ended_ns
            )
            if record.status >= 500:
                span.set_attribute("error.type", kind)
                span.set_status(StatusCode.ERROR, str(failure))
        if record.degraded is not None:
            span.add_event("degraded", {"foretell.degraded": record.degraded}, timestamp=ended_ns)
        span.end(ended_ns)

    def _part(
        self,
        opened: OpenSpan,
        name: str,
        started_ns: int,
        ended_ns: int,
        attributes: Mapping[str, Any] | None,
        *,
        failed: bool = False,
        links: Sequence[Link] = (),
    ) -> None:
        span = opened.span
        if attributes:
            attributes = {
                key: value if isinstance(value, _PLAIN) else str(value) for key, value in attributes.items()
            }
        self._queue.end_part(
            Part(
                span.get_span_context(),
                self._getrandbits(64) or 1,
                name,
                started_ns + opened.wall_ns,
                ended_ns + opened.wall_ns,
                self._resource,
                self._scope,
                attributes or {},
                failed,
                links,
            )
        )

    @staticmethod
    def _trace_state(headers: Headers) -> TraceState | None:
        values = [value.decode("latin-1") for name, value in headers if name == b"tracestate"]
        if not values or sum(map(len, values)) + len(values) - 1 > 4096:
            return None
        return TraceState.from_header(values)


def _parts(record: RequestRecord) -> list[tuple[str, int, int, bool]]:
    """The parts of a request by its record: name, beginning, end, and whether it failed there."""
    parts: list[tuple[str, int, int, bool]] = []
    if record.decoded_ns:
        parts.append(("decode", record.started_ns, record.decoded_ns, False))
    if record.queued_ns and record.run_started_ns >= record.queued_ns:
        if record.run_started_ns > record.queued_ns:  # else it ran at once
            parts.append(("queue", record.queued_ns, record.run_started_ns, False))
        if record.run_ended_ns >= record.run_started_ns:
            parts.append(("run", record.run_started_ns, record.run_ended_ns, False))
        else:
            parts.append(("run", record.run_started_ns, record.predicted_ns or record.finished_ns, True))
    elif record.queued_ns:
        parts.append(("queue", record.queued_ns, record.predicted_ns or record.finished_ns, True))
    if record.predicted_ns:
        parts.append(("encode", record.predicted_ns, record.finished_ns, False))
    return parts


def _link(trace_id: str, span_id: str) -> Link:
    """A link to the span of another request of the same run."""
    return Link(SpanContext(int(trace_id, 16), int(span_id, 16), False, TraceFlags(1)))


def _attributes(record: RequestRecord, model: ModelInfo | None) -> dict[str, str | int]:
    """What a server span says of its request.

    Source: OpenTelemetry, Semantic Conventions for HTTP Spans, section HTTP server.
    """
    attributes: dict[str, str | int] = {
        "http.request.method": record.method,
        "url.scheme": "http",
        "url.path": record.path,
        "http.response.status_code": record.status,
        "foretell.protocol": record.protocol,
        "foretell.request_id": record.request_id,
    }
    if record.route:
        attributes["http.route"] = record.route
    for name, value in record.headers:
        if name == b"user-agent":
            attributes["user_agent.original"] = value.decode("latin-1")
        elif name == b"host":
            _add_address(attributes, value.decode("latin-1"))
    if record.model:
        attributes["foretell.model"] = record.model
    if record.version:
        attributes["foretell.version"] = record.version
    if model is not None:
        attributes["foretell.digest"] = model.digest
    if record.rows:
        attributes["foretell.rows"] = record.rows
    if record.cache is not None:
        attributes["foretell.cache"] = record.cache
    if record.degraded is not None:
        attributes["foretell.degraded"] = record.degraded
    if record.served_by is not None:
        attributes["foretell.served_by"] = record.served_by
    return attributes


def _add_address(attributes: dict[str, str | int], host: str) -> None:
    """Split a Host header, which may be an IPv6 address in brackets."""
    address, colon, port = host.rpartition(":")
    if not colon or "]" in port:
        address, port = host, ""
    if not address:
        return
    attributes["server.address"] = address.strip("[]")
    if not port:
        attributes["server.port"] = _HTTP_PORT
    elif (
        _PORT(port) is not None and int(port) <= _MOST_PORTS
    ):  # whatever else a caller writes there is no port
        attributes["server.port"] = int(port)
