"""Exporters that are down, slow or refusing: no request fails, and lost spans are counted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, TraceFlags

from foretell_plugins.tracing import Tracing
from foretell_plugins.tracing.span_queue import SpanQueue
from tests.plugins.tracing.conftest import running
from tests.plugins.tracing.receivers import Receiver
from tests.plugins.tracing.test_spans import answer

Make = Callable[..., Tracing]
SPANS = 3
"""What one request of these tests leaves: itself, decode, encode."""


@pytest.fixture(params=["http/protobuf", "grpc"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def receiver(protocol: str, request: pytest.FixtureRequest) -> Receiver:
    otlp: Receiver = request.getfixturevalue("grpc_otlp" if protocol == "grpc" else "http_otlp")
    return otlp


def serve(
    plugin: Tracing, requests: int, meanwhile: Callable[[], Any] = lambda: None
) -> list[dict[str, Any]]:
    """Answer some requests while the plugin runs, and give its log."""

    async def run() -> list[dict[str, Any]]:
        async with running(plugin) as events:
            for _ in range(requests):
                record = await answer(plugin, headers=[])
                assert record.status == 200
            await asyncio.to_thread(meanwhile)
        return events

    return asyncio.run(run())


def test_spans_headers_and_resource_arrive(make: Make, receiver: Receiver, protocol: str) -> None:
    environ = {"OTEL_RESOURCE_ATTRIBUTES": "team=fraud", "OTEL_BSP_SCHEDULE_DELAY": "10"}
    plugin = make(environ, endpoint=receiver.endpoint, protocol=protocol, headers={"X-Key": "secret"})
    assert serve(plugin, 1, lambda: receiver.wait(SPANS)) == []
    assert receiver.sent[0]["x-key"] == "secret"
    assert receiver.spans[0].resource["team"] == "fraud"
    assert receiver.spans[0].resource["service.name"] == "foretell"
    assert plugin.dropped_spans == 0


def test_the_environment_says_where_spans_go(make: Make, receiver: Receiver, protocol: str) -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_HEADERS": "x-key=from-outside",
        "OTEL_SERVICE_NAME": "shop",
    }
    plugin = make(environ, endpoint="http://127.0.0.1:1", headers={"x-key": "from inside"})
    serve(plugin, 1)
    assert len(receiver.spans) == SPANS
    assert receiver.sent[0]["x-key"] == "from-outside"
    assert receiver.spans[0].resource["service.name"] == "shop"


def test_what_waits_is_exported_when_the_server_ends(make: Make, receiver: Receiver, protocol: str) -> None:
    environ = {"OTEL_BSP_SCHEDULE_DELAY": "3600000", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4"}
    plugin = make(environ, endpoint=receiver.endpoint, protocol=protocol)
    assert serve(plugin, 5) == []
    assert len(receiver.spans) == 5 * SPANS


def test_a_receiver_that_refuses_costs_spans_and_a_line(
    make: Make, receiver: Receiver, protocol: str
) -> None:
    receiver.status = 400
    plugin = make(endpoint=receiver.endpoint, protocol=protocol)
    events = serve(plugin, 2)
    assert plugin.dropped_spans == 2 * SPANS
    (line,) = events
    assert line["event"] == "spans dropped"
    assert line["total"] == 2 * SPANS
    assert "the exporter failed" in line["reason"]
    assert line["reason"].startswith(receiver.endpoint)
    assert ("INVALID_ARGUMENT" if protocol == "grpc" else "400") in line["reason"]


def test_a_receiver_that_is_down_costs_spans_and_a_line(make: Make, protocol: str, free_port: int) -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_TIMEOUT": "2"
    }  # long enough for a second attempt, before which the cause is said
    plugin = make(environ, endpoint=f"http://127.0.0.1:{free_port}", protocol=protocol)
    events = serve(plugin, 2)
    assert plugin.dropped_spans == 2 * SPANS
    assert sum(each["count"] for each in events) == 2 * SPANS
    assert all(each["reason"].startswith(f"http://127.0.0.1:{free_port}") for each in events)
    assert "Failed to connect" in events[0]["reason"] or "refused" in events[0]["reason"]


def test_a_receiver_that_hangs_holds_up_neither_requests_nor_the_end(
    make: Make, receiver: Receiver, protocol: str
) -> None:
    receiver.answering.clear()
    environ = {
        "OTEL_BSP_SCHEDULE_DELAY": "1",
        "OTEL_BSP_MAX_QUEUE_SIZE": "4",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "1",
    }
    plugin = make(environ, endpoint=receiver.endpoint, protocol=protocol, shutdown_s=0.1)

    async def run() -> list[dict[str, Any]]:
        async with running(plugin) as events:
            await answer(plugin, headers=[])
            await asyncio.to_thread(receiver.wait_for_export)
            for _ in range(10):
                await answer(plugin, headers=[])
        assert not receiver.answering.is_set()
        return events

    events = asyncio.run(run())
    # One span is with the receiver, whose answer nobody awaits any more; whatever else there was is lost.
    assert plugin.dropped_spans == 11 * SPANS
    assert sum(each["count"] for each in events) == 11 * SPANS
    assert {each["event"] for each in events} == {"spans dropped"}


class Broken(SpanExporter):
    """An exporter that raises, and one that is called again afterwards."""

    def __init__(self) -> None:
        self.exported = threading.Semaphore(0)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.exported.release()
        raise RuntimeError("no")


def span(flags: int = 1) -> ReadableSpan:
    return ReadableSpan("s", SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(flags)))


def test_an_exporter_that_raises_is_asked_again() -> None:
    lost: list[tuple[int, str]] = []
    exporter = Broken()
    queue = SpanQueue(
        [exporter],
        most_spans=10,
        batch_spans=1,
        delay_s=3600,
        dropped=lambda count, reason: lost.append((count, reason)),
    )
    for _ in range(2):
        queue.on_end(span())
        assert exporter.exported.acquire(timeout=30)
    queue.on_end(span(flags=0))
    queue.close(30)
    queue.on_end(span())
    assert lost == [
        (1, "RuntimeError: no"),
        (1, "RuntimeError: no"),
        (1, "the export was not done when the server ended"),
    ]
