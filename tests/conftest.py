"""What every test may use."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest

from tests.servers import ROOT, SAMPLE_STORE, RunningServer, Serve, ServeStore

# No test is judged by its speed.
hypothesis.settings.register_profile(
    "foretell", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("foretell")

# What is started keeps what it has compiled, as what is installed does: to compile it anew is a third of a server's start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Under nohup servers would inherit that hang-ups are ignored.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An empty model store."""
    folder = tmp_path / "model_store"
    folder.mkdir()
    return folder


# ------------------------------------------------------------------ real servers


def _serve_store(serve_processes: Serve) -> ServeStore:
    def start(store: Path, *flags: str, **more: Any) -> RunningServer:
        command = [sys.executable, "-m", "foretell", "serve", "--store", str(store), "--port", "0", *flags]
        return serve_processes(command, **more)

    return start


@pytest.fixture(scope="session")
def shared_processes() -> Iterator[Serve]:
    """Start commands that serve several tests; all are stopped at the end.

    Their lines count as covered unless they are told that nobody needs it (``measured=False``), which is quicker.
    """
    servers: list[RunningServer] = []

    def start(
        command: list[str],
        *,
        cwd: Path = ROOT,
        environ: dict[str, str] | None = None,
        measured: bool = True,
    ) -> RunningServer:
        servers.append(RunningServer(command, cwd=cwd, environ=environ, measured=measured))
        return servers[-1]

    yield start
    for server in servers:
        server.tell_to_stop()
    for server in servers:
        server.wait_or_kill()


@pytest.fixture(scope="session")
def shared_store(shared_processes: Serve) -> ServeStore:
    """Serve a store for several tests, with ``foretell serve`` on a free port."""
    return _serve_store(shared_processes)


@pytest.fixture
def serve_processes(shared_processes: Serve, request: pytest.FixtureRequest) -> Iterator[Serve]:
    """Start commands that serve this test; their lines count as covered where it is marked `measures_servers`.

    After it they are told to stop, so that none takes time from the next test; the end of all tests waits for theirs.
    """
    measured = request.node.get_closest_marker("measures_servers") is not None
    servers: list[RunningServer] = []

    def start(
        command: list[str], *, cwd: Path = ROOT, environ: dict[str, str] | None = None
    ) -> RunningServer:
        servers.append(shared_processes(command, cwd=cwd, environ=environ, measured=measured))
        return servers[-1]

    yield start
    for server in servers:
        server.tell_to_stop()


@pytest.fixture
def serve_store(serve_processes: Serve) -> ServeStore:
    """Serve a store for this test, with ``foretell serve`` on a free port."""
    return _serve_store(serve_processes)


@pytest.fixture(scope="session")
def sample_server(shared_store: ServeStore) -> RunningServer:
    """The sample store, served as ``make serve`` does."""
    return shared_store(SAMPLE_STORE)


@pytest.fixture(scope="session")
def sample(sample_server: RunningServer) -> Iterator[httpx.Client]:
    """A client of the sample store's server."""
    with httpx.Client(base_url=sample_server.url, timeout=60) as client:
        yield client


@pytest.fixture
def free_port() -> int:
    """A port that nothing listens on, for programs that cannot take port 0.

    It lies below those that Linux gives to whoever takes port 0, as tests do that run at the same time.
    """
    while True:
        port = random.randrange(20_000, 32_768)
        with socket.socket() as listening, contextlib.suppress(OSError):
            listening.bind(("127.0.0.1", port))
            return port
