"""Equal questions are answered once, and nobody is given another's answer."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from foretell.errors import (
    DeadlineError,
    ForetellError,
    InvalidInputError,
    NotReadyError,
    PluginError,
    Problem,
    RunError,
)
from foretell.plugin import NoConfig, Plugin, PredictRequest, PredictResponse, Stage
from foretell_plugins.cache import CacheConfig
from foretell_plugins.cache.cost import measure_miss
from tests.plugin.chains import Engine, ask, chain_of, info, loaded, make_faults
from tests.plugins.cache.caches import cached, make_cache, run

if TYPE_CHECKING:
    from foretell.plugin import ModelInfo, Predict


def values(response: PredictResponse) -> Any:
    return response.outputs["Y"].tolist()


def test_the_second_equal_question_is_answered_without_a_run() -> None:
    engine = Engine()
    predict = cached(make_cache(), engine)
    first, second = ask([1, 2]), ask([1, 2])
    assert values(run(predict(first))) == values(run(predict(second))) == [3]
    assert len(engine.runs) == 1
    assert (first.record.cache, second.record.cache) == ("miss", "hit")


def test_another_question_is_run() -> None:
    engine = Engine()
    predict = cached(make_cache(), engine)
    assert values(run(predict(ask([1, 2])))) == [3]
    assert values(run(predict(ask([2, 2])))) == [4]
    assert values(run(predict(ask([1, 2], [2, 2])))) == [3, 4]
    assert len(engine.runs) == 3


def test_two_models_and_two_versions_never_share_an_answer() -> None:
    cache = make_cache()
    models = [info("a"), info("b"), info("a", 2), info("a", fingerprint="f2")]

    def engine(number: int) -> Any:
        async def answer(request: PredictRequest) -> PredictResponse:
            return PredictResponse({"Y": np.array([number], dtype=np.float32)})

        return answer

    chains = [cached(cache, engine(number), model=model) for number, model in enumerate(models)]
    for _ in range(2):
        for number, predict in enumerate(chains):
            assert values(run(predict(ask([1, 2])))) == [number]


def test_a_version_that_is_loaded_again_begins_anew() -> None:
    cache, engine = make_cache(), Engine()
    for _ in range(2):
        predict = cached(cache, engine)
        request = ask([1, 2])
        run(predict(request))
        assert request.record.cache == "miss"
    assert len(engine.runs) == 2


def test_whoever_changes_an_answer_changes_nobody_else_s() -> None:
    predict = cached(make_cache(), Engine())
    for _ in range(4):
        answer = run(predict(ask([1, 2])))
        assert values(answer) == [3]
        answer.outputs["Y"][0] = 99


def test_whoever_asks_first_gets_what_the_version_answered() -> None:
    given = PredictResponse({"Y": np.ones(1, dtype=np.float32)})

    async def answer(request: PredictRequest) -> PredictResponse:
        return given

    response = run(cached(make_cache(), answer)(ask([1, 2])))
    assert response is given


class Rounded(Plugin[NoConfig]):
    """Rounds the answers of some callers, by putting others into what it was handed."""

    stage = Stage.VALIDATE

    def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
        async def predict(request: PredictRequest) -> PredictResponse:
            response = await call_next(request)
            if request.record.header(b"x-tier") == b"public":
                response.outputs["Y"] = response.outputs["Y"].round(0)
                response.outputs["more"] = response.outputs["Y"]
            return response

        return predict


def test_what_a_plugin_further_out_does_to_one_answer_no_other_caller_sees() -> None:
    async def scenario() -> None:
        gate = Gate()
        predict = chain_of(
            loaded(Rounded(NoConfig()), name="rounded"), loaded(make_cache(), name="cache"), end=Engine(gate)
        ).predict
        public = [(b"x-tier", b"public")]
        tasks = [
            asyncio.ensure_future(predict(ask([1.25, 2.5], headers=headers)))
            for headers in (public, None, public, None)
        ]
        await settle()
        gate.open.set()
        answers = [await task for task in tasks]
        answers += [
            await predict(ask([1.25, 2.5], headers=headers)) for headers in (public, None, public, None)
        ]
        assert [values(each) for each in answers] == [[4], [3.75]] * 4
        assert ["more" in each.outputs for each in answers] == [True, False] * 4

    asyncio.run(scenario())


@pytest.mark.parametrize("value", [b"no-store", b"No-Store", b"max-age=0, no-store"], ids=str)
def test_no_store_is_honoured(value: bytes) -> None:
    engine = Engine()
    predict = cached(make_cache(), engine)
    for _ in range(2):
        request = ask([1, 2], headers=[(b"cache-control", value)])
        run(predict(request))
        assert request.record.cache == "bypass"
    later = ask([1, 2])
    run(predict(later))
    assert later.record.cache == "miss"
    assert len(engine.runs) == 3


def test_an_error_is_not_kept() -> None:
    failing = True

    async def sometimes() -> None:
        if failing:
            raise RunError("once")

    engine = Engine(sometimes)
    faults = make_faults()
    predict = cached(make_cache(), engine, faults=faults)
    with pytest.raises(RunError):
        run(predict(ask([1, 2])))
    failing = False
    assert values(run(predict(ask([1, 2])))) == [3]
    assert len(engine.runs) == 2
    assert faults.errors == {}


def test_a_degraded_answer_is_not_kept() -> None:
    count = 0

    async def degraded(request: PredictRequest) -> PredictResponse:
        nonlocal count
        count += 1
        return PredictResponse({"Y": np.zeros(1, dtype=np.float32)}, degraded="error")

    predict = cached(make_cache(), degraded)
    for _ in range(2):
        run(predict(ask([1, 2])))
    assert count == 2


def test_a_big_answer_is_not_kept() -> None:
    engine = Engine()
    predict = cached(make_cache(max_entry_bytes=600), engine)
    rows = [[float(row), 0.0] for row in range(100)]
    for _ in range(2):
        run(predict(ask(*rows)))
    assert len(engine.runs) == 2


# ------------------------------------------------------------------ equal questions at the same time


class Gate:
    """Lets runs wait until they may go on."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self) -> None:
        await self.open.wait()


async def settle() -> None:
    """Let everything that can go on do so."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_equal_questions_at_the_same_time_are_answered_by_one_run() -> None:
    async def scenario() -> None:
        gate = Gate()
        engine = Engine(gate)
        predict = cached(make_cache(), engine)
        requests = [ask([1, 2]) for _ in range(20)]
        tasks = [asyncio.ensure_future(predict(request)) for request in requests]
        await settle()
        gate.open.set()
        assert [values(await task) for task in tasks] == [[3]] * 20
        assert len(engine.runs) == 1
        assert [request.record.cache for request in requests] == ["miss"] + ["coalesced"] * 19

    asyncio.run(scenario())


def test_other_questions_do_not_wait() -> None:
    async def scenario() -> None:
        gate = Gate()
        engine = Engine(gate)
        predict = cached(make_cache(), engine)
        waiting = asyncio.ensure_future(predict(ask([1, 2])))
        await settle()
        gate.open.set()
        assert values(await predict(ask([5, 5]))) == [10]
        assert values(await waiting) == [3]

    asyncio.run(scenario())


def test_a_caller_that_goes_away_takes_nobody_with_it() -> None:
    async def scenario(leaves: int) -> None:
        gate = Gate()
        engine = Engine(gate)
        predict = cached(make_cache(), engine)
        tasks = [asyncio.ensure_future(predict(ask([1, 2]))) for _ in range(5)]
        await settle()
        tasks[leaves].cancel()
        await settle()
        gate.open.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [
            isinstance(answer, asyncio.CancelledError)
            if number == leaves
            else isinstance(answer, PredictResponse) and values(answer) == [3]
            for number, answer in enumerate(answers)
        ] == [True] * 5
        assert len(engine.runs) == (2 if leaves == 0 else 1)

    for leaves in (0, 1, 4):
        asyncio.run(scenario(leaves))


def test_when_the_run_fails_all_who_wait_are_told_and_the_next_asks_again() -> None:
    async def scenario() -> None:
        gate = Gate()
        failing = True

        async def fail() -> None:
            await gate()
            if failing:
                raise RunError("no")

        engine = Engine(fail)
        faults = make_faults()
        predict = cached(make_cache(), engine, faults=faults)
        tasks = [asyncio.ensure_future(predict(ask([1, 2]))) for _ in range(5)]
        await settle()
        gate.open.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(answer, RunError) for answer in answers)
        assert len(engine.runs) == 1
        failing = False
        assert values(await predict(ask([1, 2]))) == [3]
        assert faults.errors == {}

    asyncio.run(scenario())


FAILURES = {
    "RunError": (RunError("no"), RunError("no")),
    "what the input is": (
        InvalidInputError(Problem("$", "undeclared axis")),
        InvalidInputError(Problem("$", "undeclared axis")),
    ),
    "not ready": (NotReadyError("full", retry_after_s=7), NotReadyError("full", retry_after_s=7)),
    "no ForetellError": (
        MemoryError("no"),
        RunError("the run of an equal request failed: MemoryError: no"),
    ),
    "a plugin's": (PluginError("it"), RunError("the run of an equal request failed: PluginError: it")),
}


@pytest.mark.parametrize(("failure", "told"), FAILURES.values(), ids=FAILURES)
def test_whatever_a_run_fails_with_those_who_wait_are_told_and_do_not_stand_in_line(
    failure: Exception, told: ForetellError
) -> None:
    async def scenario() -> None:
        gate = Gate()

        async def fail() -> None:
            await gate()
            raise failure

        engine, faults = Engine(fail), make_faults()
        predict = cached(make_cache(), engine, faults=faults)
        requests = [ask([1, 2]) for _ in range(5)]
        tasks = [asyncio.ensure_future(predict(request)) for request in requests]
        await settle()
        gate.open.set()
        first, *others = await asyncio.gather(*tasks, return_exceptions=True)
        assert first is failure
        for each in others:
            assert type(each) is type(told)
            assert str(each) == str(told)
            assert vars(each) == vars(told)
            assert isinstance(each, ForetellError)
            assert each.__cause__ is failure
        assert len({id(each) for each in (first, *others)}) == 5
        assert [request.record.cache for request in requests] == ["miss"] + ["coalesced"] * 4
        assert len(engine.runs) == 1
        assert faults.errors == {}

    asyncio.run(scenario())


def test_who_gives_up_while_it_waits_has_waited_for_an_equal_request() -> None:
    async def scenario() -> None:
        gate = Gate()
        predict = cached(make_cache(), Engine(gate))
        requests = [ask([1, 2]) for _ in range(2)]
        tasks = [asyncio.ensure_future(predict(request)) for request in requests]
        await settle()
        tasks[1].cancel()
        await settle()
        assert requests[1].record.cache == "coalesced"
        gate.open.set()
        await tasks[0]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "failure", [DeadlineError("late"), asyncio.CancelledError()], ids=["late", "cancelled"]
)
def test_when_every_run_ends_without_an_outcome_nobody_stands_in_line(failure: BaseException) -> None:
    """The first, the one that takes over, and then all the others beside each other."""

    async def scenario() -> None:
        gates: list[asyncio.Event] = []

        async def fail(request: PredictRequest) -> PredictResponse:
            del request
            gates.append(asyncio.Event())
            await gates[-1].wait()
            raise failure

        predict = cached(make_cache(), fail)
        tasks = [asyncio.ensure_future(predict(ask([1, 2]))) for _ in range(20)]
        running: list[int] = []
        for _ in range(3):
            await settle()
            running.append(len(gates))
            for gate in gates:
                gate.set()
        await asyncio.wait(tasks)
        assert running == [1, 2, 20]

    asyncio.run(scenario())


def test_when_the_first_runs_out_of_time_the_others_ask_for_themselves() -> None:
    async def scenario() -> None:
        gate = Gate()
        late = True

        async def be_late() -> None:
            nonlocal late
            await gate()
            if late:
                late = False
                raise DeadlineError("the first caller's")

        engine = Engine(be_late)
        predict = cached(make_cache(), engine)
        tasks = [asyncio.ensure_future(predict(ask([1, 2]))) for _ in range(4)]
        await settle()
        gate.open.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(answers[0], DeadlineError)
        assert [values(answer) for answer in answers[1:] if isinstance(answer, PredictResponse)] == [[3]] * 3
        assert len(engine.runs) == 2

    asyncio.run(scenario())


def test_who_waits_keeps_to_its_own_deadline() -> None:
    async def scenario() -> None:
        gate = Gate()
        engine = Engine(gate)
        faults = make_faults()
        predict = cached(make_cache(), engine, faults=faults)
        first = asyncio.ensure_future(predict(ask([1, 2])))
        await settle()
        hurried = ask([1, 2])
        hurried.record.deadline_ns = 1
        with pytest.raises(DeadlineError):
            await predict(hurried)
        gate.open.set()
        assert values(await first) == [3]
        assert faults.errors == {}

    asyncio.run(scenario())


# ------------------------------------------------------------------ which models


@pytest.mark.parametrize(
    ("config", "run_us", "reason"),
    [
        ({}, 1000.0, None),
        ({}, None, None),
        ({}, 0.01, "a run costs 0.0 µs, and the cache would add "),
        ({"force": True}, 0.01, None),
        ({"deterministic": False}, 1000.0, "its settings say that it is not deterministic"),
        ({"deterministic": False, "force": True}, 1000.0, "its settings say that it is not deterministic"),
    ],
    ids=["dear", "unknown", "cheap", "forced", "random", "random and forced"],
)
def test_a_model_is_cached_where_that_pays(
    config: dict[str, Any], run_us: float | None, reason: str | None
) -> None:
    found = make_cache(**config).why_not(info(run_us=run_us))
    assert found is None if reason is None else found is not None and found.startswith(reason)


def test_what_a_miss_costs_is_measured() -> None:
    assert measure_miss() > 0


def test_a_model_has_settings_of_its_own() -> None:
    cache = make_cache()
    cache.configure_model("m", CacheConfig(deterministic=False))
    assert cache.why_not(info("m")) is not None
    assert cache.why_not(info("n")) is None


@pytest.mark.parametrize(
    "config", [{"max_bytes": 1}, {"redis_url": "redis://x"}, {"redis_timeout_s": 1.0}], ids=str
)
def test_what_all_models_share_cannot_be_set_for_one(config: dict[str, Any]) -> None:
    with pytest.raises(PluginError, match=rf"plugins\.config\.cache\.{next(iter(config))}"):
        make_cache().configure_model("m", CacheConfig(**config))


def test_without_the_extra_the_plugin_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(
        PluginError,
        match=r"pip install 'foretell\[redis\]'; in a clone of foretell, .*pip install -e '\.\[redis\]'",
    ):
        make_cache(redis_url="redis://localhost")
    make_cache()


def test_the_instruments_say_how_redis_is() -> None:
    def names(**config: Any) -> set[str]:
        return {each.name for each in make_cache(**config).instruments()}

    always = {
        "foretell_cache_bytes",
        "foretell_cache_evictions_total",
        "foretell_cache_redis_dropped_total",
        "foretell_cache_redis_errors_total",
    }
    assert names() == always
    assert names(redis_url="redis://localhost") == always | {"foretell_cache_redis_up"}


# ------------------------------------------------------------------ dropping


def test_the_answers_of_one_model_can_be_dropped() -> None:
    cache, engine = make_cache(), Engine()
    ours, other = cached(cache, engine, model=info("a")), cached(cache, engine, model=info("b"))
    newer = cached(cache, engine, model=info("a", 2))
    for predict in (ours, other, newer):
        run(predict(ask([1, 2])))
    dropped = asyncio.run(cache.forget("a"))
    assert (dropped.model, dropped.memory, dropped.redis) == ("a", 2, None)
    assert asyncio.run(cache.forget("a")).memory == 0
    requests = [ask([1, 2]), ask([1, 2]), ask([1, 2])]
    for predict, request in zip((ours, newer, other), requests, strict=True):
        run(predict(request))
    assert [request.record.cache for request in requests] == ["miss", "miss", "hit"]
    assert asyncio.run(cache.forget("a")).memory == 2


def test_what_is_being_answered_while_answers_are_dropped_is_not_kept() -> None:
    async def scenario() -> None:
        gate = Gate()
        cache, engine = make_cache(), Engine(gate)
        predict = cached(cache, engine)
        before = [asyncio.ensure_future(predict(ask([1, 2]))) for _ in range(2)]
        await settle()
        await cache.forget("m")
        after = ask([1, 2])
        asked_later = asyncio.ensure_future(predict(after))
        await settle()
        assert len(engine.runs) == 2  # it does not wait for what was asked before
        gate.open.set()
        await asyncio.gather(*before, asked_later)
        assert after.record.cache == "miss"
        assert (await cache.forget("m")).memory == 1

    asyncio.run(scenario())


def test_a_large_question_is_answered_like_any_other() -> None:
    engine = Engine()
    predict = cached(make_cache(), engine)
    rows = [[float(row), 1.0] for row in range(200_000)]
    requests = [ask(*rows), ask(*rows)]
    for request in requests:
        assert len(values(run(predict(request)))) == 200_000
    assert [request.record.cache for request in requests] == ["miss", "hit"]
    assert len(engine.runs) == 1
