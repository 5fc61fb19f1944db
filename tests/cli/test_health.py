"""``foretell health`` tells scripts and container platforms whether a server is ready."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.models import linear_model_bytes, write_version
from tests.servers import Serve


def server(serve_processes: Serve, store: Path, *more: str) -> str:
    """A server's address."""
    command = [sys.executable, "-m", "foretell", "serve", "--port", "0", "--store", str(store), *more]
    return serve_processes(command).url


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one model."""
    write_version(tmp_path / "store", "m", 1, linear_model_bytes(weights=[1.0, 2.0]))
    return tmp_path / "store"


def test_a_server_that_is_ready_is_well(run: Run, serve_processes: Serve, store: Path) -> None:
    url = server(serve_processes, store)
    done = run("health", "--url", url)
    assert done.code == 0
    assert done.out == '{"ready":true,"reason":null}\n'


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("0.0.0.0", "127.0.0.1"),  # noqa: S104 - as in a container
        ("::", "[::1]"),
        ("127.0.0.1", "127.0.0.1"),
    ],
)
def test_it_asks_the_server_of_the_settings(
    run: Run, serve_processes: Serve, store: Path, host: str, asked: str
) -> None:
    url = server(serve_processes, store, "--host", host)
    port = url.rpartition(":")[2]
    assert run("health", "--host", host, "--port", port).code == 0
    assert run("health", "--url", f"http://{asked}:{port}").code == 0


def test_a_server_without_models_lives_and_is_not_ready(
    run: Run, serve_processes: Serve, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    url = server(serve_processes, tmp_path / "empty")
    assert run("health", "--url", url, "--live").code == 0
    done = run("health", "--url", url)
    assert done.code == 1
    assert '"ready":false' in done.err


def test_a_server_that_is_not_there_is_waited_for(run: Run, free_port: int) -> None:
    done = run("health", "--port", str(free_port), "--wait", "0.3")
    assert done.code == 1
    assert f"http://127.0.0.1:{free_port} does not answer" in done.err


def test_what_is_no_address_is_refused(run: Run) -> None:
    done = run("health", "--url", "10.0.0.7:8000")
    assert done.code == 2
    assert "--url is like http://" in done.err
