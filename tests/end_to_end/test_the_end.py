"""How a single process ends: nothing that a client has sent is lost, and nobody who is idle holds it up."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.load import Load
from tests.models import linear_model_bytes, write_version
from tests.servers import ROOT, WAYS, RunningServer, Serve, ServeStore

pytestmark = pytest.mark.measures_servers

LONG = ("--set", "server.linger_s=3600", "--set", "server.drain_s=3600")
ROW = b'{"features": [1, 2]}'
QUESTION = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(ROW), ROW)


@pytest.fixture
def small(store: Path) -> Path:
    """A store of one small model."""
    write_version(store, "m", 1, linear_model_bytes())
    return store


@pytest.fixture(params=WAYS)
def serve(serve_store: ServeStore, small: Path, request: pytest.FixtureRequest) -> Serve:
    """Serve it, in both ways; what is asked was asked before, which the accelerated one needs."""

    def start(*flags: str) -> RunningServer:
        server = serve_store(small, "--set", "store.default_model=", *WAYS[request.param], *flags)
        asked = httpx.post(f"{server.url}/predict", content=ROW, headers={"host": "x"}, timeout=120)
        assert asked.status_code == 200
        return server

    return start


def connect(server: RunningServer) -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=120)


def accepts(server: RunningServer) -> bool:
    try:
        httpx.get(f"{server.url}/health/live", timeout=120)
    except httpx.ConnectError:
        return False
    return True


def told_to_stop(server: RunningServer, number: int = signal.SIGTERM) -> None:
    server.process.send_signal(number)
    server.wait_for("stopping")


def test_what_is_sent_before_the_end_is_answered(serve: Serve) -> None:
    server = serve()
    with Load(server.url, body=ROW) as clients:
        clients.wait_for_more(100)
        server.process.send_signal(signal.SIGTERM)
        clients.wait_for_refusal()
        assert server.wait_for_end() == 0
    assert clients.lost == []


def test_readiness_goes_first_and_every_answer_closes_its_connection(serve: Serve) -> None:
    server = serve(*LONG)
    with connect(server):  # who is connected keeps it from ending early
        assert "connection" not in httpx.get(f"{server.url}/health/ready").headers
        told_to_stop(server)
        ready = httpx.get(f"{server.url}/health/ready")
        assert (ready.status_code, ready.json()["reason"]) == (503, "the server is stopping")
        state = httpx.get(f"{server.url}/health").json()
        assert (state["status"], state["ready"], state["reason"]) == (
            "stopping",
            False,
            "the server is stopping",
        )
        for path, status in {
            "/health/live": 200,
            "/v1/models": 200,
            "/metrics": 200,
            "/schema/openapi.json": 200,
            "/nowhere": 404,
            "/predict": 405,
        }.items():
            answer = httpx.get(f"{server.url}{path}")
            assert (answer.status_code, answer.headers.get_list("connection")) == (status, ["close"]), path
        answer = httpx.post(f"{server.url}/predict", content=ROW)
        assert (answer.status_code, answer.headers.get_list("connection")) == (200, ["close"])
    assert server.wait_for_end() == 0


def test_an_idle_connection_is_answered_while_the_server_lingers(serve: Serve) -> None:
    server = serve(*LONG)
    with connect(server) as connection:
        connection.sendall(QUESTION)
        first = b""
        while not first.endswith(b"}"):
            first += connection.recv(65536)
        assert b"connection: close" not in first
        told_to_stop(server)
        connection.sendall(QUESTION)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer
    assert server.wait_for_end() == 0


@pytest.mark.parametrize(
    "sent", [b"", QUESTION, QUESTION[:10]], ids=["nothing", "a request before", "half a head"]
)
def test_an_idle_connection_does_not_hold_up_the_end(serve: Serve, sent: bytes) -> None:
    server = serve("--set", "server.linger_s=0.5", "--set", "server.drain_s=3600")
    with connect(server) as connection:
        connection.sendall(sent)
        if sent == QUESTION:
            connection.recv(65536)
        assert httpx.get(f"{server.url}/health/live").status_code == 200
        assert server.stop() == 0


def test_a_request_whose_body_is_still_coming_is_answered(serve: Serve) -> None:
    server = serve("--set", "server.linger_s=0")
    with connect(server) as connection:
        connection.sendall(QUESTION[:-5])
        assert httpx.get(f"{server.url}/health/live").status_code == 200
        told_to_stop(server)
        while accepts(server):
            pass
        connection.sendall(QUESTION[-5:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    assert server.wait_for_end() == 0


@pytest.mark.parametrize("linger_s", ["0", "1"])
@pytest.mark.parametrize(
    "sent",
    [QUESTION[:-5], b'POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"fea\r\n'],
    ids=["half a body", "half of the chunks"],
)
def test_a_request_that_is_never_sent_whole_leaves_no_error(serve: Serve, linger_s: str, sent: bytes) -> None:
    server = serve("--set", "server.drain_s=1", "--set", f"server.linger_s={linger_s}")
    with connect(server) as connection:
        connection.sendall(sent)
        assert httpx.get(f"{server.url}/health/live").status_code == 200
        assert server.stop() == 0
        assert connection.recv(65536) == b""
    assert [line for line in server.events if line["level"] == "error"] == []
    assert server.wait_for("requests given up")["count"] == 1
    assert not any("Traceback" in line for line in server.raw)


def test_a_hang_up_ends_it_in_good_order(serve: Serve) -> None:
    server = serve()
    assert server.url
    assert server.stop(signal.SIGHUP) == 0
    server.wait_for("stopped")


def test_under_nohup_a_hang_up_is_ignored(serve_processes: Serve, small: Path) -> None:
    command = ["nohup", sys.executable, "-m", "foretell", "serve", "--store", str(small), "--port", "0"]
    server = serve_processes(command)
    assert server.url
    server.process.send_signal(signal.SIGHUP)
    assert httpx.get(f"{server.url}/health/live").status_code == 200
    assert server.stop() == 0


def test_told_twice_it_ends_at_once(serve: Serve) -> None:
    server = serve(*LONG)
    with connect(server) as connection:
        connection.sendall(QUESTION[:-5])
        assert httpx.get(f"{server.url}/health/live").status_code == 200
        told_to_stop(server, signal.SIGINT)
        assert server.stop(signal.SIGINT) == 130
    server.wait_for("stopped at once")


OTHER_SERVER = """
import asyncio, signal, sys
from hypercorn.asyncio import serve
from hypercorn.config import Config
from foretell import Settings, create_app
from foretell.http.lifecycle import Lifecycle
from foretell.settings import StoreSettings

lifecycle = Lifecycle()
app = create_app(Settings(store=StoreSettings(path=sys.argv[1])), lifecycle=lifecycle)
config = Config()
config.bind = ["127.0.0.1:0"]

async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lifecycle.close)
    await serve(app, config)

asyncio.run(main())
"""


def test_whoever_runs_the_application_can_announce_its_end(serve_processes: Serve, small: Path) -> None:
    server = serve_processes([sys.executable, "-c", OTHER_SERVER, str(small)], cwd=ROOT)
    url = server.wait_for_text("Running on").partition("Running on ")[2].split()[0]
    with httpx.Client(base_url=url, timeout=120) as client:
        assert client.get("/health/ready").status_code == 200
        server.process.send_signal(signal.SIGUSR1)
        while (ready := client.get("/health/ready")).status_code == 200:
            pass
        assert ready.status_code == 503
        assert ready.headers["connection"] == "close"
        for path in ("/health/live", "/v1/models", "/metrics"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers.get_list("connection")) == (200, ["close"])
        answer = client.post("/predict", content=ROW)
        assert (answer.status_code, answer.headers.get_list("connection")) == (200, ["close"])
