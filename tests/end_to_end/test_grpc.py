"""gRPC on a real server: every element type, raw and typed, as plain runs answer; what is refused; health; the end."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from onnxruntime import InferenceSession

from foretell.protocols.rpc.messages import (
    HealthCheckRequest,
    HealthCheckResponse,
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataRequest,
    ModelMetadataResponse,
    ModelReadyRequest,
    ModelReadyResponse,
    ServerLiveResponse,
    ServerMetadataResponse,
    ServerReadyResponse,
)
from foretell.protocols.v2.datatypes import DATATYPES
from foretell.tensors import DTypeName
from tests.end_to_end.test_tritonclient import values_of
from tests.models import (
    endless_model_bytes,
    failing_model_bytes,
    identity_bytes,
    linear_model_bytes,
    slow_model_bytes,
    steps_bytes,
    two_input_bytes,
    write_model_toml,
    write_version,
)
from tests.rpcs import Client, call_of, infer_request, tensors_of
from tests.servers import RunningServer, ServeStore

GRPC = ("--grpc-port", "0")
X = np.array([[1, 2]], dtype=np.float32)
SERVING, NOT_SERVING, UNKNOWN = 1, 2, 3


def address_of(server: RunningServer) -> str:
    address: str = server.wait_for("serving")["grpc"]
    return address


def wait_for_metric(server: RunningServer, pattern: str) -> None:
    """Scrape until something is there."""
    for _ in range(1000):
        if re.search(pattern, httpx.get(f"{server.url}/metrics", timeout=60).text):
            return
    raise AssertionError(pattern)


@pytest.fixture(scope="module")
def server(shared_store: ServeStore, tmp_path_factory: pytest.TempPathFactory) -> RunningServer:
    store = tmp_path_factory.mktemp("grpc") / "model_store"
    for dtype in DATATYPES:
        write_version(store, f"same_{dtype}", 1, identity_bytes(dtype, ("batch", 2)))
    write_version(store, "linear", 1, linear_model_bytes(weights=[1.0, 2.0]))
    write_version(store, "linear", 2, linear_model_bytes(weights=[10.0, 20.0]))
    write_version(store, "two", 1, two_input_bytes())
    write_version(store, "slow", 1, slow_model_bytes(256, 200))
    write_version(store, "steps", 1, steps_bytes())
    write_version(store, "fails", 1, failing_model_bytes())
    write_version(store, "stands_in", 1, failing_model_bytes())
    write_model_toml(store, "stands_in", "[plugins]\nfallback = [{value = {Y = 7.5}}]\n")
    return shared_store(store, *GRPC)


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    with Client(address_of(server)) as connected:
        yield connected


# ------------------------------------------------------------------ what the server and its models are


def test_the_server_lives_is_ready_and_says_what_it_is(client: Client) -> None:
    assert client.call("ServerLive", ServerLiveResponse).live is True
    assert client.call("ServerReady", ServerReadyResponse).ready is True
    told = client.call("ServerMetadata", ServerMetadataResponse)
    assert (told.name, list(told.extensions)) == ("foretell", ["binary_tensor_data"])


@pytest.mark.parametrize(
    ("name", "version", "ready"),
    [
        ("linear", "", True),
        ("linear", "1", True),
        ("linear", "3", False),
        ("linear", "last", False),
        ("lily", "", False),
    ],
)
def test_a_model_is_ready_or_not(client: Client, name: str, version: str, ready: bool) -> None:
    asked = ModelReadyRequest(name=name, version=version)
    assert client.call("ModelReady", ModelReadyResponse, asked).ready is ready


def test_metadata_says_what_a_model_takes(client: Client) -> None:
    told = client.call("ModelMetadata", ModelMetadataResponse, ModelMetadataRequest(name="linear"))
    assert (told.name, list(told.versions), told.platform) == ("linear", ["1", "2"], "onnxruntime_onnx")
    described = [(each.name, each.datatype, list(each.shape)) for each in (*told.inputs, *told.outputs)]
    assert described == [("X", "FP32", [-1, 2]), ("Y", "FP32", [-1, 1])]
    status, detail, _ = client.refused(ModelMetadataRequest(name="lily"), method="ModelMetadata")
    assert (status, "no model 'lily'" in detail) == ("NOT_FOUND", True)


@pytest.mark.parametrize("method", ["ModelStreamInfer", "RepositoryIndex", "ModelStatistics"])
def test_what_is_not_here_is_unimplemented(client: Client, method: str) -> None:
    assert client.refused(b"", method=method)[0] == "UNIMPLEMENTED"


# ------------------------------------------------------------------ predictions


WAYS = [(dtype, typed) for dtype in sorted(DATATYPES) for typed in (False, True)]


@pytest.mark.parametrize(("dtype", "typed"), [way for way in WAYS if way != ("float16", True)], ids=str)
def test_every_element_type_comes_back_as_the_model_gives_it(
    client: Client, dtype: DTypeName, typed: bool
) -> None:
    values = values_of(dtype, (3, 2))
    expected = InferenceSession(identity_bytes(dtype, ("batch", 2))).run(None, {"X": values})[0]
    asked = infer_request(f"same_{dtype}", typed=typed, X=values)
    asked.id = "abc"
    given = client.infer(asked)
    assert (given.model_name, given.model_version, given.id) == (f"same_{dtype}", "1", "abc")
    assert bool(given.raw_output_contents) is not typed
    answered = tensors_of(given)["Y"]
    assert answered.dtype == values.dtype
    np.testing.assert_array_equal(answered, expected)


def test_several_inputs_go_by_their_names_and_the_wanted_outputs_come(client: Client) -> None:
    a, b = (np.array([[value], [value + 1]], dtype=np.float32) for value in (0.25, 7.0))
    expected = InferenceSession(two_input_bytes()).run(None, {"A": a, "B": b})[0]
    for typed in (False, True):
        asked = infer_request("two", typed=typed, B=b, A=a)
        asked.outputs.add(name="Y")
        np.testing.assert_array_equal(tensors_of(client.infer(asked))["Y"], expected)


@pytest.mark.parametrize(("version", "expected"), [("", 50), ("1", 5), ("2", 50)])
def test_the_named_version_answers(client: Client, version: str, expected: float) -> None:
    asked = infer_request("linear", X=X)
    asked.model_version = version
    given = client.infer(asked)
    assert given.model_version == (version or "2")
    assert tensors_of(given)["Y"].tolist() == [[expected]]


def test_many_at_once_get_their_own_answers(client: Client) -> None:
    method = client.method("ModelInfer")
    rows = [np.array([[number, 0]], dtype=np.float32) for number in range(60)]
    asked = [method.future(infer_request("linear", X=row).SerializeToString()) for row in rows]
    answered = [tensors_of(ModelInferResponse.FromString(each.result(60)))["Y"] for each in asked]
    assert [each.tolist() for each in answered] == [[[10 * number]] for number in range(60)]


def test_large_tensors_come_whole(client: Client) -> None:
    values = np.random.default_rng(3).standard_normal((9_000, 2)).astype(np.float64)
    for typed in (False, True):
        given = client.infer(infer_request("same_float64", typed=typed, X=values))
        np.testing.assert_array_equal(tensors_of(given)["Y"], values)


def test_a_compressed_request_is_read(client: Client) -> None:
    body = infer_request("linear", X=X).SerializeToString()
    answer = client.method("ModelInfer")(body, timeout=60, compression=grpc.Compression.Gzip)
    assert tensors_of(ModelInferResponse.FromString(answer))["Y"].tolist() == [[50]]


def test_metadata_goes_both_ways_as_headers_do(client: Client) -> None:
    body = infer_request("linear", X=X).SerializeToString()
    sent: list[tuple[str, str | bytes]] = [
        ("x-request-id", "mine"),
        ("content-encoding", "gzip"),
        ("some-bin", b"\0\xff"),
    ]
    _, call = client.method("ModelInfer").with_call(body, timeout=60, metadata=sent)
    told = dict(call.trailing_metadata())
    assert (told["x-request-id"], told["x-model-name"], told["x-model-version"]) == ("mine", "linear", "2")


def test_what_answers_in_a_models_place_is_told(client: Client) -> None:
    given = client.infer(infer_request("stands_in", X=np.array([9], dtype=np.int64)))
    assert given.parameters["degraded"].bool_param is True
    assert given.parameters["served_by"].string_param == "value"
    assert tensors_of(given)["Y"].tolist() == [7.5]


def test_metrics_and_log_count_it_as_grpc(server: RunningServer, client: Client) -> None:
    client.infer(infer_request("linear", X=X))
    client.refused(infer_request("linear", W=X))
    text = httpx.get(f"{server.url}/metrics", timeout=60).text
    for outcome in ("success", "client_error"):
        line = f'foretell_requests_total{{model="linear",outcome="{outcome}",protocol="grpc",version="2"}}'
        assert line in text
    refused = server.wait_for("request refused", protocol="grpc", model="linear")
    assert refused["status"] == 400


# ------------------------------------------------------------------ what is refused


def wide() -> Any:
    return infer_request("linear", X=np.ones((1, 3), dtype=np.float32))


def short() -> Any:
    asked = infer_request("linear", X=X)
    asked.raw_input_contents[0] = b"1234567"
    return asked


def both() -> Any:
    asked = infer_request("linear", typed=True, X=X)
    asked.raw_input_contents.append(X.tobytes())
    return asked


def told(asked: Any, **changes: Any) -> Any:
    for name, value in changes.items():
        setattr(asked, name, value)
    return asked


def unwanted() -> Any:
    asked = infer_request("linear", X=X)
    asked.outputs.add(name="Z")
    return asked


@pytest.mark.parametrize(
    ("make", "status", "text"),
    [
        (lambda: b"\xff\xff", "INVALID_ARGUMENT", "no message of protobuf"),
        (lambda: b"\x0a\x02\xff\xff", "INVALID_ARGUMENT", "no message of protobuf"),
        (lambda: b"", "NOT_FOUND", "no model ''"),
        (lambda: infer_request("lily", X=X), "NOT_FOUND", "no model 'lily'"),
        (lambda: told(infer_request("linear", X=X), model_version="9"), "NOT_FOUND", "version 9"),
        (lambda: told(infer_request("linear", X=X), model_version="a"), "NOT_FOUND", "not a version"),
        (lambda: ModelInferRequest(model_name="linear"), "INVALID_ARGUMENT", "'X' is missing"),
        (wide, "INVALID_ARGUMENT", "expected the shape [-1, 2]"),
        (lambda: infer_request("linear", X=X.astype(np.float64)), "INVALID_ARGUMENT", "expected FP32"),
        (lambda: infer_request("linear", W=X), "INVALID_ARGUMENT", "'W' is not an input"),
        (short, "INVALID_ARGUMENT", "expected 8 bytes"),
        (both, "INVALID_ARGUMENT", "expected one of both"),
        (unwanted, "INVALID_ARGUMENT", "'Z' is not an output"),
        (
            lambda: infer_request("fails", X=np.array([9])),
            "INTERNAL",
            "its log says why under the request id",
        ),
    ],
    ids=[
        "bytes",
        "text",
        "nothing",
        "model",
        "version",
        "no version",
        "none",
        "shape",
        "type",
        "name",
        "length",
        "raw and typed",
        "output",
        "run",
    ],
)
def test_a_mistake_is_told_to_the_client(
    client: Client, make: Callable[[], Any], status: str, text: str
) -> None:
    code, detail, metadata = client.refused(make())
    assert (code, text in detail) == (status, True), detail
    assert metadata["x-request-id"]
    assert "Traceback" not in detail


def test_a_message_that_is_too_long_is_refused_before_it_is_read(
    serve_store: ServeStore, store: Path
) -> None:
    write_version(store, "m", 1, linear_model_bytes())
    server = serve_store(store, *GRPC, "--set", "limits.max_body_bytes=1000")
    with Client(address_of(server)) as client:
        code, detail, _ = client.refused(infer_request("m", X=np.ones((200, 2), dtype=np.float32)))
        assert (code, "larger than max" in detail) == ("RESOURCE_EXHAUSTED", True)
        assert tensors_of(client.infer(infer_request("m", X=X)))


# ------------------------------------------------------------------ deadlines, and callers that go away


def slow_request(rows: int = 1000) -> Any:
    return infer_request("slow", X=np.ones((rows, 256), dtype=np.float32))


def test_the_deadline_of_an_rpc_ends_its_prediction(server: RunningServer, client: Client) -> None:
    for_ever = infer_request("steps", X=np.array([2**60]))
    assert client.refused(for_ever, timeout_s=0.5)[0] == "DEADLINE_EXCEEDED"
    wait_for_metric(server, r"foretell_in_flight 0")
    np.testing.assert_array_equal(tensors_of(client.infer(infer_request("steps", X=np.array([3]))))["Y"], [3])


def test_the_parameter_timeout_is_kept_where_the_rpc_itself_has_longer(client: Client) -> None:
    for timeout_s in (60, None):
        asked = slow_request()
        asked.parameters["timeout"].int64_param = 1000
        status, detail, _ = client.refused(asked, timeout_s=timeout_s)
        assert status == "DEADLINE_EXCEEDED"
        assert "did not answer before the deadline (parameters.timeout)" in detail


def test_a_cancelled_rpc_gives_up_its_place(serve_store: ServeStore, store: Path) -> None:
    write_version(store, "slow", 1, slow_model_bytes(256, 200))
    server = serve_store(store, *GRPC, "--set", "engine.run_threads=1")
    with Client(address_of(server)) as client:
        method = client.method("ModelInfer")
        calls = [method.future(slow_request(2000).SerializeToString()) for _ in range(8)]
        for call in calls:
            call.cancel()
        assert tensors_of(client.infer(slow_request(1)))
        wait_for_metric(server, 'outcome="client_gone"')
    assert server.stop() == 0


# ------------------------------------------------------------------ health


@pytest.mark.parametrize("service", ["", "inference.GRPCInferenceService"])
def test_health_is_told_of_the_whole_and_of_the_service(client: Client, service: str) -> None:
    assert client.health(service) == SERVING


def test_health_of_an_unknown_service_is_not_found(client: Client) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        client.health("lily")
    assert call_of(refused.value).code() is grpc.StatusCode.NOT_FOUND
    watch = client.channel.unary_stream("/grpc.health.v1.Health/Watch")
    stream = watch(HealthCheckRequest(service="lily").SerializeToString())
    assert HealthCheckResponse.FromString(next(stream)).status == UNKNOWN
    stream.cancel()
    broken = client.channel.unary_unary("/grpc.health.v1.Health/Check")
    with pytest.raises(grpc.RpcError, match="INVALID_ARGUMENT"):
        broken(b"\xff", timeout=60)


def test_who_watches_health_hears_of_the_end_and_is_let_go(serve_store: ServeStore, store: Path) -> None:
    write_version(store, "m", 1, linear_model_bytes())
    server = serve_store(store, *GRPC, "--set", "server.linger_s=2")
    with Client(address_of(server)) as client:
        client.infer(infer_request("m", X=X))
        stream = client.channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
        assert HealthCheckResponse.FromString(next(stream)).status == SERVING
        server.process.send_signal(signal.SIGTERM)
        assert HealthCheckResponse.FromString(next(stream)).status == NOT_SERVING
        assert client.call("ServerReady", ServerReadyResponse).ready is False
        assert client.call("ServerLive", ServerLiveResponse).live is True
        with pytest.raises(StopIteration):
            next(stream)
    assert server.wait_for_end() == 0


def test_health_follows_the_readiness_of_the_models(serve_store: ServeStore, store: Path) -> None:
    write_version(store, "m", 1, linear_model_bytes())
    write_version(store, "endless", 1, endless_model_bytes())
    server = serve_store(store, *GRPC, "--set", "engine.startup_wait_s=0.1")
    with Client(address_of(server)) as client:
        assert client.health() == NOT_SERVING
        asked = ModelReadyRequest(name="endless")
        assert client.call("ModelReady", ModelReadyResponse, asked).ready is False


# ------------------------------------------------------------------ the start and the end


def test_what_goes_on_at_the_end_is_answered(serve_store: ServeStore, store: Path) -> None:
    write_version(store, "steps", 1, steps_bytes())
    one_thread = ("--set", "engine.run_threads=1", "--set", "engine.inline_us=0")
    server = serve_store(store, *GRPC, "--set", "server.linger_s=0", *one_thread)
    values = [np.array([500_000 + number]) for number in range(4)]
    with Client(address_of(server)) as client:
        method = client.method("ModelInfer")
        calls = [method.future(infer_request("steps", X=each).SerializeToString()) for each in values]
        wait_for_metric(server, r"foretell_in_flight 4")
        server.process.send_signal(signal.SIGTERM)
        for each, call in zip(values, calls, strict=True):
            np.testing.assert_array_equal(
                tensors_of(ModelInferResponse.FromString(call.result(60)))["Y"], each
            )
    assert server.wait_for_end() == 0


def test_what_takes_longer_than_the_drain_is_given_up(serve_store: ServeStore, store: Path) -> None:
    write_version(store, "m", 1, linear_model_bytes())
    write_model_toml(store, "m", "warm_up = false\n")
    write_version(store, "endless", 1, endless_model_bytes())
    write_model_toml(store, "endless", "warm_up = false\n")
    server = serve_store(store, *GRPC, "--set", "server.drain_s=1")
    with Client(address_of(server)) as client:
        call = client.method("ModelInfer").future(
            infer_request("endless", X=np.ones(1, dtype=np.float32)).SerializeToString()
        )
        wait_for_metric(server, r"foretell_in_flight 1")
        assert server.stop() == 0
        assert call.code() is not grpc.StatusCode.OK


class Asking:
    """A client on a thread of its own that asks without a pause.

    Attributes:
        answered: How many times it was answered.
        failures: The status of each other time.
        workers: Which process answered each time, if that is told.
    """

    def __init__(self, address: str) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self._stopped = threading.Event()
        self._changed = threading.Condition()
        self._address = address
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def wait_for_more(self, count: int) -> None:
        with self._changed:
            wanted = self.answered + count
            assert self._changed.wait_for(lambda: self.answered >= wanted, 120)

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(120)

    def _ask(self) -> None:
        body = infer_request("m", X=X).SerializeToString()
        with Client(self._address) as client:
            method = client.method("ModelInfer")
            while not self._stopped.wait(0.005):
                try:
                    method(body, timeout=60)
                except grpc.RpcError as error:
                    self.failures.append(call_of(error).code().name)
                else:
                    with self._changed:
                        self.answered += 1
                        self._changed.notify_all()


def test_workers_share_the_port_and_a_restart_is_hardly_noticed(serve_store: ServeStore, store: Path) -> None:
    write_version(store, "m", 1, linear_model_bytes())
    server = serve_store(store, *GRPC, "--workers", "2")
    clients = [Asking(address_of(server)) for _ in range(8)]
    try:
        for client in clients:
            client.wait_for_more(20)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("workers restarted")
        for client in clients:
            client.wait_for_more(20)
    finally:
        for client in clients:
            client.stop()
    # gRPC has no way to say that a connection ends before it takes no more RPCs from it: what is on its way in that
    # moment comes back cancelled.
    failures = [failure for client in clients for failure in client.failures]
    assert set(failures) <= {"CANCELLED", "UNAVAILABLE"}
    assert len(failures) <= 2 * len(clients)
    text = httpx.get(f"{server.url}/metrics", timeout=60).text
    assert 'outcome="server_error",protocol="grpc"' not in text
    assert server.stop() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("shares", [False, True], ids=["alone", "shared"])
def test_a_port_that_is_taken_is_told_before_anything_is_loaded(
    serve_store: ServeStore, store: Path, workers: str, shares: bool
) -> None:
    write_version(store, "m", 1, linear_model_bytes())
    with socket.socket() as taken:
        if shares:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = serve_store(store, "--grpc-port", str(port), "--workers", workers)
        assert server.wait_for_end() == 1
    assert server.raw == [
        f"foretell: port {port} of 127.0.0.1 is taken: stop what listens there, or choose another with --grpc-port\n"
    ]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_port_of_another_server_of_ours_is_taken_too(
    serve_store: ServeStore, store: Path, workers: str
) -> None:
    write_version(store, "m", 1, linear_model_bytes())
    first = serve_store(store, *GRPC, "--workers", workers)
    port = address_of(first).rpartition(":")[2]
    second = serve_store(store, "--grpc-port", port, "--workers", workers)
    assert second.wait_for_end() == 1
    assert "is taken" in second.raw[-1]
    with Client(address_of(first)) as client:
        assert client.health() == SERVING


def test_it_listens_at_every_address_of_a_name(serve_store: ServeStore, store: Path) -> None:
    write_version(store, "m", 1, linear_model_bytes())
    server = serve_store(store, *GRPC, "--set", "grpc.host=localhost")
    addresses = address_of(server).split(", ")
    assert addresses
    for address in addresses:
        with Client(address) as client:
            assert client.health() == SERVING


def test_one_port_for_both_is_refused(serve_store: ServeStore, store: Path, free_port: int) -> None:
    write_version(store, "m", 1, linear_model_bytes())
    server = serve_store(store, "--port", str(free_port), "--grpc-port", str(free_port))
    assert server.wait_for_end() == 1
    assert server.raw[-1].startswith(f"foretell: grpc.port and server.port are both {free_port}")


def test_without_the_extra_the_remedy_is_told(store: Path) -> None:
    write_version(store, "m", 1, linear_model_bytes())
    program = "import sys; sys.modules['grpc'] = None; from foretell.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--store", str(store), "--port", "0", *GRPC]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 1
    assert run.stderr == (
        "foretell: serving gRPC (grpc.port) needs an optional dependency: pip install 'foretell[grpc]'\n"
    )


def test_nothing_of_grpc_is_imported_where_it_is_not_served(store: Path) -> None:
    write_version(store, "m", 1, linear_model_bytes())
    program = """
import json, sys
from foretell import create_app
from foretell.settings import PluginSettings, Settings, StoreSettings
create_app(Settings(store=StoreSettings(path=sys.argv[1]), plugins=PluginSettings(enabled=())))
import foretell.http.server, foretell.supervisor
print(json.dumps([name for name in sys.modules if name.startswith(("grpc", "google.protobuf"))]))
"""
    run = subprocess.run(
        [sys.executable, "-c", program, str(store)], capture_output=True, text=True, timeout=120, check=True
    )
    assert json.loads(run.stdout) == []
