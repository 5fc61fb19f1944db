"""The spans of a real server's requests, read back from a real receiver."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.plugins.tracing.receivers import ReceivedSpan, Receiver, tree
from tests.servers import RunningServer, Serve

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
ROW = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
URL = "/v1/models/iris:predict"

BUSY = """
from opentelemetry import propagate
from foretell.plugin import NoConfig, Plugin, Stage
from foretell_plugins.tracing import tracer

class Busy(Plugin[NoConfig]):
    stage = Stage.GUARD

    def wrap_predict(self, call_next, model):
        async def predict(request):
            with tracer(__name__).start_as_current_span("ask for a permit"):
                headers = {}
                propagate.inject(headers)
                request.record.add_header(b"x-handed-on", headers["traceparent"].encode())
            if request.record.header(b"x-break"):
                raise ValueError("no permit")
            return await call_next(request)
        return predict
"""

IMPORTED = """
import sys
from foretell.plugin import NoConfig, Plugin, Stage

LARGE = ("opentelemetry.sdk", "opentelemetry.trace", "opentelemetry.exporter", "grpc", "requests")

class Busy(Plugin[NoConfig]):
    stage = Stage.GUARD

    def wrap_predict(self, call_next, model):
        async def predict(request):
            large = [name for name in sys.modules if name.startswith(LARGE)]
            request.record.add_header(b"x-imported", str(large).encode())
            return await call_next(request)
        return predict
"""


def ask(server: RunningServer, *, path: str = URL, body: Any = ROW, **headers: str) -> httpx.Response:
    return httpx.post(
        server.url + path, json=body, headers={key.replace("_", "-"): value for key, value in headers.items()}
    )


def settings_of(receiver: Receiver, protocol: str) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}


def nested(outer: ReceivedSpan, inner: ReceivedSpan) -> bool:
    return outer.start_ns <= inner.start_ns <= inner.end_ns <= outer.end_ns


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_request_is_a_tree_of_spans(
    protocol: str, serve_traced: Serve, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    receiver: Receiver = request.getfixturevalue("grpc_otlp" if protocol == "grpc" else "http_otlp")
    (tmp_path / "dropped_in" / "busy.py").write_text(BUSY)
    server = serve_traced(settings_of(receiver, protocol), enabled="tracing,busy")

    response = ask(server, traceparent=f"00-{TRACE}-{CALLER}-01", tracestate="vendor=1", x_request_id="r-1")

    assert response.status_code == 200
    spans = receiver.wait(5)
    assert tree(spans, CALLER) == [
        (f"POST {URL.replace('iris', '{model}')}", ["decode", "ask for a permit", "run", "encode"])
    ]
    root = next(span for span in spans if span.parent_id == CALLER)
    parts = sorted((span for span in spans if span is not root), key=lambda span: span.start_ns)
    assert all(nested(root, span) for span in parts)
    assert all(before.end_ns <= after.start_ns for before, after in itertools.pairwise(parts))
    assert {span.trace_id for span in spans} == {TRACE}
    assert {span.state for span in spans} == {"vendor=1"}
    assert [span.kind for span in parts] == [1] * 4
    digest = root.attributes.pop("foretell.digest")
    assert len(digest) == 64
    address, _, port = server.url.removeprefix("http://").partition(":")
    assert root.kind == 2
    assert root.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/models/{model}:predict",
        "http.response.status_code": 200,
        "url.path": URL,
        "url.scheme": "http",
        "user_agent.original": f"python-httpx/{httpx.__version__}",
        "server.address": address,
        "server.port": int(port),
        "foretell.protocol": "native",
        "foretell.request_id": "r-1",
        "foretell.model": "iris",
        "foretell.version": 1,
        "foretell.rows": 1,
    }
    permit = next(span for span in spans if span.name == "ask for a permit")
    assert response.headers["x-handed-on"] == f"00-{TRACE}-{permit.span_id}-01"
    assert server.stop() == 0


def test_refusals_and_failures_are_spans_and_their_log_lines_name_them(
    serve_traced: Serve, http_otlp: Receiver, tmp_path: Path
) -> None:
    (tmp_path / "dropped_in" / "busy.py").write_text(BUSY)
    server = serve_traced(settings_of(http_otlp, "http/protobuf"), enabled="tracing,busy")

    statuses = {
        ask(server, x_request_id="broken", x_break="yes").status_code: "broken",
        ask(server, x_request_id="wrong", body={"instances": [["a"]]}).status_code: "wrong",
        ask(server, x_request_id="unknown", path="/v1/models/none:predict").status_code: "unknown",
    }

    assert statuses == {500: "broken", 422: "wrong", 404: "unknown"}
    http_otlp.wait(5)
    roots = {span.attributes["foretell.request_id"]: span for span in http_otlp.spans if not span.parent_id}
    for status, request_id in statuses.items():
        span = roots[request_id]
        assert span.attributes["http.response.status_code"] == status
        assert span.status == (2 if status == 500 else 0)
        assert ("error.type" in span.attributes) == (status == 500)
        assert [name for name, _ in span.events] == ["exception"]
        line = server.wait_for(
            "request failed" if status == 500 else "request refused", request_id=request_id
        )
        assert (line["trace_id"], line["span_id"]) == (span.trace_id, span.span_id)
    assert tree(http_otlp.spans, roots["broken"].span_id) == ["decode", "ask for a permit"]
    assert "foretell.model" not in roots["unknown"].attributes
    assert roots["unknown"].attributes["http.route"] == "/v1/models/{model}:predict"


def test_what_the_caller_does_not_sample_is_not_traced(serve_traced: Serve, http_otlp: Receiver) -> None:
    server = serve_traced(settings_of(http_otlp, "http/protobuf"))
    for _ in range(20):
        assert ask(server, traceparent=f"00-{TRACE}-{CALLER}-00").status_code == 200
    assert (
        ask(server, traceparent=f"00-{TRACE}-{CALLER}-00", path="/v1/models/none:predict").status_code == 404
    )
    line = server.wait_for("request refused")
    assert line["trace_id"] == TRACE
    assert ask(server).status_code == 200
    assert server.stop() == 0
    assert len(http_otlp.spans) == 4
    assert TRACE not in {span.trace_id for span in http_otlp.spans}


def test_a_ratio_is_held_over_many_requests(serve_traced: Serve, http_otlp: Receiver) -> None:
    environ = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}
    server = serve_traced({**settings_of(http_otlp, "http/protobuf"), **environ})
    with httpx.Client(base_url=server.url) as client:
        for _ in range(400):
            assert client.post(URL, json=ROW).status_code == 200
    assert server.stop() == 0
    roots = [span for span in http_otlp.spans if not span.parent_id]
    assert len(roots) == pytest.approx(200, abs=80)  # eight standard deviations
    assert all(int(span.trace_id, 16) & (1 << 64) - 1 < 1 << 63 for span in roots)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_receiver_that_is_down_costs_no_request(serve_traced: Serve, free_port: int, protocol: str) -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }
    server = serve_traced(environ)
    assert [ask(server).status_code for _ in range(20)] == [200] * 20
    line = server.wait_for("spans dropped")
    assert line["count"] >= 4  # the spans of one request
    assert server.stop() == 0
    assert all(line.startswith("{") for line in server.raw), server.raw


def test_the_console_shows_spans(serve_traced: Serve, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    server = serve_traced({"OTEL_TRACES_EXPORTER": "console"}, stdout=shown)
    assert ask(server).status_code == 200
    assert server.stop() == 0
    decoder, text, names = json.JSONDecoder(), shown.read_text().strip(), list[str]()
    while text:
        span, end = decoder.raw_decode(text)
        names.append(span["name"])
        text = text[end:].strip()
    assert names == ["decode", "run", "encode", "POST /v1/models/{model}:predict"]


def test_without_an_exporter_nothing_is_imported_nor_traced(serve_traced: Serve, tmp_path: Path) -> None:
    (tmp_path / "dropped_in" / "busy.py").write_text(IMPORTED)
    server = serve_traced({}, enabled="tracing,busy")
    assert ask(server).headers["x-imported"] == "[]"
    assert server.stop() == 0
