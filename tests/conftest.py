"""What every test may use."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import hypothesis
import pytest

from tests.servers import ROOT, SAMPLE_STORE, RunningServer, ServeStore

# No test is judged by its speed.
hypothesis.settings.register_profile(
    "foretell", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("foretell")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An empty model store."""
    folder = tmp_path / "model_store"
    folder.mkdir()
    return folder


# ------------------------------------------------------------------ real servers


@pytest.fixture(scope="session")
def serve_processes() -> Iterator[Callable[..., RunningServer]]:
    """Start commands that serve; all are stopped at the end."""
    with contextlib.ExitStack() as stack:

        def start(
            command: list[str], *, cwd: Path = ROOT, environ: dict[str, str] | None = None
        ) -> RunningServer:
            server = RunningServer(command, cwd=cwd, environ=environ)
            stack.callback(server.stop)
            return server

        yield start


@pytest.fixture(scope="session")
def serve_store(serve_processes: Callable[..., RunningServer]) -> ServeStore:
    """Serve a store with ``foretell serve`` on a free port."""

    def start(store: Path, *flags: str, environ: dict[str, str] | None = None) -> RunningServer:
        command = [sys.executable, "-m", "foretell", "serve", "--store", str(store), "--port", "0", *flags]
        return serve_processes(command, environ=environ)

    return start


@pytest.fixture(scope="session")
def sample_server(serve_store: ServeStore) -> RunningServer:
    """The sample store, served as ``make serve`` does."""
    return serve_store(SAMPLE_STORE)


@pytest.fixture(scope="session")
def sample(sample_server: RunningServer) -> Iterator[httpx.Client]:
    """A client of the sample store's server."""
    with httpx.Client(base_url=sample_server.url, timeout=60) as client:
        yield client


@pytest.fixture
def free_port() -> int:
    """A port that nothing listens on, for programs that cannot take port 0."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
