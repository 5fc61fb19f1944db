from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar, cast

import httpx
import pytest
from opentelemetry import baggage, propagate, trace

from foretell.engine.lane import LaneRules
from foretell.errors import RunError
from foretell.plugin import ModelInfo, NoConfig, Plugin, Predict, PredictRequest, PredictResponse, Stage
from foretell_plugins.tracing import Tracing, outgoing_headers, tracer
from tests.engine.lanes import Graph, make_lane, until
from tests.plugin.chains import Engine, ask, chain_of, info, loaded
from tests.plugins.tracing.conftest import running
from tests.plugins.tracing.receivers import Receiver, tree
from tests.servers import ROOT

if TYPE_CHECKING:
    from foretell.prediction import RequestRecord

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
SAMPLED = (b"traceparent", f"00-{TRACE}-{CALLER}-01".encode())
UNSAMPLED = (b"traceparent", f"00-{TRACE}-{CALLER}-00".encode())
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "10"}

Make = Callable[..., Tracing]


class Enrich(Plugin[NoConfig]):
    """A team's plugin: it does something around the model."""

    stage: ClassVar[Stage] = Stage.VALIDATE

    def __init__(self, work: Callable[[RequestRecord], Any]) -> None:
        super().__init__(NoConfig())
        self.work = work

    def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
        async def predict(request: PredictRequest) -> PredictResponse:
            await self.work(request.record)
            return await call_next(request)

        return predict


@pytest.fixture
def upstream() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that a team's plugin calls, and the headers that it got."""
    got: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            got.append({key.lower(): value for key, value in self.headers.items()})
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    thread.join()
    server.server_close()


async def answer(plugin: Tracing, *others: Plugin[Any], headers: list[tuple[bytes, bytes]]) -> RequestRecord:
    """Answer one request, and have it observed."""
    chain = chain_of(loaded(plugin), *(loaded(each, name="other") for each in others), end=Engine())
    request = ask(headers=headers)
    record = request.record
    record.decoded_ns = 1
    record.route = "/predict"
    await chain.predict(request)
    record.status = 200
    record.predicted_ns = 2
    record.finished_ns = 3
    plugin.observe([record])
    return record


def test_importing_the_plugin_imports_nothing_of_opentelemetrys() -> None:
    program = """
import sys
from foretell_plugins.tracing import Tracing, TracingConfig
plugin = Tracing(TracingConfig())
print([name for name in sys.modules if name.startswith(("opentelemetry", "grpc", "requests", "google"))])
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_without_an_exporter_the_plugin_does_not_wrap(make: Make) -> None:
    plugin = make()
    assert plugin.why_not(info()) is not None
    chain = chain_of(loaded(plugin), end=Engine())
    assert not chain.wrapped
    assert chain.links[0].why_not is not None
    assert chain.links[0].why_not.startswith("no exporter is configured")


@pytest.mark.parametrize(
    ("headers", "touched"),
    [([UNSAMPLED], False), ([(b"host", b"h")], False), ([SAMPLED], True)],
    ids=["unsampled caller", "outside of the ratio", "sampled caller"],
)
def test_only_a_sampled_request_touches_opentelemetry(
    make: Make, http_otlp: Receiver, headers: list[tuple[bytes, bytes]], touched: bool
) -> None:
    # A ratio so small that no trace in the lifetime of the universe is within it.
    plugin = make(
        {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1e-19"},
        endpoint=http_otlp.endpoint,
    )
    called: set[str] = set()

    def profile(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and "/opentelemetry/" in frame.f_code.co_filename:
            called.add(frame.f_code.co_qualname)

    async def run() -> None:
        async with running(plugin):
            sys.setprofile(profile)
            try:
                await answer(plugin, headers=headers)
            finally:
                sys.setprofile(None)

    asyncio.run(run())
    assert bool(called) == touched


def test_a_span_of_a_teams_plugin_nests_and_its_client_hands_the_trace_on(
    make: Make, http_otlp: Receiver, upstream: tuple[str, list[dict[str, str]]]
) -> None:
    plugin = make(SOON, endpoint=http_otlp.endpoint)
    url, got = upstream

    async def work(_: RequestRecord) -> None:
        async with httpx.AsyncClient() as client:
            with tracer(__name__).start_as_current_span("look up") as span:
                span.set_attribute("rows", 2)
                assert baggage.get_baggage("user") == "ada"
                headers: dict[str, str] = {}
                propagate.inject(headers)
                await client.get(url, headers=headers)

    async def run() -> None:
        async with running(plugin):
            await answer(
                plugin,
                Enrich(work),
                headers=[
                    SAMPLED,
                    (b"tracestate", b"a=1"),
                    (b"tracestate", b"b=2"),
                    (b"baggage", b"user=ada"),
                ],
            )

    asyncio.run(run())
    spans = http_otlp.wait(4)
    # The record's made-up times are those of long ago.
    assert tree(spans, CALLER) == [("POST /predict", ["decode", "encode", "look up"])]
    by_name = {span.name: span for span in spans}
    assert {span.trace_id for span in spans} == {TRACE}
    assert {span.state for span in spans} == {"a=1,b=2"}
    assert by_name["look up"].attributes == {"rows": 2}
    assert got[0]["traceparent"] == f"00-{TRACE}-{by_name['look up'].span_id}-01"
    assert got[0]["tracestate"] == "a=1,b=2"
    assert got[0]["baggage"] == "user=ada"


@pytest.mark.parametrize("headers", [[UNSAMPLED], []], ids=["unsampled caller", "outside of the ratio"])
def test_a_span_of_a_teams_plugin_does_nothing_in_an_untraced_request(
    make: Make, http_otlp: Receiver, headers: list[tuple[bytes, bytes]]
) -> None:
    environ = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1e-19"}
    plugin = make(environ | SOON, endpoint=http_otlp.endpoint)

    async def work(_: RequestRecord) -> None:
        with tracer(__name__).start_as_current_span("look up") as span:
            assert not span.is_recording()

    async def run() -> None:
        async with running(plugin):
            await answer(plugin, Enrich(work), headers=headers)

    asyncio.run(run())
    assert http_otlp.spans == []


def test_two_servers_in_one_process_trace_to_two_places(
    make: Make, http_otlp: Receiver, grpc_otlp: Receiver
) -> None:
    first = make(SOON, endpoint=http_otlp.endpoint)
    second = make(endpoint=grpc_otlp.endpoint, protocol="grpc")

    async def work(_: RequestRecord) -> None:
        with tracer(__name__).start_as_current_span("look up"):
            await asyncio.sleep(0)

    async def run() -> None:
        async with running(first), running(second):
            await asyncio.gather(
                *(answer(each, Enrich(work), headers=[]) for each in (first, second, first, second))
            )

    asyncio.run(run())
    for receiver in (http_otlp, grpc_otlp):
        spans = receiver.wait(8)
        servers = [span for span in spans if span.name == "POST /predict"]
        assert len(servers) == 2
        for server in servers:
            assert "look up" in tree(spans, server.span_id)


def test_the_current_span_stays_in_the_context_of_its_request(make: Make, http_otlp: Receiver) -> None:
    """A request may take its first step in the parser's callback, and the others in a task, in one context."""
    plugin = make(endpoint=http_otlp.endpoint)
    seen: list[int] = []

    async def work(_: RequestRecord) -> None:
        for _step in range(2):
            seen.append(trace.get_current_span().get_span_context().trace_id)
            await asyncio.sleep(0)

    async def run() -> None:
        async with running(plugin):
            chain = chain_of(loaded(plugin), loaded(Enrich(work), name="other"), end=Engine())
            here = contextvars.copy_context()
            steps = here.run(chain.predict(ask(headers=[SAMPLED])).__await__)
            here.run(steps.send, None)
            assert not trace.get_current_span().get_span_context().is_valid
            here.run(steps.send, None)
            with pytest.raises(StopIteration):
                here.run(steps.send, None)
            assert not here.run(trace.get_current_span).get_span_context().is_valid
            assert not trace.get_current_span().get_span_context().is_valid

    asyncio.run(run())
    assert seen == [int(TRACE, 16)] * 2


@pytest.mark.parametrize("failure", [RunError("it broke"), asyncio.CancelledError()], ids=["error", "gone"])
def test_a_request_that_fails_leaves_no_current_span(
    make: Make, http_otlp: Receiver, failure: BaseException
) -> None:
    plugin = make(endpoint=http_otlp.endpoint)

    async def fail() -> None:
        raise failure

    async def run() -> None:
        async with running(plugin):
            with pytest.raises(type(failure)):
                await chain_of(loaded(plugin), end=Engine(fail)).predict(ask(headers=[SAMPLED]))
            assert not trace.get_current_span().get_span_context().is_valid

    asyncio.run(run())


def test_a_cancelled_request_ends(make: Make, http_otlp: Receiver) -> None:
    plugin = make(endpoint=http_otlp.endpoint)
    ended: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("engine")

    async def run() -> None:
        async with running(plugin):
            chain = chain_of(loaded(plugin), end=Engine(wait))
            task = asyncio.ensure_future(chain.predict(ask(headers=[SAMPLED])))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
    assert ended == ["engine"]


@pytest.mark.parametrize(
    ("status", "code", "error_type"), [(500, 2, "foretell.errors.RunError"), (422, 0, None)]
)
def test_a_failure_is_an_event_and_an_error_only_if_it_is_the_servers(
    make: Make, http_otlp: Receiver, status: int, code: int, error_type: str | None
) -> None:
    plugin = make(SOON, endpoint=http_otlp.endpoint)

    async def run() -> None:
        async with running(plugin):
            record = ask(headers=[(b"host", b"[::1]:8000"), (b"user-agent", b"curl/8")]).record
            record.status = status
            record.path = "/v1/models/iris:predict"
            record.failure = RunError("it broke")
            record.finished_ns = 5
            plugin.observe([record])
            assert record.trace_id is not None

    asyncio.run(run())
    (span,) = http_otlp.wait(1)
    assert span.name == "POST"
    assert span.kind == 2
    assert span.status == code
    assert span.attributes.get("error.type") == error_type
    assert span.attributes["server.address"] == "::1"
    assert span.attributes["server.port"] == 8000
    assert span.attributes["user_agent.original"] == "curl/8"
    assert span.attributes["http.response.status_code"] == status
    assert span.attributes["url.path"] == "/v1/models/iris:predict"
    assert span.events == [
        ("exception", {"exception.type": "foretell.errors.RunError", "exception.message": "it broke"})
    ]


def test_steps_and_a_broken_run_are_spans_with_their_own_times(make: Make, http_otlp: Receiver) -> None:
    plugin = make(SOON, endpoint=http_otlp.endpoint)

    async def run() -> None:
        async with running(plugin):
            chain = chain_of(loaded(plugin), end=Engine())
            request = ask(headers=[])
            await chain.predict(request)
            record = request.record
            record.started_ns, record.decoded_ns, record.queued_ns, record.run_started_ns = (
                1000,
                2000,
                4000,
                5000,
            )
            record.finished_ns, record.together = 9000, 1
            record.status, record.failure, record.degraded = 503, RunError("it broke"), "error"
            record.add_step("cache look-up", 2000, 3000, {"hit": False, "key": object})
            plugin.observe([record])

    asyncio.run(run())
    spans = {span.name: span for span in http_otlp.wait(5)}
    server = spans.pop("POST")
    begin = spans["decode"].start_ns
    times = {
        name: (span.start_ns - begin, span.end_ns - begin, span.status, span.parent_id == server.span_id)
        for name, span in spans.items()
    }
    assert times == {
        "decode": (0, 1000, 0, True),
        "cache look-up": (1000, 2000, 0, True),
        "queue": (3000, 4000, 0, True),
        "run": (4000, 8000, 2, True),
    }
    assert spans["cache look-up"].attributes == {"hit": False, "key": "<class 'object'>"}
    assert [name for name, _ in server.events] == ["exception", "degraded"]
    assert server.attributes["foretell.digest"] == "d1"


def test_a_shared_run_links_the_requests_that_shared_it(make: Make, http_otlp: Receiver) -> None:
    plugin = make(SOON, endpoint=http_otlp.endpoint)
    graph = Graph(held=True)
    lane = make_lane(graph, rules=LaneRules(batch_rows=8))

    async def end(request: PredictRequest) -> PredictResponse:
        request.record.queued_ns = time.perf_counter_ns()
        return PredictResponse(await lane.run(request))

    async def run() -> None:
        async with running(plugin):
            chain = chain_of(loaded(plugin), end=end)
            requests = [ask([number, number]) for number in range(3)]
            first = asyncio.ensure_future(chain.predict(requests[0]))
            await until(lambda: len(graph.runs) == 1)
            others = [asyncio.ensure_future(chain.predict(request)) for request in requests[1:]]
            await asyncio.sleep(0)
            graph.go.set()
            await asyncio.gather(first, *others)
            for request in requests:
                request.record.status, request.record.finished_ns = 200, time.perf_counter_ns()
            plugin.observe([request.record for request in requests])

    asyncio.run(run())
    batches = http_otlp.wait_for("batch", 2)
    servers = {span.trace_id: span for span in http_otlp.spans if span.name == "POST"}
    assert len(batches) == 2  # the first had a run of its own
    one, other = batches
    assert len(http_otlp.wait_for("queue", 3)) == 3  # they waited for a thread
    assert one.parent_id == servers[one.trace_id].span_id
    assert one.links == [(other.trace_id, servers[other.trace_id].span_id)]
    assert other.links == [(one.trace_id, servers[one.trace_id].span_id)]
    assert one.attributes == {"foretell.batch.requests": 2}
    assert one.start_ns <= one.end_ns


def test_the_log_line_of_an_untraced_failure_names_the_callers_trace(make: Make, http_otlp: Receiver) -> None:
    plugin = make(endpoint=http_otlp.endpoint)

    async def run() -> None:
        async with running(plugin):
            for decoded_ns in (0, 1):
                record = ask(headers=[UNSAMPLED]).record
                record.failure, record.decoded_ns = RunError("it broke"), decoded_ns
                plugin.observe([record])
                assert (record.trace_id, record.span_id) == (TRACE, None)

    asyncio.run(run())
    assert http_otlp.spans == []


def test_a_request_whose_caller_left_before_the_chain_has_a_span(make: Make, http_otlp: Receiver) -> None:
    plugin = make(endpoint=http_otlp.endpoint)

    async def run() -> None:
        async with running(plugin):
            record = ask(headers=[SAMPLED]).record
            record.decoded_ns, record.finished_ns, record.status = 1, 2, 499
            plugin.observe([record])
            assert record.trace_id == TRACE

    asyncio.run(run())
    (root,) = [span for span in http_otlp.spans if span.name == "POST"]
    assert root.attributes["http.response.status_code"] == 499


def test_a_traced_request_that_got_no_further_than_that_has_a_span_all_the_same(
    make: Make, http_otlp: Receiver
) -> None:
    plugin = make(endpoint=http_otlp.endpoint)

    async def run() -> None:
        async with running(plugin):
            record = ask(headers=[SAMPLED]).record
            assert plugin.concerns(record)
            record.decoded_ns, record.finished_ns, record.status = 1, 2, 500
            plugin.observe([record])
            assert record.trace_id == TRACE

    asyncio.run(run())
    assert "POST" in [span.name for span in http_otlp.spans]


def test_spans_after_the_end_of_the_server_are_left_alone(make: Make, http_otlp: Receiver) -> None:
    plugin = make(endpoint=http_otlp.endpoint)
    record = asyncio.run(answer(plugin, headers=[SAMPLED]))
    assert record.span_id is None


@pytest.mark.parametrize(
    ("headers", "span_id", "handed_on"),
    [
        ([], None, {}),
        ([], "1" * 16, {"traceparent": f"00-{TRACE}-{'1' * 16}-01"}),
        (
            [UNSAMPLED, (b"tracestate", b"a=1"), (b"tracestate", b"b=2"), (b"baggage", b"user=ada")],
            None,
            {"traceparent": UNSAMPLED[1].decode(), "tracestate": "a=1,b=2", "baggage": "user=ada"},
        ),
        (
            [SAMPLED, (b"tracestate", b"a=1")],
            "1" * 16,
            {"traceparent": f"00-{TRACE}-{'1' * 16}-01", "tracestate": "a=1"},
        ),
        ([(b"traceparent", b"broken"), (b"tracestate", b"a=1")], None, {}),
    ],
    ids=["nothing", "begun here", "unsampled caller", "sampled caller", "broken"],
)
def test_the_trace_can_be_handed_on_by_hand(
    headers: list[tuple[bytes, bytes]], span_id: str | None, handed_on: dict[str, str]
) -> None:
    record = ask(headers=headers).record
    if span_id is not None:
        record.trace_id, record.span_id = TRACE, span_id
    assert outgoing_headers(record) == handed_on


GLOBAL = """
import asyncio
from opentelemetry import trace
from foretell_plugins.tracing import Tracing, TracingConfig
from tests.plugins.tracing.test_spans import Enrich, answer
from tests.plugins.tracing.conftest import running

made_before = trace.get_tracer("a library")

async def work(record):
    with made_before.start_as_current_span("look up"):
        with trace.get_tracer("another").start_as_current_span("deeper"):
            pass

async def main():
    plugin = Tracing(TracingConfig(exporter="console", global_api=GLOBAL))
    async with running(plugin) as events:
        with made_before.start_as_current_span("at start"):
            pass
        await answer(plugin, Enrich(work), headers=[])
    assert not events, events

asyncio.run(main())
"""


@pytest.mark.parametrize(("wanted", "named"), [(True, {"look up", "deeper"}), (False, set[str]())])
def test_the_whole_process_can_follow_the_requests(wanted: bool, named: set[str]) -> None:
    program = GLOBAL.replace("GLOBAL", str(wanted))
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    found = {name for name in ("at start", "look up", "deeper") if f'"name": "{name}"' in run.stdout}
    assert found == named
    assert '"name": "POST /predict"' in run.stdout


TAKEN = """
import asyncio
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from foretell_plugins.tracing import Tracing, TracingConfig
from tests.plugins.tracing.conftest import running

theirs = TracerProvider()
trace.set_tracer_provider(theirs)

async def main():
    async with running(Tracing(TracingConfig(exporter="console", global_api=True))) as events:
        print([event["event"] for event in events], trace.get_tracer_provider() is theirs)

asyncio.run(main())
"""


def test_a_tracer_provider_that_is_there_stays() -> None:
    run = subprocess.run([sys.executable, "-c", TAKEN], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout == "['global_api has no effect'] True\n"
    assert run.stderr == ""


def test_a_variable_that_is_ignored_is_said_in_the_log(make: Make) -> None:
    plugin = make({"OTEL_TRACES_EXPORTER": "zipkin"})

    async def run() -> list[dict[str, Any]]:
        async with running(plugin) as events:
            return list(events)

    (line,) = asyncio.run(run())
    assert line["event"] == "variable ignored"
    assert line["reason"].startswith("OTEL_TRACES_EXPORTER is 'zipkin', which is none of otlp, console, none")


@pytest.mark.parametrize(
    ("environ", "config", "event", "named"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "c:4318"}, {}, "check the settings", "http://"),
        (
            {},
            {"exporter": "otlp"},
            "spans are sent to the default endpoint",
            "http://localhost:4318/v1/traces",
        ),
    ],
    ids=["no scheme", "no endpoint"],
)
def test_where_spans_go_is_said_at_the_start_if_nobody_said_it_well(
    environ: dict[str, str], config: dict[str, Any], event: str, named: str, make: Make
) -> None:
    plugin = make(environ, **config)

    async def run() -> list[dict[str, Any]]:
        async with running(plugin) as events:
            return list(events)

    (line,) = asyncio.run(run())
    assert line["event"] == event
    assert named in str(line)


@pytest.mark.parametrize(
    ("host", "address", "port"),
    [
        (b"x:" + b"9" * 5000, "x", None),
        (b"x:99999999999999999999", "x", None),
        (b"x:65536", "x", None),
        (b"x:65535", "x", 65535),
        ("x:\u00b2".encode("latin-1"), "x", None),
        (b"x:", "x", 80),
        (b"x", "x", 80),
        (b"[::1]", "::1", 80),
        (b"", None, None),
        (b":80", None, None),
    ],
    ids=[
        "5000 digits", "20 digits", "too high", "highest", "no digit", "no port", "no colon", "IPv6", "empty", "port alone",
    ],
)  # fmt: skip
def test_a_host_header_costs_no_span_whatever_it_holds(
    host: bytes, address: str | None, port: int | None, make: Make, http_otlp: Receiver
) -> None:
    plugin = make(SOON, endpoint=http_otlp.endpoint)

    async def run() -> None:
        async with running(plugin):
            plugin.observe([ask(headers=[(b"host", each)]).record for each in (host, b"others:80")])

    asyncio.run(run())
    first, other = (span.attributes for span in http_otlp.wait_for("POST", 2))
    assert (first.get("server.address"), first.get("server.port")) == (address, port)
    assert other["server.address"] == "others"
    assert plugin.dropped_spans == 0


def test_a_span_that_cannot_be_made_is_counted_and_costs_no_other(make: Make, http_otlp: Receiver) -> None:
    plugin = make(SOON, endpoint=http_otlp.endpoint)

    async def run() -> list[dict[str, Any]]:
        async with running(plugin) as events:
            odd, sound = ask(headers=[]).record, ask(headers=[]).record
            odd.headers = cast("Any", [(b"host", "no bytes")])  # as a plugin might leave it
            plugin.observe([odd, sound])
        return events

    (line,) = asyncio.run(run())
    assert (line["event"], line["count"]) == ("spans dropped", 1)
    assert line["reason"].startswith("a span could not be made: AttributeError")
    assert len(http_otlp.wait_for("POST")) == plugin.dropped_spans == 1
