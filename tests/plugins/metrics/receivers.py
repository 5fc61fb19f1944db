"""Real receivers of OTLP metrics, over HTTP and over gRPC."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, ResourceMetrics

__all__ = ["Received", "grpc_receiver", "http_receiver"]

# Neither has types.
_grpc: Any = import_module("grpc")
_service: Any = import_module("opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc")


class Received:
    """What a receiver was sent.

    Attributes:
        endpoint: Where it listens.
        protocol: What it speaks.
    """

    def __init__(self, endpoint: str, protocol: str) -> None:
        self.endpoint = endpoint
        self.protocol = protocol
        self._requests: list[ExportMetricsServiceRequest] = []
        self._came = threading.Condition()

    def take(self, request: ExportMetricsServiceRequest) -> None:
        """Keep a request."""
        with self._came:
            self._requests.append(request)
            self._came.notify_all()

    def wait_for(self, what: Callable[[Received], Any], *, timeout_s: float = 60) -> None:
        """Wait until something holds."""
        with self._came:
            assert self._came.wait_for(lambda: bool(self._requests) and what(self), timeout_s), self._requests

    def resources(self) -> dict[str, ResourceMetrics]:
        """The last that each instance has sent, by its identity."""
        return {
            _attributes(each.resource.attributes)["service.instance.id"]: each
            for request in self._requests
            for each in request.resource_metrics
        }

    def identity(self) -> list[dict[str, Any]]:
        """The attributes of each instance."""
        return [_attributes(each.resource.attributes) for each in self.resources().values()]

    def metrics(self, name: str) -> list[Metric]:
        """The last that each instance has sent of a metric."""
        return [
            metric
            for resource in self.resources().values()
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
        ]

    def sum(self, name: str, **labels: Any) -> float:
        """The sum of a counter or a gauge, or the count of a histogram, over all instances."""
        total = 0.0
        for metric in self.metrics(name):
            for point in [*metric.sum.data_points, *metric.gauge.data_points]:
                if labels.items() <= _attributes(point.attributes).items():
                    total += point.as_int or point.as_double
            for histogram in metric.histogram.data_points:
                if labels.items() <= _attributes(histogram.attributes).items():
                    total += histogram.count
        return total


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextmanager
def http_receiver(*, status: int = 200) -> Generator[Received]:
    """A receiver over HTTP, on a free port.

    Args:
        status: What it answers.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/metrics"
            received.take(ExportMetricsServiceRequest.FromString(body))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the name is the base class's
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        received = Received(f"http://127.0.0.1:{server.server_port}", "http/protobuf")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield received
        finally:
            server.shutdown()
            thread.join()


class _Servicer:
    def __init__(self, received: Received) -> None:
        self._received = received

    def Export(self, request: ExportMetricsServiceRequest, context: Any) -> ExportMetricsServiceResponse:  # noqa: N802
        self._received.take(request)
        return ExportMetricsServiceResponse()


@contextmanager
def grpc_receiver() -> Generator[Received]:
    """A receiver over gRPC, on a free port."""
    with ThreadPoolExecutor(2) as threads:
        server = _grpc.server(threads)
        port = server.add_insecure_port("127.0.0.1:0")
        received = Received(f"http://127.0.0.1:{port}", "grpc")
        _service.add_MetricsServiceServicer_to_server(_Servicer(received), server)
        server.start()
        try:
            yield received
        finally:
            server.stop(None).wait()
