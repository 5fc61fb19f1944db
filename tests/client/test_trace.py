"""The trace of the caller goes along, if there is one."""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry import trace
from opentelemetry.trace.span import TraceState

from foretell.client.trace import trace_headers
from tests.client.clients import Connect
from tests.client.faulty_server import FaultyServer, answer, reset
from tests.test_public_names import fresh

TRACE, SPAN = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def span(trace_id: int = TRACE) -> trace.Span:
    context = trace.SpanContext(
        trace_id, SPAN, is_remote=False, trace_flags=trace.TraceFlags(1), trace_state=TraceState([("a", "1")])
    )
    return trace.NonRecordingSpan(context)


def test_every_try_belongs_to_the_current_span(connect: Connect, faulty: Callable[..., FaultyServer]) -> None:
    server = faulty(reset, answer())
    client = connect(server.url)
    with trace.use_span(span()):
        client.predict("m", [[1]])
    assert [(asked.headers["traceparent"], asked.headers["tracestate"]) for asked in server.asked] == [
        (PARENT, "a=1")
    ] * 2


def test_a_trace_that_the_caller_names_goes_before_it(
    connect: Connect, faulty: Callable[..., FaultyServer]
) -> None:
    server = faulty(answer())
    own = PARENT.replace("-01", "-00")
    with trace.use_span(span()):
        connect(server.url).predict("m", [[1]], headers={"Traceparent": own})
    assert server.asked[0].headers["traceparent"] == own


def test_without_a_span_nothing_is_sent(connect: Connect, faulty: Callable[..., FaultyServer]) -> None:
    server = faulty(answer())
    connect(server.url).predict("m", [[1]])
    assert not {"traceparent", "tracestate"} & server.asked[0].headers.keys()


def test_a_span_that_is_none_is_not_told() -> None:
    with trace.use_span(span(trace_id=0)):
        assert trace_headers() == {}


def test_opentelemetry_is_not_imported_for_it() -> None:
    script = """
import json, sys
from foretell.client.trace import trace_headers
print(json.dumps([trace_headers(), any(name.startswith("opentelemetry") for name in sys.modules)]))
"""
    assert fresh(script) == [{}, False]
