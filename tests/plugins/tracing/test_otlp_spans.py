"""Spans as foretell writes them are what OpenTelemetry's own encoder makes of them."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common._internal import _encode_attributes as encode_attributes
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.span import TraceState
from opentelemetry.trace.status import Status, StatusCode

from foretell_plugins.tracing.exporters import preparation
from foretell_plugins.tracing.otlp_grpc import OtlpGrpc
from foretell_plugins.tracing.otlp_http import OtlpHttp
from foretell_plugins.tracing.otlp_spans import Written, write, write_spans
from foretell_plugins.tracing.part import Part
from foretell_plugins.tracing.span_queue import SpanQueue, readable
from tests.plugins.tracing.receivers import Receiver

RESOURCES = [Resource({"service.name": "a", "many": ("x", "y")}), Resource({}, "https://schemas/1")]
SCOPES = [
    InstrumentationScope("foretell", "1"),
    InstrumentationScope("other", None, "https://schemas/2", {"k": 1}),
    None,
]


@pytest.fixture(autouse=True)
def silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """What OpenTelemetry says of odd attributes names them, and what is no Unicode cannot be written into a report."""
    monkeypatch.setattr(logging.getLogger(encode_attributes.__module__), "disabled", True)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
plain: st.SearchStrategy[Any] = st.one_of(
    texts,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.sampled_from(["ab", 1, True, 1.0, 0.0, -0.0, 0, False, -1, 127, 128, 2**63 - 1, -(2**63)]),
)
attributes = st.dictionaries(keys, plain, max_size=8)
any_attributes: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    keys, st.one_of(plain, st.lists(texts, max_size=3)), max_size=4
)
times = st.integers(0, 2**64 - 1)
span_ids = st.integers(1, 2**64 - 1)


@st.composite
def contexts(draw: st.DrawFn) -> SpanContext:
    state = draw(st.sampled_from([None, None, TraceState([("a", "1"), ("b", "2")])]))
    flags = TraceFlags(draw(st.sampled_from([1, 3])))
    return SpanContext(draw(st.integers(1, 2**128 - 1)), draw(span_ids), draw(st.booleans()), flags, state)


@st.composite
def spans(draw: st.DrawFn) -> ReadableSpan:
    rare = draw(st.booleans())
    return ReadableSpan(
        draw(texts),
        draw(contexts()),
        draw(st.none() | contexts()),
        draw(st.sampled_from(RESOURCES)),
        draw(any_attributes if rare else attributes),
        events=[Event("e", {"k": "v"}, 5)] if rare and draw(st.booleans()) else (),
        links=[Link(draw(contexts()))] if rare and draw(st.booleans()) else (),
        kind=draw(st.sampled_from(SpanKind)),
        status=draw(
            st.sampled_from(
                [
                    Status(StatusCode.UNSET),
                    Status(StatusCode.OK),
                    Status(StatusCode.ERROR),
                    Status(StatusCode.ERROR, "no"),
                ]
            )
        ),
        start_time=draw(times),
        end_time=draw(times),
        instrumentation_scope=draw(st.sampled_from(SCOPES)),
    )


@st.composite
def parts(draw: st.DrawFn) -> Part:
    return Part(
        draw(contexts()),
        draw(span_ids),
        draw(texts),
        draw(times),
        draw(times),
        draw(st.sampled_from(RESOURCES)),
        InstrumentationScope("foretell", "1"),
        draw(attributes),
        draw(st.booleans()),
        [Link(draw(contexts()))] if draw(st.sampled_from([0, 0, 1])) else (),
    )


def told(request: ExportTraceServiceRequest) -> Counter[tuple[bytes, bytes, bytes, bytes]]:
    """The spans of a request, each with all that it shares with others, in no order."""
    return Counter(
        (
            of_resource.resource.SerializeToString() + of_resource.schema_url.encode(),
            of_scope.scope.SerializeToString(),
            of_scope.schema_url.encode(),
            span.SerializeToString(),
        )
        for of_resource in request.resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    )


@given(st.lists(st.one_of(spans(), parts()), max_size=6))
def test_what_is_written_is_what_opentelemetry_writes(batch: list[ReadableSpan | Part]) -> None:
    expected = told(encode_spans([readable(each) for each in batch]))
    at_once = write_spans([write(each) for each in batch])
    assert told(ExportTraceServiceRequest.FromString(at_once)) == expected
    later = write_spans([readable(each) for each in batch])
    assert told(ExportTraceServiceRequest.FromString(later)) == expected


@pytest.mark.parametrize("first", [0.0, -0.0])
def test_a_zero_keeps_its_sign(first: float) -> None:
    """Keys of what is kept that are equal would be mixed up."""
    for zero in (first, -first):
        written = write_spans([ReadableSpan("s", SpanContext(1, 1, False), attributes={"k": zero})])
        span = ExportTraceServiceRequest.FromString(written).resource_spans[0].scope_spans[0].spans[0]
        assert str(span.attributes[0].value.double_value) == str(zero)


def test_what_lost_attributes_says_so() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(span_limits=SpanLimits(max_span_attributes=1), shutdown_on_exit=False)
    span: Any = provider.get_tracer("t").start_span("s")
    span.set_attributes({"a": 1, "b": 2})
    span.end()
    exporter.export([span])
    request = ExportTraceServiceRequest.FromString(write_spans([write(span)]))
    assert request.resource_spans[0].scope_spans[0].spans[0].dropped_attributes_count == 1


def odd(name: Any = "odd", **more: Any) -> ReadableSpan:
    """A span as only a plugin can make it."""
    return ReadableSpan(name, SpanContext(1, 2, False, TraceFlags(1)), **more)


@pytest.mark.parametrize(
    "span",
    [
        odd(None),
        odd(b"abc"),
        odd(attributes={"k": "\ud800", "n": 1}),
        odd(attributes={"\ud800": 1, "n": 1}),
        odd(attributes={"k": 2**63, "n": 1}),
        odd(attributes={"k": -(2**63) - 1}),
        odd(attributes={1: "x", "n": 1}),
        odd(attributes={None: "x"}),
        odd("n" * 1000, attributes={"k" * 1000: "v" * 1000}),
    ],
    ids=["no name", "bytes", "surrogate", "key", "large", "small", "number as key", "none as key", "long"],
)
def test_what_is_odd_is_written_as_opentelemetry_does(span: ReadableSpan) -> None:
    good = ReadableSpan("good", SpanContext(1, 1, False))
    written = write_spans([write(good), write(span)])
    assert told(ExportTraceServiceRequest.FromString(written)) == told(encode_spans([good, span]))


def test_an_odd_key_of_a_part_costs_nothing_but_itself() -> None:
    attributes: dict[Any, Any] = {1: "x", "n": 2}
    scope = InstrumentationScope("foretell", "1")
    part = Part(SpanContext(1, 1, False), 2, "step", 3, 4, RESOURCES[0], scope, attributes, False, ())
    span = (
        ExportTraceServiceRequest.FromString(write_spans([write(part)]))
        .resource_spans[0]
        .scope_spans[0]
        .spans[0]
    )
    assert [(each.key, each.value.int_value) for each in span.attributes] == [("n", 2)]


UNWRITABLE = [odd(["a", "list"]), odd(start_time=1.5), odd(start_time=-1), odd("\ud800")]


@pytest.mark.parametrize("beside", [[], [InMemorySpanExporter()]], ids=["alone", "beside another exporter"])
def test_a_span_that_nobody_can_write_costs_itself_alone(
    beside: list[SpanExporter], http_otlp: Receiver
) -> None:
    lost: list[tuple[int, str]] = []
    exporters: list[SpanExporter] = [OtlpHttp(endpoint=http_otlp.endpoint + "/v1/traces"), *beside]
    queue = SpanQueue(
        exporters,
        most_spans=100,
        batch_spans=100,
        delay_s=3600,
        dropped=lambda count, reason: lost.append((count, reason)),
        prepare=preparation(exporters),
    )
    for span in UNWRITABLE:
        queue.on_end(odd("before"))
        queue.on_end(span)
    queue.on_end(odd("last"))
    queue.close(30)
    assert [span.name for span in http_otlp.spans] == ["before"] * len(UNWRITABLE) + ["last"]
    assert [count for count, _ in lost] == [1] * len(UNWRITABLE)
    assert all(reason.startswith("a span could not be written: ") for _, reason in lost)


def test_the_exporters_of_this_release_take_what_is_written() -> None:
    exporters: list[SpanExporter] = [
        OtlpHttp(endpoint="http://127.0.0.1:1"),
        OtlpGrpc(endpoint="http://127.0.0.1:1"),
    ]
    assert preparation(exporters) is write
    assert preparation([InMemorySpanExporter()]) is readable
    span = odd()
    assert preparation([*exporters, InMemorySpanExporter()])(span) is span
    for exporter in exporters:
        exporter.shutdown()


def test_an_exporter_of_another_release_writes_spans_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[object] = []

    def export(_: object, batch: list[object]) -> None:
        sent.extend(batch)

    monkeypatch.setattr(OTLPSpanExporter, "export", export)
    exporter = OtlpHttp(endpoint="http://127.0.0.1:1")
    vars(exporter).pop("_client")
    assert preparation([exporter]) is readable
    span = ReadableSpan("s", SpanContext(1, 1, False))
    exporter.export([span])
    assert sent == [span]


def test_spans_are_written_when_they_end() -> None:
    span = ReadableSpan("s", SpanContext(1, 1, False))
    assert isinstance(write(span), Written)
