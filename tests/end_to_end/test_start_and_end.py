"""How a server begins to listen, and how it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.models import linear_model_bytes, write_version
from tests.servers import ServeStore

pytestmark = pytest.mark.measures_servers


@pytest.fixture
def small(store: Path) -> Path:
    """A store of one small model."""
    write_version(store, "m", 1, linear_model_bytes())
    return store


def test_its_end_is_announced_and_told(serve_store: ServeStore, small: Path) -> None:
    server = serve_store(small, "--set", "server.drain_s=7", "--set", "store.default_model=")
    assert httpx.get(f"{server.url}/health/ready").status_code == 200
    assert server.stop() == 0
    told = [event["event"] for event in server.events if event["event"] != "request"]
    assert told == ["plan", "loading models", "model ready", "serving", "stopping", "stopped"]
    assert server.wait_for("stopping")["waits_at_most_s"] == 7


@pytest.mark.parametrize(("host", "start"), [("127.0.0.1", "http://127.0.0.1:"), ("::1", "http://[::1]:")])
def test_a_free_port_is_named_in_the_log(serve_store: ServeStore, small: Path, host: str, start: str) -> None:
    server = serve_store(small, "--host", host)
    assert server.url.startswith(start)
    assert httpx.get(f"{server.url}/health/ready").status_code == 200


def test_a_name_is_served_at_each_of_its_addresses(serve_store: ServeStore, small: Path) -> None:
    server = serve_store(small, "--host", "localhost")
    assert httpx.get(f"{server.url}/health/ready").status_code == 200


def test_a_port_that_is_lost_while_models_are_loaded_is_told_and_the_models_are_closed(
    small: Path,
) -> None:
    program = """
import socket, sys
from foretell import Settings, create_app
from foretell.errors import ListenError
from foretell.http.listening import bind
from foretell.http.server import run_server
from foretell.logs import open_log
from foretell.settings import ServerSettings, StoreSettings

sockets = bind("127.0.0.1", 0)
port = sockets[0].getsockname()[1]
other = socket.socket()
other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
other.bind(("127.0.0.1", port))
other.listen()
settings = Settings(store=StoreSettings(path=sys.argv[1]), server=ServerSettings(port=port))
try:
    run_server(create_app(settings), sockets, settings.server, open_log(settings.log))
except ListenError as error:
    print(str(error).replace(str(port), "PORT"))
"""
    run = subprocess.run(
        [sys.executable, "-c", program, small], capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stdout == (
        "port PORT of 127.0.0.1 is taken: stop what listens there, or choose another with --port\n"
    )
    assert "Traceback" not in run.stderr
