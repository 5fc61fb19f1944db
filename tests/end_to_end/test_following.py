"""A real server follows its store while it runs, and drops no request over it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from foretell.store.decisions import roll_back
from tests.models import linear_model_bytes, slow_model_bytes, write_model_toml, write_version
from tests.servers import RunningServer, ServeStore
from tests.soak import SETTINGS, ReloadSoak, resident_bytes, weighty_model_bytes

ROW = {"instances": [[1.0, 2.0]]}
BAD = b"bad"
CHAMPION = 'default = "champion"\n[aliases]\nchampion = {}\n'


def publish(store: Path, number: int, name: str = "m", model: bytes | None = None) -> None:
    """Put a version into the store as `publish` does: beside, then renamed. It answers with three times its number."""
    if model is None:
        model = linear_model_bytes(weights=[float(number)] * 2)
    made = write_version(store / ".staging", name, number, model, manifest=model != BAD)
    (store / name).mkdir(exist_ok=True)
    made.rename(store / name / str(number))


def ask(server: RunningServer, path: str = "m") -> tuple[int, Any]:
    answer = httpx.post(f"{server.url}/v1/models/{path}:predict", json=ROW, timeout=60)
    body = answer.json()
    return answer.status_code, body.get("predictions", body.get("detail"))


def told(server: RunningServer, path: str) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(f"{server.url}{path}", timeout=60).json()
    return answer


def begin(serve_store: ServeStore, store: Path, *settings: str) -> RunningServer:
    """A server that serves, and follows from now on."""
    server = serve_store(store, *(word for setting in settings for word in ("--set", setting)))
    server.wait_for("serving")
    return server


@pytest.fixture(params=["events", "poll"])
def server(store: Path, serve_store: ServeStore, request: pytest.FixtureRequest) -> RunningServer:
    """A server of the versions 1 and 2 of a model, that hears of changes, or looks for them."""
    publish(store, 1)
    publish(store, 2)
    write_model_toml(store, "m", CHAMPION.format(1))
    return begin(serve_store, store, f"store.follow={request.param}", "store.poll_s=0.05")


def test_versions_aliases_and_models_come_and_go(server: RunningServer, store: Path) -> None:
    assert ask(server) == (200, [3.0])
    publish(store, 3)
    server.wait_for("version loaded", model="m", version=3)
    assert ask(server, "m/versions/3") == (200, [9.0])
    write_model_toml(store, "m", CHAMPION.format(3))
    server.wait_for("model changed", model="m", default=3)
    assert ask(server) == ask(server, "m/labels/champion") == (200, [9.0])
    shutil.rmtree(store / "m" / "1")
    server.wait_for("version let go", model="m", version=1)
    assert ask(server, "m/versions/1") == (404, "model 'm' has no version 1; it has: 2, 3")
    publish(store, 1, "other")
    server.wait_for("model ready", model="other")
    assert ask(server, "other") == (200, [3.0])
    assert "/v1/models/other:predict" in told(server, "/schema/openapi.json")["paths"]
    shutil.rmtree(store / "other")
    server.wait_for("model removed", model="other")
    assert ask(server, "other")[0] == 404


def test_a_bad_version_is_refused_with_its_reason_and_retried_when_it_changes(
    server: RunningServer, store: Path
) -> None:
    publish(store, 3, model=BAD)
    server.wait_for("version failed to load", version=3)
    health = told(server, "/health")
    assert (health["status"], health["ready"]) == ("degraded", True)
    assert "not an ONNX model" in health["models"]["m"]["failed_versions"]["3"]
    assert ask(server, "m/versions/3")[0] == 503
    shutil.rmtree(store / "m" / "3")
    publish(store, 3)
    server.wait_for("version loaded", version=3)
    assert ask(server, "m/versions/3") == (200, [9.0])
    assert told(server, "/health")["status"] == "ok"


def test_a_version_that_is_spoilt_in_place_serves_on_and_says_so(server: RunningServer, store: Path) -> None:
    (store / "m" / "1" / "model.onnx").write_bytes(b"bad")
    server.wait_for("version failed to load", version=1)
    assert ask(server) == (200, [3.0])
    (first, _) = told(server, "/v1/models/m")["versions"]
    assert first["ready"]
    assert first["reason"].startswith("it serves as it was loaded before; its files have changed: ")
    assert told(server, "/health")["status"] == "degraded"


def test_a_slow_copy_by_another_tool_is_left_until_it_is_done(server: RunningServer, store: Path) -> None:
    """In pieces, without a manifest, and each piece after the server has seen the one before."""
    model = linear_model_bytes(weights=[7.0, 7.0])
    folder = store / "m" / "7"
    folder.mkdir()
    with (folder / "model.onnx").open("wb") as file:
        for at in range(0, len(model), 40):
            file.write(model[at : at + 40])
            file.flush()
            while "7" not in {each["version"] for each in told(server, "/v1/models/m")["versions"]}:
                pass
    server.wait_for("version loaded", version=7)
    assert ask(server, "m/versions/7") == (200, [21.0])
    assert not [each for each in server.events if each["event"] == "version failed to load"]


def test_a_store_that_vanishes_for_a_moment_takes_nothing_down(server: RunningServer, store: Path) -> None:
    store.rename(store.with_name("away"))
    server.wait_for("store unreadable")
    assert ask(server) == (200, [3.0])
    health = told(server, "/health")
    assert (health["status"], health["ready"]) == ("degraded", True)
    assert "does not exist" in health["reason"]
    assert httpx.get(f"{server.url}/health/ready").status_code == 200
    store.with_name("away").rename(store)
    server.wait_for("store readable again")
    publish(store, 3)
    server.wait_for("version loaded", version=3)
    assert told(server, "/health")["status"] == "ok"


def test_a_store_that_is_another_folder_now_is_followed(server: RunningServer, store: Path) -> None:
    """As where a link is turned to another release of the whole store."""
    other = store.with_name("other")
    publish(other, 1)
    publish(other, 5)
    store.rename(store.with_name("away"))
    other.rename(store)
    server.wait_for("version loaded", version=5)
    publish(store, 6)
    server.wait_for("version loaded", version=6)


def test_rollback_is_followed(server: RunningServer, store: Path) -> None:
    write_model_toml(store, "m", "# ours\n" + CHAMPION.format(2))
    server.wait_for("model changed", default=2)
    run = subprocess.run(
        [sys.executable, "-m", "foretell", "models", "rollback", "m", "--store", store],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "m: champion → 1 (was 2)\n"
    server.wait_for("model changed", default=1)
    assert ask(server) == (200, [3.0])


def test_a_rollback_through_a_link_is_followed(server: RunningServer, store: Path) -> None:
    target = store.with_name("m.toml")
    target.write_text(CHAMPION.format(2))
    (store / "m" / ".link").symlink_to(target)
    (store / "m" / ".link").rename(store / "m" / "model.toml")
    server.wait_for("model changed", default=2)
    assert roll_back(store / "m").now == 1
    server.wait_for("model changed", timeout_s=30, default=1)
    assert target.read_text() == CHAMPION.format(1)


# ------------------------------------------------------------------ other ways to run


def test_a_server_that_is_not_to_follow_does_not(store: Path, serve_store: ServeStore) -> None:
    publish(store, 1)
    server = begin(serve_store, store, "store.follow=off", "log.level=debug")
    publish(store, 2)
    assert ask(server, "m/versions/2")[0] == 404
    assert server.stop() == 0
    assert not {"following the store", "version loaded"} & {each["event"] for each in server.events}


def test_requests_that_are_going_on_finish_on_the_version_they_have(
    store: Path, serve_store: ServeStore
) -> None:
    publish(store, 1, model=slow_model_bytes(depth=200))
    publish(store, 2)
    server = begin(serve_store, store)
    row = {"instances": [[1.0] * 256]}

    async def ask_until_it_is_gone(client: httpx.AsyncClient, began: asyncio.Event) -> set[int]:
        found: set[int] = set()
        while 404 not in found:
            answer = await client.post(f"{server.url}/v1/models/m/versions/1:predict", json=row)
            found.add(answer.status_code)
            began.set()
        return found

    async def main() -> set[int]:
        began = asyncio.Event()
        async with httpx.AsyncClient(timeout=60) as client:
            asking = [asyncio.create_task(ask_until_it_is_gone(client, began)) for _ in range(8)]
            await began.wait()
            shutil.rmtree(store / "m" / "1")
            return {status for found in await asyncio.gather(*asking) for status in found}

    assert asyncio.run(main()) == {200, 404}
    server.wait_for("version let go", version=1)
    assert not [each for each in server.events if each["event"] == "request failed"]


def test_the_memory_of_a_version_that_is_let_go_comes_back(store: Path, serve_store: ServeStore) -> None:
    publish(store, 1)
    server = begin(serve_store, store)
    pid = server.process.pid
    publish(store, 2, model=weighty_model_bytes(1.0, 20_000_000))
    server.wait_for("version loaded", version=2)
    shutil.rmtree(store / "m" / "2")
    server.wait_for("version let go", version=2)
    before = resident_bytes(pid)
    publish(store, 3, model=weighty_model_bytes(2.0, 80_000_000))
    server.wait_for("version loaded", version=3)
    assert ask(server, "m/versions/3") == (200, [6.0])
    with_it = resident_bytes(pid)
    shutil.rmtree(store / "m" / "3")
    server.wait_for("version let go", version=3)
    assert with_it > before + 70_000_000
    assert resident_bytes(pid) < before + 20_000_000


def test_models_are_loaded_when_they_are_asked(store: Path, serve_store: ServeStore) -> None:
    for name in ("a", "b", "c"):
        publish(store, 1, name)
    server = begin(serve_store, store, "engine.max_loaded_models=1")
    assert httpx.get(f"{server.url}/health/ready").status_code == 200
    described = told(server, "/v1/models/a")
    assert described["ready"]
    assert described["versions"] == [
        {"version": "1", "ready": False, "reason": "it is not loaded: it is when somebody asks it"}
    ]
    assert described["model_version_status"][0]["state"] == "START"

    async def ask_all() -> list[tuple[int, Any]]:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            asked = [client.post(f"/v1/models/{name}:predict", json=ROW) for name in ["a", "b", "c"] * 20]
            return [(each.status_code, each.json()["predictions"]) for each in await asyncio.gather(*asked)]

    assert asyncio.run(ask_all()) == [(200, [3.0])] * 60
    server.wait_for("version let go")
    publish(store, 2, "a")
    assert ask(server, "a")[0] == 200


def test_counts_of_loads_are_among_the_metrics(store: Path, serve_store: ServeStore) -> None:
    publish(store, 1)
    server = begin(serve_store, store)
    publish(store, 2)
    publish(store, 3, model=BAD)
    server.wait_for("version loaded", version=2)
    server.wait_for("version failed to load", version=3)
    shutil.rmtree(store / "m" / "1")
    server.wait_for("version let go", version=1)
    text = httpx.get(f"{server.url}/metrics").text
    for name in ("loads", "refusals", "releases"):
        assert f"foretell_version_{name}_total 1.0" in text


# ------------------------------------------------------------------ under load


def test_no_request_is_dropped_while_versions_come_and_go(store: Path, serve_store: ServeStore) -> None:
    """`loadtests/reload.py` runs the same for longer."""
    soak = ReloadSoak(store)
    reloads = int(os.environ.get("FORETELL_TEST_RELOADS", "48"))
    soak.fill(reloads)
    server = serve_store(store, *SETTINGS)
    figures = asyncio.run(soak.run(server, reloads=reloads, clients=32))
    assert figures.failed == []
    assert figures.reloads >= reloads
    assert figures.requests > 1000
    assert figures.growth < 1.15
