"""A shortcut goes around a prediction in plain functions, isolated as an async one is, and leaves to it what waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import numpy as np
import pytest
import uvloop

from foretell.errors import DeadlineError, InvalidInputError, PluginError, Problem, RunError
from foretell.plugin import (
    ModelInfo,
    NoConfig,
    Plugin,
    Predict,
    PredictRequest,
    PredictResponse,
    Shortcut,
    Stage,
)
from foretell.plugin.chain import Chain
from foretell.plugin.faults import Faults
from tests.plugin.chains import Engine, ask, chain_of, info, loaded, make_faults

OPEN = [Stage.OBSERVE, Stage.SHADOW, Stage.FALLBACK, Stage.CACHE]
CLOSED = [Stage.GUARD, Stage.VALIDATE]
every_stage = pytest.mark.parametrize("stage", list(Stage), ids=lambda stage: stage.name)
stages_that_fail_open = pytest.mark.parametrize("stage", OPEN, ids=lambda stage: stage.name)
stages_that_fail_closed = pytest.mark.parametrize("stage", CLOSED, ids=lambda stage: stage.name)


class Short(Shortcut[str]):
    """Does what it is told, and notes what it was told.

    Attributes:
        trail: What was called.
    """

    limited_by = "the test"

    def __init__(
        self,
        *,
        begin: Callable[[PredictRequest], Any] = lambda _: "begun",
        end: Callable[[], Any] = lambda: None,
        failed: Callable[[BaseException], Any] = lambda _: False,
        recover: Callable[[PredictRequest, Predict], Awaitable[PredictResponse]] | None = None,
        long: Callable[[PredictRequest, Predict], Awaitable[PredictResponse]] | None = None,
        limit_s: Callable[[], Any] = lambda: None,
    ) -> None:
        self.trail: list[str] = []
        self.call_next: Predict
        self._begin, self._end, self._failed = begin, end, failed
        self._recover, self._long, self._limit_s = recover, long, limit_s

    async def __call__(self, request: PredictRequest) -> PredictResponse:
        self.trail.append("long")
        return await (self.call_next(request) if self._long is None else self._long(request, self.call_next))

    def begin(self, request: PredictRequest) -> Any:
        self.trail.append("begin")
        return self._begin(request)

    def end(self, request: PredictRequest, begun: str, response: PredictResponse) -> None:
        assert response.outputs["Y"].tolist() == [3]
        self.trail.append(f"end {begun}")
        self._end()

    def failed(self, request: PredictRequest, begun: str, error: BaseException) -> bool:
        self.trail.append(f"failed {begun} {type(error).__name__}")
        return bool(given) if isinstance(given := self._failed(error), int) else given

    async def recover(self, request: PredictRequest, begun: str, error: Exception) -> PredictResponse:
        self.trail.append(f"recover {begun}")
        if self._recover is None:
            return await super().recover(request, begun, error)
        return await self._recover(request, self.call_next)

    def limit_s(self, request: PredictRequest) -> float | None:
        self.trail.append("limit_s")
        given: float | None = self._limit_s()
        return given


def chain(
    short: Any,
    end: Predict,
    *,
    stage: Stage = Stage.CACHE,
    faults: Faults | None = None,
    timeout_s: float = 1.0,
    budget_us: float = 1e9,
) -> Chain:
    class Quick(Plugin[NoConfig]):
        def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
            short.call_next = call_next
            return cast("Predict", short)

    Quick.stage = stage
    quick = loaded(Quick(NoConfig()), name="odd", timeout_s=timeout_s, budget_us=budget_us)
    return chain_of(quick, end=end, faults=faults)


def run(answer: Awaitable[PredictResponse]) -> PredictResponse:
    async def wait() -> PredictResponse:
        return await answer

    return asyncio.run(wait())


def crash(*_: object) -> Any:
    raise ZeroDivisionError("the plugin")


def say_yes(*_: object) -> Any:
    return "yes"


def say_nothing(*_: object) -> Any:
    return None


def refuse(*_: object) -> Any:
    raise InvalidInputError(Problem("$", "no"))


async def a_little() -> None:
    await asyncio.sleep(0.01)


async def for_long() -> None:
    await asyncio.sleep(1)


async def for_ever() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise RunError("the model")


async def fail_later() -> None:
    await asyncio.sleep(0.01)
    raise RunError("the model")


class AtOnce:
    """The end of a chain that answers without being awaited, as a short run does."""

    def __init__(self, error: Exception | None = None) -> None:
        self.runs: list[PredictRequest] = []
        self.error = error

    def __call__(self, request: PredictRequest) -> Any:
        self.runs.append(request)
        if self.error is not None:
            raise self.error
        return PredictResponse({"Y": request.inputs["X"].sum(axis=1)})


ENGINES = pytest.mark.parametrize(
    "engine", [AtOnce, Engine, lambda: Engine(a_little)], ids=["at once", "awaited", "waiting"]
)
FAILING = pytest.mark.parametrize(
    "engine",
    [lambda: AtOnce(RunError("the model")), lambda: Engine(fail), lambda: Engine(fail_later)],
    ids=["at once", "awaited", "waiting"],
)
MakeEngine = Callable[[], Any]


@every_stage
@ENGINES
def test_foretell_calls_on_between_begin_and_end(stage: Stage, engine: MakeEngine) -> None:
    short, end, faults = Short(), engine(), make_faults()
    assert run(chain(short, end, stage=stage, faults=faults).predict(ask([1, 2]))).outputs["Y"].tolist() == [
        3
    ]
    assert [each for each in short.trail if each != "limit_s"] == ["begin", "end begun"]
    assert (len(end.runs), faults.errors) == (1, {})


def test_what_answers_at_once_is_not_awaited() -> None:
    response = chain(Short(), AtOnce()).respond(ask([1, 2]))
    assert isinstance(response, PredictResponse)


def test_it_may_answer_by_itself() -> None:
    own, end = PredictResponse({"Y": np.array([7], dtype=np.float32)}), AtOnce()
    short = Short(begin=lambda _: own)
    assert chain(short, end).respond(ask([1, 2])) is own
    assert (end.runs, short.trail) == ([], ["begin"])


@stages_that_fail_open
@ENGINES
def test_an_answer_that_is_none_of_the_version_s_is_not_given(stage: Stage, engine: MakeEngine) -> None:
    end, faults = engine(), make_faults()
    short = Short(begin=lambda _: PredictResponse({"Z": np.array([7])}))
    assert run(chain(short, end, stage=stage, faults=faults).predict(ask([1, 2]))).outputs["Y"].tolist() == [
        3
    ]
    assert (len(end.runs), faults.errors, short.trail) == (1, {"odd": 1}, ["begin"])


@ENGINES
def test_what_has_to_wait_goes_the_long_way(engine: MakeEngine) -> None:
    async def long(request: PredictRequest, call_next: Predict) -> PredictResponse:
        await asyncio.sleep(0.01)
        return await call_next(request)

    short, end, faults = Short(begin=lambda _: None, long=long), engine(), make_faults()
    assert run(chain(short, end, faults=faults).predict(ask([1, 2]))).outputs["Y"].tolist() == [3]
    assert (short.trail, len(end.runs), faults.errors) == (["begin", "long"], 1, {})


@stages_that_fail_open
@ENGINES
@pytest.mark.parametrize("hook", ["begin", "end"])
def test_the_prediction_goes_on_without_one_that_crashes(stage: Stage, engine: MakeEngine, hook: str) -> None:
    events: list[dict[str, Any]] = []
    short, end, faults = Short(**{hook: crash}), engine(), make_faults(events)
    assert run(chain(short, end, stage=stage, faults=faults).predict(ask([1, 2]))).outputs["Y"].tolist() == [
        3
    ]
    assert (len(end.runs), faults.errors, events[0]["hook"]) == (1, {"odd": 1}, hook)


@stages_that_fail_closed
@ENGINES
@pytest.mark.parametrize("hook", ["begin", "end"])
def test_the_prediction_ends_where_one_that_fails_closed_crashes(
    stage: Stage, engine: MakeEngine, hook: str
) -> None:
    short, end, faults = Short(**{hook: crash}), engine(), make_faults()
    with pytest.raises(PluginError, match="'odd' failed"):
        run(chain(short, end, stage=stage, faults=faults).predict(ask([1, 2])))
    assert (len(end.runs), faults.errors) == (int(hook == "end"), {"odd": 1})


@every_stage
@pytest.mark.parametrize("hook", ["begin", "end"])
def test_only_plugins_that_may_judge_can_refuse(stage: Stage, hook: str) -> None:
    faults = make_faults()
    predicted = chain(Short(**{hook: refuse}), AtOnce(), stage=stage, faults=faults).predict(ask([1, 2]))
    if stage in {Stage.OBSERVE, Stage.SHADOW}:
        run(predicted)
        assert faults.errors == {"odd": 1}
    else:
        with pytest.raises(InvalidInputError):
            run(predicted)
        assert faults.errors == {}


@every_stage
@FAILING
def test_a_failure_goes_through_and_is_no_fault_of_the_plugin(stage: Stage, engine: MakeEngine) -> None:
    short, end, faults = Short(), engine(), make_faults()
    with pytest.raises(RunError, match="the model"):
        run(chain(short, end, stage=stage, faults=faults).predict(ask([1, 2])))
    assert [each for each in short.trail if each != "limit_s"] == ["begin", "failed begun RunError"]
    assert (len(end.runs), faults.errors) == (1, {})


@stages_that_fail_open
@FAILING
@pytest.mark.parametrize("given", [crash, say_yes, say_nothing], ids=["crash", "text", "nothing"])
def test_one_that_cannot_say_whether_it_recovers_hides_no_failure(
    stage: Stage, engine: MakeEngine, given: Any
) -> None:
    short, end, faults = Short(failed=given), engine(), make_faults()
    with pytest.raises(RunError, match="the model"):
        run(chain(short, end, stage=stage, faults=faults).predict(ask([1, 2])))
    assert (len(end.runs), faults.errors) == (1, {"odd": 1})


@FAILING
def test_it_may_answer_in_place_of_a_failure(engine: MakeEngine) -> None:
    async def recover(request: PredictRequest, call_next: Predict) -> PredictResponse:
        await asyncio.sleep(0.01)
        return PredictResponse({"Y": np.array([8], dtype=np.float32)}, "error")

    short, end, faults = Short(failed=lambda _: True, recover=recover), engine(), make_faults()
    response = run(chain(short, end, stage=Stage.FALLBACK, faults=faults).predict(ask([1, 2])))
    assert (response.outputs["Y"].tolist(), response.degraded) == ([8], "error")
    assert (short.trail[-2:], len(end.runs), faults.errors) == (
        ["failed begun RunError", "recover begun"],
        1,
        {},
    )


@pytest.mark.parametrize("stage", [Stage.FALLBACK, Stage.CACHE], ids=str)
def test_only_a_fallback_may_call_on_again(stage: Stage) -> None:
    end, faults = AtOnce(RunError("the model")), make_faults()

    async def again(request: PredictRequest, call_next: Predict) -> PredictResponse:
        end.error = None
        return await call_next(request)

    predicted = chain(Short(failed=lambda _: True, recover=again), end, stage=stage, faults=faults).predict(
        ask([1, 2])
    )
    if stage is Stage.FALLBACK:
        assert run(predicted).outputs["Y"].tolist() == [3]
        assert (len(end.runs), faults.errors) == (2, {})
    else:
        with pytest.raises(RunError, match="the model"):
            run(predicted)
        assert (len(end.runs), faults.errors) == (1, {"odd": 1})


@stages_that_fail_open
@FAILING
def test_a_crash_on_the_way_to_recovery_hides_no_failure(stage: Stage, engine: MakeEngine) -> None:
    async def recover(request: PredictRequest, call_next: Predict) -> PredictResponse:
        raise ZeroDivisionError

    short, faults = Short(failed=lambda _: True, recover=recover), make_faults()
    with pytest.raises(RunError, match="the model"):
        run(chain(short, engine(), stage=stage, faults=faults).predict(ask([1, 2])))
    assert faults.errors == {"odd": 1}


def test_a_recovery_that_never_returns_is_given_up() -> None:
    async def recover(request: PredictRequest, call_next: Predict) -> PredictResponse:
        await asyncio.Event().wait()
        raise AssertionError

    short, faults = Short(failed=lambda _: True, recover=recover), make_faults()
    with pytest.raises(RunError, match="the model"):
        run(chain(short, AtOnce(RunError("the model")), faults=faults, timeout_s=0.05).predict(ask([1, 2])))
    assert faults.errors == {"odd": 1}


def test_without_a_recovery_of_its_own_the_failure_is_raised() -> None:
    faults = make_faults()
    with pytest.raises(RunError, match="the model"):
        run(
            chain(Short(failed=lambda _: True), AtOnce(RunError("the model")), faults=faults).predict(
                ask([1, 2])
            )
        )
    assert faults.errors == {}


def test_it_hears_of_a_caller_that_goes_away_and_cannot_hold_it() -> None:
    short, faults = Short(failed=lambda _: True), make_faults()

    async def scenario() -> None:
        end = Engine(for_ever)
        task = asyncio.ensure_future(chain(short, end, faults=faults).predict(ask([1, 2])))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert short.trail[-1] == "failed begun CancelledError"
    assert faults.errors == {}


def test_what_waits_may_take_as_long_as_the_shortcut_says() -> None:
    async def long() -> None:
        await asyncio.sleep(10)

    short, faults = Short(limit_s=lambda: 0.02), make_faults()
    began_s = time.monotonic()
    with pytest.raises(DeadlineError, match=r"m version 1 was given up after 0\.02 s \(the test\)"):
        run(chain(short, Engine(long), faults=faults).predict(ask([1, 2])))
    assert time.monotonic() - began_s < 5
    assert short.trail == ["begin", "limit_s", "failed begun GivenUpError"]
    assert faults.errors == {}


def test_a_time_limit_of_the_model_s_own_is_not_taken_for_that_of_the_shortcut() -> None:
    async def too_long() -> None:
        await asyncio.sleep(0.01)
        raise TimeoutError("the model's")

    with pytest.raises(TimeoutError, match="the model's"):
        run(chain(Short(limit_s=lambda: 5), Engine(too_long)).predict(ask([1, 2])))


@every_stage
@pytest.mark.parametrize(
    "limit",
    [crash, lambda: "soon", lambda: float("nan"), lambda: -1.0],
    ids=["crash", "text", "no number", "negative"],
)
@pytest.mark.filterwarnings("error")
def test_one_that_cannot_say_how_long_is_left_out_or_ends_the_prediction(stage: Stage, limit: Any) -> None:
    faults = make_faults()
    predicted = chain(Short(limit_s=limit), Engine(a_little), stage=stage, faults=faults).predict(ask([1, 2]))
    if stage.fails_open:
        assert run(predicted).outputs["Y"].tolist() == [3]
    else:
        with pytest.raises(PluginError, match="'odd' failed"):
            run(predicted)
    assert faults.errors == {"odd": 1}


@pytest.mark.parametrize("engine", [AtOnce, lambda: Engine(for_long)], ids=["at once", "waiting"])
def test_its_own_time_is_compared_with_the_budget_and_that_of_others_is_not(engine: MakeEngine) -> None:
    events: list[dict[str, Any]] = []

    def dawdle() -> None:
        time.sleep(0.01)

    async def scenario(end: Callable[[], Any], budget_us: float) -> None:
        around = chain(Short(end=end), engine(), faults=make_faults(events), budget_us=budget_us)
        await around.predict(ask([1, 2]))

    asyncio.run(scenario(dawdle, 900_000))
    asyncio.run(scenario(lambda: None, 900_000))
    assert events == []
    asyncio.run(scenario(dawdle, 9000))
    assert [(each["event"], each["plugin"]) for each in events] == [("plugin over its budget", "odd")]
    assert 10_000 <= events[0]["own_us"] < 900_000


def test_one_that_takes_too_long_is_counted_and_its_answer_stands() -> None:
    faults = make_faults()
    own = PredictResponse({"Y": np.array([7], dtype=np.float32)})

    def dawdle(_: PredictRequest) -> PredictResponse:
        time.sleep(0.03)
        return own

    around = chain(Short(begin=dawdle), AtOnce(), faults=faults, timeout_s=0.02)
    for count in (1, 2, 3):
        assert around.respond(ask([1, 2])) is own
        assert faults.errors == {"odd": count}


def test_one_without_begin_is_not_put_around_a_version() -> None:
    class Endless(Shortcut[str]):
        def end(self, request: PredictRequest, begun: str, response: PredictResponse) -> None:
            pass

    with pytest.raises(PluginError, match="the shortcut has no begin"):
        chain(Endless(), AtOnce())


def test_one_without_a_long_way_that_goes_it_is_told_what_is_missing() -> None:
    class Half(Shortcut[str]):
        def begin(self, request: PredictRequest) -> None:
            return None

    events: list[dict[str, Any]] = []
    around = chain(Half(), AtOnce(), faults=make_faults(events))
    assert run(around.predict(ask([1, 2]))).outputs["Y"].tolist() == [3]
    assert "begin gave None, and the shortcut has no long way: define async __call__" in str(events)


@pytest.mark.parametrize("name", ["begin", "end", "failed", "limit_s"])
def test_one_that_is_async_where_it_must_not_is_not_put_around_a_version(name: str) -> None:
    class Wrong(Short):
        pass

    async def wait(self: Any, *arguments: Any) -> None:
        del self, arguments

    setattr(Wrong, name, wait)
    with pytest.raises(PluginError, match=f"{name} of the shortcut is async"):
        chain(Wrong(), AtOnce())


def test_a_keyboard_interrupt_goes_through() -> None:
    def interrupt(_: PredictRequest) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        chain(Short(begin=interrupt), AtOnce()).respond(ask([1, 2]))


def test_shortcuts_stand_within_each_other_and_around_async_plugins() -> None:
    trail: list[str] = []

    def quick(name: str, stage: Stage) -> Any:
        class Named(Short):
            def begin(self, request: PredictRequest) -> Any:
                trail.append(f"begin {name}")
                return "begun"

            def end(self, request: PredictRequest, begun: str, response: PredictResponse) -> None:
                trail.append(f"end {name}")

        class Quick(Plugin[NoConfig]):
            def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
                return Named()

        Quick.stage = stage
        return loaded(Quick(NoConfig()), name=name)

    class Slow(Plugin[NoConfig]):
        stage = Stage.VALIDATE

        def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
            async def predict(request: PredictRequest) -> PredictResponse:
                trail.append("slow")
                return await call_next(request)

            return predict

    plugins = [
        quick("a", Stage.GUARD),
        loaded(Slow(NoConfig())),
        quick("b", Stage.FALLBACK),
        quick("c", Stage.CACHE),
    ]
    composed = chain_of(*plugins, end=AtOnce(), model=info())
    assert run(composed.predict(ask([1, 2]))).outputs["Y"].tolist() == [3]
    assert trail == ["begin a", "slow", "begin b", "begin c", "end c", "end b", "end a"]


@pytest.mark.parametrize("limit_s", [1e300, float("inf")])
def test_a_limit_beyond_all_bounds_is_none(limit_s: float) -> None:
    faults = make_faults()
    around = chain(Short(limit_s=lambda: limit_s), Engine(a_little), faults=faults)
    assert uvloop.run(around.predict(ask([1, 2]))).outputs["Y"].tolist() == [3]
    assert faults.errors == {}


class BeginsLate(Short):
    """Its `begin` is a decorated async function, which cannot be told from a plain one."""

    def begin(self, request: PredictRequest) -> Any:
        return a_little()


class EndsLate(Short):
    """Its `end` is one."""

    def end(self, request: PredictRequest, begun: str, response: PredictResponse) -> Any:
        return a_little()


@pytest.mark.parametrize(("kind", "hook"), [(BeginsLate, "begin"), (EndsLate, "end")])
@pytest.mark.filterwarnings("error")
def test_a_guard_whose_hook_gives_a_coroutine_lets_nobody_in(kind: type[Short], hook: str) -> None:
    faults = make_faults()
    with pytest.raises(PluginError, match=f"{hook} gave <coroutine"):
        run(chain(kind(), AtOnce(), stage=Stage.GUARD, faults=faults).predict(ask([1, 2])))
    assert faults.errors == {"odd": 1}


@pytest.mark.parametrize("stage", [Stage.GUARD, Stage.CACHE], ids=str)
@pytest.mark.parametrize("failed", [crash, refuse], ids=["crash", "verdict"])
def test_one_that_crashes_when_the_caller_goes_away_cannot_hold_it(stage: Stage, failed: Any) -> None:
    faults = make_faults()

    async def scenario() -> None:
        around = chain(Short(failed=failed), Engine(for_ever), stage=stage, faults=faults)
        task = asyncio.ensure_future(around.predict(ask([1, 2])))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert faults.errors == {"odd": 1}
