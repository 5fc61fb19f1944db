"""Real OTLP receivers on free ports, and what they received as a tree."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
)

# These two come without types.
grpc: Any = importlib.import_module("grpc")
services: Any = importlib.import_module("opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc")

__all__ = ["ReceivedSpan", "Receiver", "grpc_receiver", "http_receiver", "tree"]


class ReceivedSpan(NamedTuple):
    """A span as it came in."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: int
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    status: int
    state: str
    resource: dict[str, Any]
    links: list[tuple[str, str]]


class Receiver:
    """What an OTLP receiver got.

    Attributes:
        endpoint: Where it listens.
        spans: What came in.
        sent: The headers of each export.
        status: What it answers exports: an HTTP status; gRPC fails with all but 200.
        answering: Exports wait for this before they are answered.
    """

    def __init__(self) -> None:
        self.endpoint = ""
        self.spans: list[ReceivedSpan] = []
        self.sent: list[dict[str, str]] = []
        self.status = 200
        self.answering = threading.Event()
        self.answering.set()
        self._changed = threading.Condition()

    def take(self, request: ExportTraceServiceRequest, headers: dict[str, str]) -> None:
        with self._changed:
            self.sent.append(headers)
            if self.status == 200:
                self.spans += _spans(request)
            self._changed.notify_all()
        self.answering.wait(60)

    def wait(self, count: int) -> list[ReceivedSpan]:
        """Wait for so many spans."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.spans) >= count, 30), self.spans
            return list(self.spans)

    def wait_for(self, name: str, count: int = 1) -> list[ReceivedSpan]:
        """Wait for spans of a name."""

        def found() -> list[ReceivedSpan]:
            return [span for span in self.spans if span.name == name]

        with self._changed:
            assert self._changed.wait_for(lambda: len(found()) >= count, 30), self.spans
            return found()

    def wait_for_export(self, count: int = 1) -> None:
        """Wait for so many exports, whatever they are answered."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.sent) >= count, 30)


@contextmanager
def http_receiver() -> Generator[Receiver]:
    """A receiver of OTLP over HTTP."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert self.path == "/v1/traces"
            receiver.take(
                ExportTraceServiceRequest.FromString(body),
                {key.lower(): value for key, value in self.headers.items()},
            )
            self.send_response(receiver.status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.answering.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def grpc_receiver() -> Generator[Receiver]:
    """A receiver of OTLP over gRPC."""
    receiver = Receiver()

    class Servicer(TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> ExportTraceServiceResponse:  # noqa: N802 - the protocol's name
            receiver.take(request, dict(context.invocation_metadata()))
            if receiver.status != 200:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")
            return ExportTraceServiceResponse()

    server: Any = grpc.server(ThreadPoolExecutor(2))
    services.add_TraceServiceServicer_to_server(Servicer(), server)
    receiver.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield receiver
    finally:
        receiver.answering.set()
        server.stop(None).wait()


def tree(spans: Sequence[ReceivedSpan], parent: str) -> list[Any]:
    """The spans below one, by their beginning: a name, or a name and the spans below it."""
    below = sorted((span for span in spans if span.parent_id == parent), key=lambda span: span.start_ns)
    return [
        (span.name, tree(spans, span.span_id)) if tree(spans, span.span_id) else span.name for span in below
    ]


def _spans(request: ExportTraceServiceRequest) -> Iterator[ReceivedSpan]:
    for of_resource in request.resource_spans:
        resource = _attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield ReceivedSpan(
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.name,
                    span.kind,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    _attributes(span.attributes),
                    [(event.name, _attributes(event.attributes)) for event in span.events],
                    span.status.code,
                    span.trace_state,
                    resource,
                    [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
