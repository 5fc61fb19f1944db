"""A chain that cannot work is found when the models are loaded; one whose model cannot is what it is for."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from foretell.errors import RunError
from foretell.plugin import PredictRequest, PredictResponse
from foretell.signature import Signature, Tensor
from foretell_plugins.fallback import Config, Fallback
from tests.models import (
    classifier_bytes,
    identity_bytes,
    linear_model_bytes,
    make_manifest,
    write_model_toml,
    write_version,
)
from tests.plugin.chains import ask, info
from tests.plugins.fallback.servers import Server

Serve = Callable[..., Server]
ROW = [[1.0, 2.0]]
PREVIOUS = 'plugins.fallback = ["version:previous"]\n'


def fill(store: Path, *versions: int, name: str = "m", features: int = 2) -> None:
    for version in versions:
        write_version(store, name, version, linear_model_bytes(features, bias=100.0 * version))


async def crash(request: PredictRequest) -> PredictResponse:
    raise RunError("broken")


def damage(store: Path, version: int, name: str = "m") -> None:
    (store / name / str(version) / "model.onnx").write_bytes(b"damaged")


async def loaded(server: Server) -> Server:
    await server.registry.load()
    return server


def refusals(server: Server, model: str = "m") -> dict[int, str]:
    return server.registry.models[model].failures


@pytest.mark.parametrize("first", [True, False], ids=["loaded before", "loaded after"])
def test_another_signature_refuses_the_version_and_names_the_remedy(
    first: bool, store: Path, serve: Serve
) -> None:
    other = "a" if first else "z"
    fill(store, 1)
    fill(store, 1, name=other, features=3)
    write_model_toml(store, "m", f'plugins.fallback = ["model:{other}"]')

    async def main() -> None:
        server = await loaded(serve())
        (reason,) = refusals(server).values()
        assert reason == (
            f"plugin 'fallback': {other} version 1 cannot stand in: it takes the input 'X' as float32[batch, 3], "
            f"this model takes 'X' as float32[batch, 2]. Give a mapping ({{model = '{other}', inputs = {{theirs = "
            "'ours'}, outputs = {ours = 'theirs'}}), or take it out: plugins.fallback in m/model.toml, or in foretell.toml"
        )
        assert not server.registry.models["m"].ready
        assert (await server.ask_rows("m", ROW)).status == 503
        assert (await server.ask_rows(other, [[1.0, 2.0, 3.0]])).status == 200

    asyncio.run(main())


def test_the_version_before_it_with_another_signature_refuses_only_the_one_that_names_it(
    store: Path, serve: Serve
) -> None:
    fill(store, 1, features=3)
    fill(store, 2, 3)
    write_model_toml(store, "m", PREVIOUS)

    async def main() -> None:
        server = await loaded(serve())
        assert list(refusals(server)) == [2]
        assert (await server.ask_rows("m", ROW)).body["model_version"] == "3"
        # Version 2 was refused, so that what now stands before 3 is 1, which cannot stand in for it.
        assert server.status("m", 3)["chain"] == []
        assert "cannot stand in" in server.status("m", 3)["unusable"]["version:previous"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("{Y = 1.0, Z = 2}", "the value of 'Z' is not an output"),
        ('{Y = "high"}', "'high' is no float32"),
        ("{Y = [1.0, 2.0]}", "has the shape [2]"),
    ],
    ids=["name", "type", "shape"],
)
def test_a_value_that_the_model_never_gives_refuses_the_version(
    value: str, reason: str, store: Path, serve: Serve
) -> None:
    fill(store, 1)
    write_model_toml(store, "m", f"plugins.fallback = [{{value = {value}}}]")

    async def main() -> None:
        server = await loaded(serve())
        assert reason in refusals(server)[1]
        assert (
            "Correct it in plugins.fallback in m/model.toml, or in foretell.toml, or take it out"
            in refusals(server)[1]
        )

    asyncio.run(main())


def test_other_classes_refuse_the_version(store: Path, serve: Serve) -> None:
    def signature(classes: tuple[str, ...]) -> Signature:
        return Signature(
            (Tensor("X", "float32", ("batch", 4)),),
            (Tensor("label", "string", ("batch",)), Tensor("probabilities", "float32", ("batch", 2))),
            task="classification",
            classes=classes,
            prediction="label",
            probabilities="probabilities",
        )

    for number, classes in ((1, ("a", "b")), (2, ("a", "c"))):
        model = classifier_bytes(classes)
        write_version(store, "m", number, model, make_manifest(model, signature(classes)))
    write_model_toml(store, "m", PREVIOUS)

    async def main() -> None:
        server = await loaded(serve())
        assert "its classes are ['a', 'b'], this model's are ['a', 'c']" in refusals(server)[2]

    asyncio.run(main())


def test_models_that_fall_back_on_each_other_are_refused(store: Path, serve: Serve) -> None:
    for name, other in (("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")):
        fill(store, 1, name=name)
        write_model_toml(store, name, f'plugins.fallback = ["model:{other}"]')

    async def main() -> None:
        server = await loaded(serve())
        assert "go in a circle: a → b → c → a" in refusals(server, "a")[1]
        assert "go in a circle: b → c → a → b" in refusals(server, "b")[1]
        assert refusals(server, "d") == {}

    asyncio.run(main())


def test_versions_of_one_model_may_stand_in_for_each_other(store: Path, serve: Serve) -> None:
    fill(store, 1, 2)
    write_model_toml(store, "m", 'plugins.fallback = ["version:1", "version:2"]')

    async def main() -> None:
        server = await loaded(serve())
        assert refusals(server) == {}
        assert (server.status("m", 1)["chain"], server.status("m", 2)["chain"]) == (["m/2"], ["m/1"])
        assert not [event for event in server.events if event["event"] == "fallback target absent"]

    asyncio.run(main())


def test_a_target_that_is_not_there_is_told_of_and_stops_nothing(store: Path, serve: Serve) -> None:
    fill(store, 1)
    write_model_toml(store, "m", 'plugins.fallback = ["model:nothing", {value = {Y = 0}}]')

    async def main() -> None:
        server = await loaded(serve())
        assert server.registry.ready
        assert server.status("m", 1) == {
            "breaker": "closed",
            "chain": ["value"],
            "unusable": {"model:nothing": "it is not loaded"},
        }
        (event,) = [event for event in server.events if event["event"] == "fallback target absent"]
        assert (event["model"], event["target"]) == ("m", "model:nothing")

    asyncio.run(main())


def test_a_target_that_changes_later_is_left_out_and_takes_no_model_down(store: Path, serve: Serve) -> None:
    fill(store, 1)
    fill(store, 1, name="small")
    write_model_toml(store, "m", 'plugins.fallback = ["model:small", {value = {Y = 0}}]')

    async def main() -> None:
        server = await loaded(serve())
        assert server.status("m", 1)["chain"] == ["small/1", "value"]
        fill(store, 2, name="small", features=3)
        await server.registry.load(only="small")
        assert refusals(server) == {}
        assert server.status("m", 1)["chain"] == ["value"]
        assert "small version 2 cannot stand in" in server.status("m", 1)["unusable"]["model:small"]
        info = server.registry.default("m").info
        response_to = server.plugins.compose(info, crash, server.registry.models["m"].config.plugins).predict
        request = ask([1, 2])
        assert (await response_to(request)).served_by == "value"
        outcomes = [step.attributes for step in request.record.steps or []]
        assert {"target": "small/2", "outcome": "unlike"} in outcomes

    asyncio.run(main())


def test_a_damaged_version_is_answered_for_and_is_still_not_ready(store: Path, serve: Serve) -> None:
    fill(store, 1, 2)
    damage(store, 2)
    write_model_toml(
        store, "m", 'default = "live"\nplugins.fallback = ["version:previous"]\n[aliases]\nlive = 2\n'
    )

    async def main() -> None:
        server = await loaded(serve())
        for path in ("m", "m/versions/2", "m/labels/live"):
            answer = await server.ask_rows(path, ROW)
            assert (answer.status, answer.body["predictions"]) == (200, [103.0])
            assert (answer.body["served_by"], answer.headers["x-foretell-degraded"]) == ("m/1", "not-ready")
        assert not server.registry.ready
        described = server.describe("m")
        assert (described["ready"], described["default_version"]) == (False, None)
        version = described["versions"][1]
        assert (version["version"], version["ready"]) == ("2", False)
        assert "not the file that was published" in version["reason"]
        assert version["plugins"] == {"fallback": {"breaker": "closed", "chain": ["m/1"]}}

    asyncio.run(main())


def test_requests_of_a_damaged_version_are_read_by_its_own_signature(store: Path, serve: Serve) -> None:
    fill(store, 2)
    damage(store, 2)
    write_model_toml(store, "m", "plugins.fallback = [{value = {Y = 7}}]")

    async def main() -> None:
        server = await loaded(serve())
        assert (await server.ask_rows("m", ROW)).body["predictions"] == [7.0]
        wrong = await server.ask_rows("m", [[1.0]])
        assert wrong.status == 422
        assert "x-foretell-degraded" not in wrong.headers

    asyncio.run(main())


def test_without_a_chain_a_damaged_version_is_a_503(store: Path, serve: Serve) -> None:
    fill(store, 1)
    damage(store, 1)

    async def main() -> None:
        server = await loaded(serve())
        assert (await server.ask_rows("m", ROW)).status == 503
        assert (await server.ask_rows("m/versions/1", ROW)).status == 503

    asyncio.run(main())


def test_a_version_that_is_named_and_absent_is_answered_for(store: Path, serve: Serve) -> None:
    fill(store, 1)
    write_model_toml(store, "m", f"default = 2\n{PREVIOUS}")

    async def main() -> None:
        server = await loaded(serve())
        answer = await server.ask_rows("m", ROW)
        assert (answer.body["served_by"], answer.headers["x-foretell-degraded"]) == ("m/1", "not-ready")
        assert refusals(server) == {2: "it is absent from the store"}
        assert (await server.ask_rows("m/versions/3", ROW)).status == 404

    asyncio.run(main())


def test_a_bare_version_that_is_damaged_later_is_read_by_what_was_known_of_it(
    store: Path, serve: Serve
) -> None:
    write_version(store, "m", 1, linear_model_bytes(), manifest=False)
    write_model_toml(store, "m", "plugins.fallback = [{value = {Y = 7}}]")

    async def main() -> None:
        server = await loaded(serve())
        damage(store, 1)
        await server.registry.load()
        assert (await server.ask_rows("m", ROW)).body["predictions"] == [7.0]

    asyncio.run(main())


def test_a_bare_version_that_never_loaded_cannot_be_answered_for(store: Path, serve: Serve) -> None:
    write_version(store, "m", 1, b"damaged", manifest=False)
    write_model_toml(store, "m", "plugins.fallback = [{value = {Y = 7}}]")

    async def main() -> None:
        server = await loaded(serve())
        assert (await server.ask_rows("m", ROW)).status == 503

    asyncio.run(main())


@pytest.mark.parametrize("loss", ["model file", "version", "manifest"])
def test_a_version_that_is_removed_is_answered_for_until_it_is_back(
    loss: str, store: Path, serve: Serve, tmp_path: Path
) -> None:
    fill(store, 1, 2)
    write_model_toml(store, "m", f"default = 2\n{PREVIOUS}")
    rules: dict[str, Any] = {"chain": ["version:previous"], "minimum": 3, "open_s": 1000}

    async def main() -> None:
        server = await loaded(serve(models={"m": {"fallback": rules}}))
        assert "degraded" not in (await server.ask_rows("m", ROW)).body
        shutil.copytree(store / "m" / "2", tmp_path / "kept")
        if loss == "version":
            shutil.rmtree(store / "m" / "2")
        elif loss == "model file":
            (store / "m" / "2" / "model.onnx").unlink()
        else:
            (store / "m" / "2" / "manifest.json").write_text("{")
        await server.registry.load()
        answers = [await server.ask_rows("m", ROW) for _ in range(5)]
        assert [answer.headers["x-foretell-degraded"] for answer in answers] == ["not-ready"] * 3 + [
            "breaker"
        ] * 2
        assert {answer.body["served_by"] for answer in answers} == {"m/1"}
        assert all(answer.record.finished_ns <= answer.record.deadline_ns for answer in answers)
        assert server.status("m", 2)["breaker"] == "open"
        shutil.copytree(tmp_path / "kept", store / "m" / "2", dirs_exist_ok=True)
        await server.registry.load()
        answer = await server.ask_rows("m", ROW)
        assert (answer.body["predictions"], "degraded" in answer.body) == ([203.0], False)
        assert server.status("m", 2)["breaker"] == "closed"
        assert server.registry.ready

    asyncio.run(main())


def test_breakers_of_versions_that_are_gone_are_forgotten(store: Path, serve: Serve) -> None:
    fill(store, 1, 2)
    write_model_toml(store, "m", PREVIOUS)

    async def main() -> None:
        server = await loaded(serve())
        assert list(server.fallback.breaker_states()) == [("m", 1), ("m", 2)]
        shutil.rmtree(store / "m" / "2")
        await server.registry.load()
        assert list(server.fallback.breaker_states()) == [("m", 1)]

    asyncio.run(main())


def test_a_mistake_in_model_toml_refuses_its_versions_and_no_others(store: Path, serve: Serve) -> None:
    fill(store, 1)
    fill(store, 1, name="other")
    write_model_toml(store, "m", 'plugins.fallback = ["previous"]')

    async def main() -> None:
        server = await loaded(serve())
        assert "m/model.toml: plugins.fallback" in refusals(server)[1]
        assert "'previous' is no target" in refusals(server)[1]
        assert (await server.ask_rows("other", ROW)).status == 200

    asyncio.run(main())


def test_a_model_of_another_type_is_no_stand_in(store: Path, serve: Serve) -> None:
    write_version(store, "m", 1, identity_bytes("float32"))
    write_version(store, "m", 2, identity_bytes("float64"))
    write_model_toml(store, "m", PREVIOUS)

    async def main() -> None:
        server = await loaded(serve())
        assert "float32[batch, 2], this model takes 'X' as float64[batch, 2]" in refusals(server)[2]

    asyncio.run(main())


def test_what_a_chain_comes_to_can_be_asked_without_a_running_server(store: Path, serve: Serve) -> None:
    """As `foretell plugins chain` does: a host that has models and a log, and nothing else; no event loop."""
    fill(store, 1, 2)
    fill(store, 1, name="wide", features=3)
    others = ["version:previous", "model:wide", "model:nothing"]
    server = serve(models={"m": {"fallback": [*others, {"value": {"Y": 0}}]}})
    asyncio.run(server.registry.load(only="wide"))
    asyncio.run(server.registry.load(only="m"))
    said: list[dict[str, Any]] = []

    class Log:
        def warning(self, event: str, **more: Any) -> None:
            said.append({"event": event, **more})

    assert server.fallback._host is not None
    host = SimpleNamespace(models=server.fallback._host.models, log=Log())
    plugin = Fallback(Config(chain=server.fallback.config_for("m").chain))
    plugin.on_start(cast("Any", host))
    infos = [info(version=number) for number in (1, 2)]
    kept = [plugin.wrap_predict(crash, each) for each in infos]
    reasons = plugin.on_models(infos)
    assert {key: "wide version 1 cannot stand in" in reason for key, reason in reasons.items()} == {
        ("m", 1): True,
        ("m", 2): True,
    }
    assert [each["target"] for each in said] == ["model:nothing"] * 2
    told = plugin.status("m", 2)
    assert told is not None
    assert told["chain"] == ["value"]
    assert set(told["unusable"]) == {"model:wide", "model:nothing"}
    assert len(kept) == 2
