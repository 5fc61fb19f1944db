"""Which version answers: as aliases stand now, and the default wherever a candidate cannot."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foretell.http.native import native_route
from foretell.plugin import RequestRecord
from foretell_plugins.canary import Canary
from tests.models import linear_model_bytes, write_model_toml, write_version
from tests.plugins.fallback.servers import Server, predicted

Serve = Callable[..., Server]
ALL = {"canary": {"weights": {"candidate": 100}}}


def fill(store: Path, *versions: int, features: int = 2, name: str = "m") -> None:
    for version in versions:
        write_version(store, name, version, linear_model_bytes(features, bias=100.0 * version))


def write_aliases(store: Path, default: int = 1, **aliases: int) -> None:
    lines = "\n".join(f"{name} = {number}" for name, number in aliases.items())
    write_model_toml(store, "m", f"default = {default}\n[aliases]\n{lines}\n")


async def loaded(server: Server) -> Server:
    await server.registry.load()
    return server


async def ask(server: Server, path: str = "m", **headers: str) -> tuple[int, dict[str, str], RequestRecord]:
    """The status, headers and record of one answer."""
    route = native_route(f"/v1/models/{path}:predict", f"/{path}:predict")
    sent = [(b"content-type", b"application/json")]
    sent += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    answer = await predicted(server.core, route, sent, json.dumps({"instances": [[1, 2]]}).encode())
    return answer.status, {name.decode(): value.decode() for name, value in answer.headers}, answer.record


async def version_of(server: Server, path: str = "m", **headers: str) -> str:
    status, answered, _ = await ask(server, path, **headers)
    assert status == 200
    return answered["x-model-version"]


def status(server: Server, version: int = 1) -> dict[str, Any]:
    told: dict[str, Any] = server.plugins.status("m", version).get("canary", {})
    return told


def warnings(server: Server) -> list[str]:
    return [each["reason"] for each in server.events if each["event"] == "canary cannot answer"]


def test_the_candidate_answers_those_who_name_no_version_and_the_answer_says_so(
    store: Path, serve: Serve
) -> None:
    fill(store, 1, 2)
    write_aliases(store, candidate=2)

    async def main() -> None:
        server = await loaded(serve(plugins={"canary": Canary}, models={"m": ALL}))
        _, headers, record = await ask(server)
        assert (headers["x-model-version"], headers["x-foretell-canary"]) == ("2", "candidate")
        assert (record.version, record.status) == (2, 200)
        for path in ("m/versions/1", "m/versions/2", "m/labels/candidate"):
            _, headers, _ = await ask(server, path)
            assert "x-foretell-canary" not in headers
        assert await version_of(server, "m/versions/1") == "1"
        assert server.faults.errors == {}

    asyncio.run(main())


def test_each_version_answers_its_part(store: Path, serve: Serve) -> None:
    fill(store, 1, 2, 3)
    write_model_toml(
        store,
        "m",
        'default = 1\naliases.candidate = 2\n[plugins.canary]\nkey = "header:x-user"\n'
        'weights = {candidate = 20, "3" = 10}\n',
    )

    async def main() -> None:
        server = await loaded(serve(plugins={"canary": Canary}))
        found = {f"user-{number}": await version_of(server, x_user=f"user-{number}") for number in range(400)}
        again = {name: await version_of(server, x_user=name) for name in list(found)[:50]}
        assert again.items() <= found.items()
        counts = Counter(found.values())
        assert 50 < counts["2"] < 110
        assert 15 < counts["3"] < 70
        assert counts["1"] == 400 - counts["2"] - counts["3"]

    asyncio.run(main())


def test_an_alias_that_moves_is_followed_at_once(store: Path, serve: Serve) -> None:
    fill(store, 1, 2, 3)
    write_aliases(store, candidate=2)

    async def main() -> None:
        server = await loaded(serve(plugins={"canary": Canary}, models={"m": ALL}))
        assert await version_of(server) == "2"
        server.registry.models["m"].config.aliases["candidate"] = 3
        assert await version_of(server) == "3"
        server.registry.models["m"].config.aliases["candidate"] = 1
        _, headers, _ = await ask(server)
        assert headers["x-model-version"] == "1"
        assert "x-foretell-canary" not in headers
        assert warnings(server) == []

    asyncio.run(main())


def test_where_an_alias_is_missing_the_default_answers_and_one_warning_says_so(
    store: Path, serve: Serve
) -> None:
    fill(store, 1, 2)
    write_aliases(store, champion=1)

    async def main() -> None:
        server = await loaded(serve(plugins={"canary": Canary}, models={"m": ALL}))
        reason = "m has no alias 'candidate', or its version does not serve; see GET /v1/models/m"
        assert warnings(server) == [reason]
        assert [await version_of(server) for _ in range(3)] == ["1"] * 3
        assert warnings(server) == [reason]
        assert status(server)["weights"]["candidate"] == {"percent": 100, "problem": reason}
        server.registry.models["m"].config.aliases["candidate"] = 2
        assert await version_of(server) == "2"
        del server.registry.models["m"].config.aliases["candidate"]
        assert await version_of(server) == "1"
        assert warnings(server) == [reason, reason]

    asyncio.run(main())


def test_where_its_version_does_not_serve_the_default_answers(store: Path, serve: Serve) -> None:
    fill(store, 1, 2)
    (store / "m" / "2" / "model.onnx").write_bytes(b"damaged")
    write_aliases(store, candidate=2)
    weights = {"weights": {"candidate": 50, "2": 40, "9": 10}}

    async def main() -> None:
        server = await loaded(serve(plugins={"canary": Canary}, models={"m": {"canary": weights}}))
        assert {await version_of(server) for _ in range(20)} == {"1"}
        assert sorted(warnings(server)) == [
            "m has no alias 'candidate', or its version does not serve; see GET /v1/models/m",
            "m version 2 does not serve; see GET /v1/models/m",
            "m version 9 does not serve; see GET /v1/models/m",
        ]

    asyncio.run(main())


def test_a_version_that_takes_something_else_gets_nobody(store: Path, serve: Serve) -> None:
    fill(store, 1)
    fill(store, 2, features=3)
    write_aliases(store, candidate=2)

    async def main() -> None:
        server = await loaded(serve(plugins={"canary": Canary}, models={"m": ALL}))
        assert await version_of(server) == "1"
        (reason,) = warnings(server)
        assert reason == (
            "m version 2 is not like m version 1: it takes the input 'X' as float32[batch, 3], this model takes "
            "'X' as float32[batch, 2]"
        )
        assert server.registry.models["m"].failures == {}

    asyncio.run(main())


def test_the_status_of_the_default_tells_the_weights_and_what_they_mean_now(
    store: Path, serve: Serve
) -> None:
    fill(store, 1, 2, 3)
    write_aliases(store, candidate=2)
    config = {"weights": {"candidate": 5, "3": 1}, "key": "header:x-user"}

    async def main() -> None:
        server = await loaded(serve(plugins={"canary": Canary}, models={"m": {"canary": config}}))
        told = {
            "by": "header:x-user",
            "weights": {"3": {"percent": 1, "version": 3}, "candidate": {"percent": 5, "version": 2}},
        }
        assert status(server) == told
        assert status(server, 2) == {}
        assert server.describe("m")["versions"][0]["plugins"]["canary"] == told
        server.registry.models["m"].config.aliases["candidate"] = 3
        assert status(server)["weights"]["candidate"]["version"] == 3

    asyncio.run(main())


def test_a_model_without_weights_is_left_alone(store: Path, serve: Serve) -> None:
    fill(store, 1, 2)

    async def main() -> None:
        server = await loaded(serve(plugins={"canary": Canary}))
        assert await version_of(server) == "2"
        assert status(server, 2) == {}

    asyncio.run(main())


def test_for_a_default_that_does_not_serve_the_candidate_still_answers_its_part(
    store: Path, serve: Serve
) -> None:
    fill(store, 1, 2)
    (store / "m" / "1" / "model.onnx").write_bytes(b"damaged")
    write_aliases(store, candidate=2)
    plugins = {**ALL, "fallback": ["version:2"]}

    async def main() -> None:
        server = await loaded(serve(plugins={"canary": Canary}, models={"m": plugins}))
        status, headers, record = await ask(server)
        assert (status, headers["x-model-version"], record.degraded) == (200, "2", None)

    asyncio.run(main())


@pytest.mark.parametrize("weights", ["{candidate = 101}", "{a = 60, b = 60}"])
def test_weights_that_cannot_be_keep_the_model_from_serving(weights: str, store: Path, serve: Serve) -> None:
    fill(store, 1)
    write_model_toml(store, "m", f"plugins.canary.weights = {weights}\n")

    async def main() -> None:
        server = await loaded(serve(plugins={"canary": Canary}))
        assert "m/model.toml: plugins.canary: " in server.registry.models["m"].failures[1]

    asyncio.run(main())
