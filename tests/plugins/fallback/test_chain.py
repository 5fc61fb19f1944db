"""Where a model cannot answer, the first of its chain that can does, in time, and says so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from foretell.errors import (
    AccessDeniedError,
    DeadlineError,
    InvalidInputError,
    NotReadyError,
    PluginError,
    Problem,
    QuotaExceededError,
    RunError,
)
from foretell.plugin import ModelInfo, NoConfig, Plugin, Predict, PredictRequest, PredictResponse, Stage
from foretell.signature import Signature, Tensor
from foretell_plugins.fallback import Config, Fallback, TargetConfig
from tests.models import linear_model_bytes, two_input_bytes, write_model_toml, write_version
from tests.plugin.chains import Engine, ask, chain_of, loaded
from tests.plugins.fallback.servers import Server

Serve = Callable[..., Server]
ROW = [[1.0, 2.0]]
VALUE = {"value": {"Y": [-1.0]}}


class Trouble(Plugin[NoConfig]):
    """Stands right around each version, and does to it what a test says."""

    stage: ClassVar[Stage] = Stage.CACHE
    done: ClassVar[dict[str, Callable[[], Awaitable[None]]]]
    asked: ClassVar[list[str]]

    def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
        name = f"{model.name}/{model.version}"
        kind = type(self)

        async def predict(request: PredictRequest) -> PredictResponse:
            kind.asked.append(name)
            if name in kind.done:
                await kind.done[name]()
            return await call_next(request)

        return predict


def trouble() -> type[Trouble]:
    class Own(Trouble):
        done: ClassVar[dict[str, Callable[[], Awaitable[None]]]] = {}
        asked: ClassVar[list[str]] = []

    return Own


def raising(error: BaseException) -> Callable[[], Awaitable[None]]:
    async def fail() -> None:
        raise error

    return fail


def waiting(waits: asyncio.Event | None = None) -> Callable[[], Awaitable[None]]:
    async def wait() -> None:
        await (waits or asyncio.Event()).wait()

    return wait


def fill(store: Path, *versions: int, name: str = "m", features: int = 2) -> None:
    """Versions that answer with the sum of a row and a hundred times their number."""
    for version in versions:
        write_version(store, name, version, linear_model_bytes(features, bias=100.0 * version))


async def load(server: Server) -> Server:
    await server.registry.load()
    return server


FAILURES = {
    "error": RunError("broken"),
    "deadline": DeadlineError("too late"),
    "not ready": NotReadyError("not now"),
}
REASONS = {"error": "error", "deadline": "timeout", "not ready": "not-ready"}


@pytest.mark.parametrize("failure", FAILURES)
def test_the_previous_version_answers_and_the_answer_says_so(failure: str, store: Path, serve: Serve) -> None:
    fill(store, 1, 3, 7)
    write_model_toml(store, "m", 'plugins.fallback = ["version:previous"]')
    bad = trouble()
    bad.done["m/7"] = raising(FAILURES[failure])

    async def main() -> None:
        server = await load(serve(plugins={"trouble": bad}))
        answer = await server.ask_rows("m", ROW)
        assert answer.status == 200
        assert answer.body["predictions"] == [303.0]
        assert (answer.body["degraded"], answer.body["served_by"]) == (True, "m/3")
        assert (answer.body["model_name"], answer.body["model_version"]) == ("m", "3")
        assert answer.headers["x-foretell-degraded"] == REASONS[failure]
        assert answer.headers["x-model-version"] == "3"
        assert (answer.record.degraded, answer.record.served_by) == (REASONS[failure], "m/3")
        assert (answer.record.model, answer.record.version) == ("m", 7)
        assert answer.steps == [("m/7", REASONS[failure]), ("m/3", "ok")]

    asyncio.run(main())


def test_an_error_that_nobody_foresaw_is_the_models_too(store: Path, serve: Serve) -> None:
    async def crash(request: PredictRequest) -> PredictResponse:
        raise ZeroDivisionError("broken")

    fill(store, 1)

    async def main() -> None:
        server = await load(serve(models={"m": {"fallback": [VALUE]}}))
        info = server.registry.default("m").info
        response = await server.plugins.compose(info, crash, {}).predict(ask([1, 2]))
        assert (response.degraded, response.served_by) == ("error", "value")

    asyncio.run(main())


def test_an_answer_of_the_model_itself_is_an_ordinary_one(store: Path, serve: Serve) -> None:
    fill(store, 1, 2)
    write_model_toml(store, "m", 'plugins.fallback = ["version:previous"]')

    async def main() -> None:
        server = await load(serve())
        answer = await server.ask_rows("m", ROW)
        assert answer.body["predictions"] == [203.0]
        assert "degraded" not in answer.body
        assert "x-foretell-degraded" not in answer.headers
        assert answer.steps == []

    asyncio.run(main())


def test_the_chain_is_gone_through_in_its_order_until_something_answers(store: Path, serve: Serve) -> None:
    fill(store, 1, 2, 3)
    fill(store, 4, 5, name="other")
    write_model_toml(store, "other", "[aliases]\nstable = 4\n")
    bad = trouble()
    targets = ["version:previous", "version:1", "model:other", "model:other/stable", VALUE]

    async def main() -> None:
        server = await load(
            serve(plugins={"trouble": bad}, models={"m": {"fallback": {"chain": targets, "minimum": 100}}})
        )
        for expected, broken in (
            (203.0, "m/3"),
            (103.0, "m/2"),
            (503.0, "m/1"),
            (403.0, "other/5"),
            (-1.0, "other/4"),
        ):
            bad.done[broken] = raising(RunError("broken"))
            answer = await server.ask_rows("m", ROW)
            assert answer.body["predictions"] == [expected]
        answer = await server.ask_rows("m", ROW)
        assert answer.body["served_by"] == "value"
        assert answer.body["model_version"] == "3"
        assert answer.steps == [
            ("m/3", "error"),
            ("m/2", "error"),
            ("m/1", "error"),
            ("other/5", "error"),
            ("other/4", "error"),
            ("value", "ok"),
        ]

    asyncio.run(main())


def test_a_value_answers_every_row_in_both_forms(store: Path, serve: Serve) -> None:
    fill(store, 1)
    bad = trouble()
    bad.done["m/1"] = raising(RunError("broken"))

    async def main() -> None:
        server = await load(serve(plugins={"trouble": bad}, models={"m": {"fallback": [VALUE]}}))
        rows = await server.ask_rows("m", [[1.0, 2.0], [3.0, 4.0]])
        assert rows.body["predictions"] == [-1.0, -1.0]
        columns = await server.ask("m", {"inputs": [[1.0, 2.0], [3.0, 4.0]]})
        assert columns.body["outputs"] == {"Y": [[-1.0], [-1.0]]}
        assert columns.body["served_by"] == "value"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidInputError(Problem("$", "no")), 422),
        (QuotaExceededError("enough"), 429),
        (AccessDeniedError("not you"), 403),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_caller_must_mend_never_falls_back(
    error: Exception, status: int, store: Path, serve: Serve
) -> None:
    fill(store, 1, 2)
    bad = trouble()
    bad.done["m/2"] = raising(error)

    async def main() -> None:
        models = {"m": {"fallback": {"chain": ["version:previous", VALUE], "minimum": 1}}}
        server = await load(serve(plugins={"trouble": bad}, models=models))
        answers = [await server.ask_rows("m", ROW) for _ in range(3)]
        assert {answer.status for answer in answers} == {status}
        assert server.status("m", 2)["breaker"] == "closed"
        assert bad.asked == ["m/2"] * 3

    asyncio.run(main())


def test_when_everything_fails_the_caller_gets_the_models_own_error(store: Path, serve: Serve) -> None:
    fill(store, 1, 2)
    bad = trouble()
    bad.done |= {"m/2": raising(NotReadyError("the model's own words")), "m/1": raising(RunError("another"))}

    async def main() -> None:
        models = {"m": {"fallback": ["version:previous"]}}
        server = await load(serve(plugins={"trouble": bad}, models=models))
        answer = await server.ask_rows("m", ROW)
        assert (answer.status, answer.body["detail"]) == (503, "the model's own words")
        assert "x-foretell-degraded" not in answer.headers
        assert answer.steps == [("m/2", "not-ready"), ("m/1", "error")]
        assert not server.faults.errors

    asyncio.run(main())


def test_a_model_that_hangs_is_given_up_and_the_rest_of_the_chain_still_has_time(
    store: Path, serve: Serve
) -> None:
    fill(store, 1, 2, 3)
    bad = trouble()
    bad.done |= dict.fromkeys(("m/3", "m/2"), waiting())

    async def main() -> None:
        models = {"m": {"fallback": ["version:2", "version:1"]}}
        server = await load(serve(plugins={"trouble": bad}, models=models, deadline_s=0.4))
        answer = await server.ask_rows("m", ROW)
        assert answer.body["predictions"] == [103.0]
        assert answer.headers["x-foretell-degraded"] == "timeout"
        assert answer.steps == [("m/3", "timeout"), ("m/2", "timeout"), ("m/1", "ok")]
        assert answer.record.finished_ns <= answer.record.deadline_ns

    asyncio.run(main())


def test_a_value_is_given_within_the_deadline_even_if_everything_hangs(store: Path, serve: Serve) -> None:
    fill(store, 1, 2)
    bad = trouble()
    bad.done |= dict.fromkeys(("m/2", "m/1"), waiting())

    async def main() -> None:
        models = {"m": {"fallback": ["version:1", VALUE]}}
        server = await load(serve(plugins={"trouble": bad}, models=models, deadline_s=0.4))
        answer = await server.ask_rows("m", ROW)
        assert answer.body["served_by"] == "value"
        assert answer.record.finished_ns <= answer.record.deadline_ns

    asyncio.run(main())


def test_each_attempt_may_take_as_long_as_the_team_says(store: Path, serve: Serve) -> None:
    fill(store, 1, 2)
    bad = trouble()
    bad.done |= dict.fromkeys(("m/2", "m/1"), waiting())

    async def main() -> None:
        chain = [{"version": "previous", "give_up_s": 0.02}, VALUE]
        models = {"m": {"fallback": {"chain": chain, "give_up_s": 0.01}}}
        server = await load(serve(plugins={"trouble": bad}, models=models))
        answer = await server.ask_rows("m", ROW)
        assert answer.steps == [("m/2", "timeout"), ("m/1", "timeout"), ("value", "ok")]
        steps = answer.record.steps or []
        assert steps[1].ended_ns - steps[1].started_ns >= 20_000_000

    asyncio.run(main())


def test_runs_that_hang_open_the_breaker_which_then_answers_at_once(store: Path, serve: Serve) -> None:
    fill(store, 1, 2)
    bad = trouble()

    async def main() -> None:
        rules = {"chain": ["version:previous"], "give_up_s": 0.02, "max_given_up": 3, "open_s": 1000}
        server = await load(serve(plugins={"trouble": bad}, models={"m": {"fallback": rules}}))
        for _ in range(50):
            assert "degraded" not in (await server.ask_rows("m", ROW)).body
        bad.done["m/2"] = waiting()
        for _ in range(3):
            assert (await server.ask_rows("m", ROW)).headers["x-foretell-degraded"] == "timeout"
        bad.asked.clear()
        answers = await server.ask_often("m", [ROW] * 20)
        assert {answer.headers["x-foretell-degraded"] for answer in answers} == {"breaker"}
        assert bad.asked == ["m/1"] * 20
        assert server.status("m", 2) == {"breaker": "open", "chain": ["m/1"]}
        assert server.fallback.breaker_states()["m", 2] == "open"

    asyncio.run(main())


def test_after_recovery_one_probe_closes_the_breaker_while_others_fall_back(
    store: Path, serve: Serve
) -> None:
    fill(store, 1, 2)
    bad = trouble()

    async def main() -> None:
        rules = {"chain": ["version:previous"], "minimum": 2, "open_s": 0.001}
        server = await load(serve(plugins={"trouble": bad}, models={"m": {"fallback": rules}}))
        bad.done["m/2"] = raising(RunError("broken"))
        for _ in range(2):
            await server.ask_rows("m", ROW)
        await asyncio.sleep(0.002)
        assert server.status("m", 2)["breaker"] == "half-open"
        go = asyncio.Event()
        bad.done["m/2"] = waiting(go)
        probe = asyncio.create_task(server.ask_rows("m", ROW))
        await asyncio.sleep(0)
        others = await server.ask_often("m", [ROW] * 5)
        assert {answer.headers.get("x-foretell-degraded") for answer in others} == {"breaker"}
        go.set()
        assert "degraded" not in (await probe).body
        assert server.status("m", 2)["breaker"] == "closed"
        assert "degraded" not in (await server.ask_rows("m", ROW)).body
        changes = [event["state"] for event in server.events if event["event"] == "breaker"]
        assert changes == ["open", "half-open", "closed"]

    asyncio.run(main())


def test_a_caller_who_goes_away_during_a_probe_makes_room_for_another(store: Path, serve: Serve) -> None:
    fill(store, 1, 2)
    bad = trouble()

    async def main() -> None:
        rules = {"chain": ["version:previous"], "minimum": 1, "open_s": 0.001}
        server = await load(serve(plugins={"trouble": bad}, models={"m": {"fallback": rules}}))
        bad.done["m/2"] = raising(RunError("broken"))
        await server.ask_rows("m", ROW)
        await asyncio.sleep(0.002)
        bad.done["m/2"] = waiting()
        probe = asyncio.create_task(server.ask_rows("m", ROW))
        await asyncio.sleep(0)
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        del bad.done["m/2"]
        assert "degraded" not in (await server.ask_rows("m", ROW)).body
        assert server.status("m", 2)["breaker"] == "closed"

    asyncio.run(main())


def test_what_is_asked_in_place_has_a_breaker_too(store: Path, serve: Serve) -> None:
    fill(store, 1, 2)
    bad = trouble()
    bad.done |= dict.fromkeys(("m/2", "m/1"), raising(RunError("broken")))

    async def main() -> None:
        rules = {"chain": ["version:previous", VALUE], "minimum": 3, "open_s": 1000}
        server = await load(serve(plugins={"trouble": bad}, models={"m": {"fallback": rules}}))
        for _ in range(3):
            await server.ask_rows("m", ROW)
        bad.asked.clear()
        answer = await server.ask_rows("m", ROW)
        assert answer.steps == [("m/1", "breaker"), ("value", "ok")]
        assert bad.asked == []
        # Version 1, asked by its own name, has the same breaker.
        direct = await server.ask_rows("m/versions/1", ROW)
        assert direct.steps == [("version:previous", "absent"), ("value", "ok")]

    asyncio.run(main())


def test_with_the_breaker_open_and_nothing_that_answers_the_model_is_not_ready(
    store: Path, serve: Serve
) -> None:
    fill(store, 1, 2)
    bad = trouble()
    bad.done |= dict.fromkeys(("m/2", "m/1"), raising(RunError("broken")))

    async def main() -> None:
        rules = {"chain": ["version:previous"], "minimum": 1, "open_s": 1000}
        server = await load(serve(plugins={"trouble": bad}, models={"m": {"fallback": rules}}))
        assert (await server.ask_rows("m", ROW)).status == 500
        answer = await server.ask_rows("m", ROW)
        assert answer.status == 503
        assert "m version 2 is not asked for now" in answer.body["detail"]
        assert answer.headers["retry-after"] == "1"
        assert not server.faults.errors

    asyncio.run(main())


def test_a_mapping_of_names_is_followed_there_and_back(store: Path, serve: Serve) -> None:
    fill(store, 1, features=1)
    write_version(store, "cosine", 1, two_input_bytes())
    bad = trouble()
    bad.done["m/1"] = raising(RunError("broken"))
    chain = [{"model": "cosine", "inputs": {"A": "X", "B": "X"}, "outputs": {"Y": "Y"}}]

    async def main() -> None:
        server = await load(serve(plugins={"trouble": bad}, models={"m": {"fallback": {"chain": chain}}}))
        answer = await server.ask_rows("m", [[0.0]])
        assert answer.body["predictions"] == [1.0]
        assert answer.body["served_by"] == "cosine/1"

    asyncio.run(main())


def test_a_model_without_a_chain_is_not_wrapped(store: Path, serve: Serve) -> None:
    fill(store, 1)

    async def main() -> None:
        server = await load(serve())
        (link,) = server.registry.default("m").chain.links
        assert link.why_not == "it has no chain: set plugins.fallback in its model.toml"
        assert server.status("m", 1) == {}
        assert "plugins" not in server.describe("m")["versions"][0]

    asyncio.run(main())


def test_a_chain_for_all_models_can_be_switched_off_for_one(store: Path, serve: Serve) -> None:
    fill(store, 1, 2)
    fill(store, 1, 2, name="other")
    write_model_toml(store, "other", "plugins.fallback = false")

    async def main() -> None:
        server = await load(serve(config={"fallback": {"chain": ["version:previous"]}}))
        assert server.status("m", 2) == {"breaker": "closed", "chain": ["m/1"]}
        assert server.status("m", 1) == {"breaker": "closed", "chain": []}
        assert server.status("other", 2) == {}

    asyncio.run(main())


def test_degraded_answers_are_never_stored_by_a_cache(store: Path, serve: Serve) -> None:
    """A cache stands below: what it sees is the model's failure, and the other version's own ordinary answer."""
    fill(store, 1, 2)
    seen: list[tuple[int, object]] = []

    class Spy(Plugin[NoConfig]):
        stage: ClassVar[Stage] = Stage.CACHE

        def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
            async def predict(request: PredictRequest) -> PredictResponse:
                response = await call_next(request)
                seen.append((model.version, response.degraded))
                return response

            return predict

    bad = trouble()
    bad.done["m/2"] = raising(RunError("broken"))

    async def main() -> None:
        models = {"m": {"fallback": ["version:previous"]}}
        server = await load(serve(plugins={"spy": Spy, "trouble": bad}, models=models))
        assert (await server.ask_rows("m", ROW)).body["degraded"] is True
        assert seen == [(1, None)]

    asyncio.run(main())


def test_no_answer_is_another_ones_under_concurrency(store: Path, serve: Serve) -> None:
    """Some requests of many at once fail or hang: each gets its own row's sum, from the version that it names."""
    fill(store, 1, 2)
    count = 0

    async def now_and_then() -> None:
        nonlocal count
        count = own = count + 1
        await asyncio.sleep(0 if own % 3 else 0.002)
        if own % 2:
            raise RunError("broken")
        if not own % 5:
            await asyncio.Event().wait()

    bad = trouble()
    bad.done["m/2"] = now_and_then
    rules: dict[str, Any] = {
        "chain": ["version:previous", VALUE],
        "give_up_s": 0.05,
        "minimum": 60,
        "open_s": 0.01,
        "probes": 2,
    }

    async def main() -> None:
        server = await load(serve(plugins={"trouble": bad}, models={"m": {"fallback": rules}}))
        served: set[str | None] = set()
        for _ in range(10):
            answers = await server.ask_often("m", [[[float(row), 0.5]] for row in range(50)])
            for row, answer in enumerate(answers):
                assert answer.status == 200
                version = answer.body["model_version"]
                served.add(answer.headers.get("x-foretell-degraded"))
                assert answer.body["predictions"] == [row + 0.5 + 100 * int(version)]
                assert ("degraded" in answer.body) is (version == "1")
        assert {None, "error", "timeout", "breaker"} <= served
        assert not server.faults.errors

    asyncio.run(main())


def test_outputs_that_are_wanted_are_asked_for_by_their_names_there(store: Path, serve: Serve) -> None:
    """A protocol may ask for some outputs; two of them may come from one."""
    fill(store, 1)
    both = Signature(
        (Tensor("X", "float32", ("batch", 2)),),
        tuple(Tensor(name, "float32", ("batch", 1)) for name in ("A", "B", "C")),
    )

    async def crash(request: PredictRequest) -> PredictResponse:
        raise RunError("broken")

    async def main() -> None:
        chain = [{"model": "m", "outputs": {"A": "Y", "B": "Y", "C": "Y"}}]
        server = await load(serve(models={"all": {"fallback": {"chain": chain}}}))
        composed = server.plugins.compose(ModelInfo("all", 1, "d", "f", both), crash, {})
        request = msgspec.structs.replace(ask([1, 2]), outputs=("C", "A"))
        response = await composed.predict(request)
        assert {name: tensor.tolist() for name, tensor in response.outputs.items()} == {
            "C": [[103.0]],
            "A": [[103.0]],
        }
        assert list((await composed.predict(ask([1, 2]))).outputs) == ["A", "B", "C"]

    asyncio.run(main())


def test_without_a_server_the_chain_can_be_looked_at() -> None:
    plugin = Fallback(Config(chain=(TargetConfig(value={"Y": 1.0}),)))
    chain = chain_of(loaded(plugin), end=Engine())
    assert (chain.falls_back, [link.why_not for link in chain.links]) == (True, [None])
    with pytest.raises(PluginError, match="the value of 'Y' is absent"):
        chain_of(loaded(Fallback(Config(chain=(TargetConfig(value={}),)))), end=Engine())


def test_once_the_deadline_has_passed_no_model_is_asked(store: Path, serve: Serve) -> None:
    fill(store, 1, 2)
    bad = trouble()

    async def block_the_loop() -> None:
        time.sleep(0.06)  # noqa: ASYNC251 - what must not happen, happens
        raise RunError("broken")

    bad.done["m/2"] = block_the_loop

    async def main() -> None:
        models = {"m": {"fallback": ["version:previous", VALUE]}}
        server = await load(serve(plugins={"trouble": bad}, models=models, deadline_s=0.05))
        answer = await server.ask_rows("m", ROW)
        assert answer.steps == [("m/2", "error"), ("m/1", "no-time"), ("value", "ok")]
        assert bad.asked == ["m/2"]

    asyncio.run(main())


def test_a_caller_who_goes_away_during_an_attempt_blames_nobody(store: Path, serve: Serve) -> None:
    fill(store, 1, 2)
    bad = trouble()
    bad.done |= {"m/2": raising(RunError("broken")), "m/1": waiting()}

    async def main() -> None:
        rules = {"chain": ["version:previous"], "minimum": 2}
        server = await load(serve(plugins={"trouble": bad}, models={"m": {"fallback": rules}}))
        going = asyncio.create_task(server.ask_rows("m", ROW))
        await asyncio.sleep(0)
        assert bad.asked == ["m/2", "m/1"]
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going
        assert server.status("m", 1)["breaker"] == "closed"
        assert not server.faults.errors

    asyncio.run(main())


def test_a_timeout_of_the_models_own_is_one(store: Path, serve: Serve) -> None:
    async def time_out(request: PredictRequest) -> PredictResponse:
        await asyncio.sleep(0)
        raise TimeoutError("its own")

    fill(store, 1)

    async def main() -> None:
        server = await load(serve(models={"m": {"fallback": [VALUE]}}))
        response = await server.plugins.compose(server.registry.default("m").info, time_out, {}).predict(
            ask([1, 2])
        )
        assert response.degraded == "timeout"

    asyncio.run(main())
