"""A real server follows its store while it runs, and drops no request over it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.models import linear_model_bytes, write_model_toml, write_version
from tests.servers import RunningServer, ServeStore

ROW = {"instances": [[1.0, 2.0]]}


def publish(store: Path, number: int, name: str = "m", weight: float | None = None) -> None:
    """Put a version into the store as `publish` does: beside, then renamed. It answers with three times its number."""
    weight = float(number) if weight is None else weight
    made = write_version(store / ".staging", name, number, linear_model_bytes(weights=[weight, weight]))
    (store / name).mkdir(exist_ok=True)
    made.rename(store / name / str(number))


@pytest.fixture
def server(store: Path, serve_store: ServeStore) -> RunningServer:
    publish(store, 1)
    publish(store, 2)
    write_model_toml(store, "m", 'default = "champion"\n[aliases]\nchampion = 1\n')
    return serve_store(store)


def ask(server: RunningServer, path: str = "m") -> tuple[int, Any]:
    answer = httpx.post(f"{server.url}/v1/models/{path}:predict", json=ROW)
    body = answer.json()
    return answer.status_code, body.get("predictions", body.get("detail"))


def test_it(server: RunningServer, store: Path) -> None:
    assert ask(server) == (200, [3.0])
    publish(store, 3)
    server.wait_for("version loaded", version=3)
    assert ask(server, "m/versions/3") == (200, [9.0])
    write_model_toml(store, "m", 'default = "champion"\n[aliases]\nchampion = 3\n')
    server.wait_for("model changed", default=3)
    assert ask(server) == (200, [9.0])
    shutil.rmtree(store / "m" / "1")
    server.wait_for("version let go", version=1)
    assert ask(server, "m/versions/1")[0] == 404
    (store / "m" / "4").mkdir()
    (store / "m" / "4" / "model.onnx").write_bytes(b"bad")
    server.wait_for("version failed to load", version=4)
    print(httpx.get(server.url + "/health").text)
    print(httpx.get(server.url + "/v1/models/m").text)
    publish(store, 1, "n")
    server.wait_for("model ready", model="n")
    shutil.rmtree(store / "n")
    server.wait_for("model removed", model="n")
    print(*server.raw)
    assert 0
