"""With a model that raises, hangs or is gone, every request to the real server is answered degraded, in time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from onnx import helper

from tests.models import (
    failing_model_bytes,
    identity_bytes,
    linear_model_bytes,
    model_bytes,
    slow_model_bytes,
    value_info,
    write_model_toml,
    write_version,
)
from tests.servers import RunningServer, ServeStore

DEADLINE_S = 5

TROUBLE = '''
"""Stands right around model m's highest version, and does to it what a file says."""

import asyncio
import pathlib
from foretell.errors import RunError
from foretell.plugin import NoConfig, Plugin, Stage

SWITCH = pathlib.Path({switch!r})


class Trouble(Plugin[NoConfig]):
    stage = Stage.CACHE

    def wrap_predict(self, call_next, model):
        async def predict(request):
            if model.version == 2 and SWITCH.exists():
                if SWITCH.read_text() == "hang":
                    await asyncio.Event().wait()
                raise RunError("broken")
            return await call_next(request)

        return predict
'''


@pytest.fixture
def start(store: Path, tmp_path: Path, serve_store: ServeStore) -> Callable[..., RunningServer]:
    """Serve the store with the fallback plugin and one that makes trouble when a file says so."""

    def serve() -> RunningServer:
        folder = tmp_path / "plugins"
        folder.mkdir()
        (folder / "trouble.py").write_text(TROUBLE.format(switch=str(tmp_path / "switch")))
        config = tmp_path / "foretell.toml"
        config.write_text(
            f'[plugins]\nenabled = ["fallback", "trouble"]\nfolder = {json.dumps(str(folder))}\n'
            f"[limits]\ndeadline_s = {DEADLINE_S}\n"
        )
        return serve_store(store, "--config", str(config))

    return serve


def ask(client: httpx.Client, *values: float, path: str = "m") -> httpx.Response:
    return client.post(f"/v1/models/{path}:predict", json={"instances": list(values)})


def breaker(client: httpx.Client, version: int = 2) -> str:
    state: str = client.get("/health").json()["models"]["m"]["plugins"][str(version)]["fallback"]["breaker"]
    return state


def until(client: httpx.Client, state: str) -> None:
    give_up = time.monotonic() + 30
    while breaker(client) != state:
        assert time.monotonic() < give_up, f"the breaker is {breaker(client)}"


def cast_bytes() -> bytes:
    """``Y = X`` as floats: takes what the failing model takes, and never fails."""
    return model_bytes(
        [helper.make_node("Cast", ["X"], ["Y"], to=1)],
        [value_info("X", "int64", ("batch",))],
        [value_info("Y", "float32", ("batch",))],
    )


def test_one_callers_bad_data_is_no_fault_of_the_model(
    store: Path, start: Callable[..., RunningServer]
) -> None:
    write_version(store, "m", 1, cast_bytes())
    write_version(store, "m", 2, failing_model_bytes())
    write_model_toml(store, "m", '[plugins.fallback]\nchain = ["version:previous"]\nminimum = 4\n')
    server = start()
    with httpx.Client(base_url=server.url, timeout=DEADLINE_S) as client:
        for _ in range(20):
            answer = ask(client, 7)
            assert (answer.status_code, answer.headers["x-foretell-degraded"]) == (200, "error")
            assert answer.json()["served_by"] == "m/1"
            assert "degraded" not in ask(client, 1).json()
        for _ in range(40):
            assert ask(client, 7).headers["x-foretell-degraded"] == "error"
        assert breaker(client) == "closed"
        assert ask(client, 1).json()["predictions"] == [2.0]


def test_a_model_that_raises(store: Path, start: Callable[..., RunningServer]) -> None:
    """Nothing is known to be good of a bare model that was not warmed up, so that its errors count by themselves."""
    write_version(store, "m", 1, cast_bytes(), manifest=False)
    write_version(store, "m", 2, failing_model_bytes(), manifest=False)
    rules = '[plugins.fallback]\nchain = ["version:previous"]\nminimum = 4\nopen_s = 0.5\n'
    write_model_toml(store, "m", f"warm_up = false\n{rules}")
    server = start()
    with httpx.Client(base_url=server.url, timeout=DEADLINE_S) as client:
        for _ in range(4):
            answer = ask(client, 7)
            assert (answer.status_code, answer.headers["x-foretell-degraded"]) == (200, "error")
            body = answer.json()
            assert (body["predictions"], body["degraded"], body["served_by"]) == ([7.0], True, "m/1")
            assert (body["model_version"], answer.headers["x-model-version"]) == ("1", "1")
        line = server.wait_for("breaker", state="open")
        assert (line["version"], line["reason"].partition(":")[0]) == (2, "RunError")
        # Once the breaker is half-open, a probe that fails opens it again, and one that succeeds closes it.
        until(client, "half-open")
        assert ask(client, 7).headers["x-foretell-degraded"] == "error"
        assert breaker(client) == "open"
        answer = ask(client, 1)
        assert (answer.json()["predictions"], answer.headers["x-foretell-degraded"]) == ([1.0], "breaker")
        until(client, "half-open")
        assert "degraded" not in ask(client, 1).json()
        assert breaker(client) == "closed"


def test_a_model_whose_runs_hold_its_threads(store: Path, start: Callable[..., RunningServer]) -> None:
    size = 256
    write_version(store, "m", 1, identity_bytes("float32", ("batch", size)))
    write_version(store, "m", 2, slow_model_bytes(size, depth=300))
    write_model_toml(
        store,
        "m",
        '[plugins.fallback]\nchain = ["version:previous"]\ngive_up_s = 0.02\nmax_given_up = 3\nopen_s = 1000\n',
    )
    server = start()
    row = [0.5] * size
    with httpx.Client(base_url=server.url, timeout=DEADLINE_S) as client, ThreadPoolExecutor(16) as callers:

        def asked(_: int) -> httpx.Response:
            return client.post("/v1/models/m:predict", json={"instances": [row]})

        answers = list(callers.map(asked, range(200)))
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.json()["served_by"] for answer in answers} == {"m/1"}
        assert {answer.headers["x-foretell-degraded"] for answer in answers} == {"timeout", "breaker"}
        assert all(answer.json()["predictions"] == [row] for answer in answers)
        assert breaker(client) == "open"
        # Only those that were on their way when the breaker opened waited for the model.
        waited = [each for each in answers if each.headers["x-foretell-degraded"] == "timeout"]
        assert len(waited) <= 3 + 16


@pytest.mark.parametrize("kind", ["fail", "hang"])
def test_a_model_that_is_in_trouble_under_load_and_recovers(
    kind: str, store: Path, tmp_path: Path, start: Callable[..., RunningServer]
) -> None:
    write_version(store, "m", 1, linear_model_bytes(1, bias=100))
    write_version(store, "m", 2, linear_model_bytes(1, bias=200))
    write_model_toml(
        store,
        "m",
        "[plugins.fallback]\n"
        'chain = ["version:previous", {value = {Y = 0}}]\n'
        "give_up_s = 0.1\nopen_s = 0.3\nminimum = 5\nmax_given_up = 3\n",
    )
    server = start()
    switch = tmp_path / "switch"

    def asked(number: int) -> tuple[int, httpx.Response]:
        return number, ask(client, float(number))

    def check(number: int, answer: httpx.Response) -> Any:
        assert answer.status_code == 200
        body = answer.json()
        assert body["predictions"] == [number + 100.0 * int(body["model_version"])]
        assert body.get("served_by") == ("m/1" if body["model_version"] == "1" else None)
        return answer.headers.get("x-foretell-degraded")

    with httpx.Client(base_url=server.url, timeout=DEADLINE_S) as client, ThreadPoolExecutor(8) as callers:
        assert {check(*each) for each in callers.map(asked, range(100))} == {None}
        switch.write_text(kind)
        first = {"fail": "error", "hang": "timeout"}[kind]
        assert {check(*each) for each in callers.map(asked, range(300))} <= {first, "breaker"}
        assert server.wait_for("breaker", state="open")
        switch.unlink()
        give_up = time.monotonic() + 30
        while check(0, ask(client, 0)) is not None:
            assert time.monotonic() < give_up
        assert breaker(client) == "closed"
        assert {check(*each) for each in callers.map(asked, range(100))} == {None}


@pytest.mark.parametrize("loss", ["model file removed", "model file damaged", "version removed"])
def test_a_model_that_is_gone(loss: str, store: Path, start: Callable[..., RunningServer]) -> None:
    write_version(store, "m", 1, linear_model_bytes(1, bias=100))
    if loss != "version removed":
        folder = write_version(store, "m", 2, linear_model_bytes(1, bias=200))
        (folder / "model.onnx").write_bytes(b"damaged")
        if loss == "model file removed":
            (folder / "model.onnx").unlink()
    write_model_toml(
        store, "m", 'default = 2\n[plugins.fallback]\nchain = ["version:previous"]\nminimum = 3\n'
    )
    server = start()
    with httpx.Client(base_url=server.url, timeout=DEADLINE_S) as client:
        answers = [ask(client, 5) for _ in range(10)]
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.json()["served_by"] for answer in answers} == {"m/1"}
        assert [answer.json()["predictions"] for answer in answers] == [[105.0]] * 10
        reasons = [answer.headers["x-foretell-degraded"] for answer in answers]
        assert reasons == ["not-ready"] * 3 + ["breaker"] * 7
        # What is told of the model stays true.
        assert client.get("/health/ready").status_code == 503
        health = client.get("/health").json()["models"]["m"]
        assert (health["ready"], list(health["failed_versions"])) == (False, ["2"])
        assert health["plugins"]["2"]["fallback"] == {"breaker": "open", "chain": ["m/1"]}
        catalogue = {each["version"]: each for each in client.get("/v1/models/m").json()["versions"]}
        assert (catalogue["2"]["ready"], catalogue["1"]["ready"]) == (False, True)
        assert catalogue["2"]["plugins"]["fallback"]["breaker"] == "open"
        one = client.get("/v1/models/m/versions/2").json()["versions"]
        assert one == [catalogue["2"]]
        assert client.post("/v1/models/m:predict", json={"instances": ["x"]}).status_code == 422
        assert client.get("/schema/openapi.json").status_code == 200
