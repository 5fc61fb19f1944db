"""Whatever a plugin does wrong, the prediction goes on or ends as its stage says, and the model runs once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from foretell.errors import InvalidInputError, NotReadyError, PluginError, Problem, RunError
from foretell.plugin import (
    ModelInfo,
    NoConfig,
    Plugin,
    Predict,
    PredictRequest,
    PredictResponse,
    Stage,
    others_time,
)
from foretell.plugin.faults import Faults
from tests.plugin.chains import Engine, ask, chain_of, loaded, make_faults

OPEN = [Stage.OBSERVE, Stage.SHADOW, Stage.FALLBACK, Stage.CACHE]
CLOSED = [Stage.GUARD, Stage.VALIDATE]
stages_that_fail_open = pytest.mark.parametrize("stage", OPEN, ids=lambda stage: stage.name)
stages_that_fail_closed = pytest.mark.parametrize("stage", CLOSED, ids=lambda stage: stage.name)

Behaviour = Callable[[PredictRequest, Predict], Any]


def plugin(stage: Stage, behave: Behaviour) -> Plugin[NoConfig]:
    """A plugin that does something of its own around each prediction."""

    class Odd(Plugin[NoConfig]):
        def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
            def predict(request: PredictRequest) -> Any:
                return behave(request, call_next)

            return predict

    Odd.stage = stage
    return Odd(NoConfig())


async def crash_before(request: PredictRequest, call_next: Predict) -> Any:
    raise ZeroDivisionError("before")


async def crash_after(request: PredictRequest, call_next: Predict) -> Any:
    await call_next(request)
    raise ZeroDivisionError("after")


async def exit_before(request: PredictRequest, call_next: Predict) -> Any:
    raise SystemExit(3)


async def exit_after(request: PredictRequest, call_next: Predict) -> Any:
    await call_next(request)
    raise SystemExit(3)


async def cancel_itself(request: PredictRequest, call_next: Predict) -> Any:
    raise asyncio.CancelledError


async def mutate(request: PredictRequest, call_next: Predict) -> Any:
    request.inputs["X"][:] = 99
    return await call_next(request)


async def answer_nothing(request: PredictRequest, call_next: Predict) -> Any:
    await call_next(request)


async def answer_nonsense(request: PredictRequest, call_next: Predict) -> Any:
    return {"Y": 1}


async def call_twice(request: PredictRequest, call_next: Predict) -> Any:
    await call_next(request)
    return await call_next(request)


def no_coroutine(request: PredictRequest, call_next: Predict) -> Any:
    return None


def crash_without_coroutine(request: PredictRequest, call_next: Predict) -> Any:
    raise ZeroDivisionError


async def never_return(request: PredictRequest, call_next: Predict) -> Any:
    await asyncio.Event().wait()


async def never_return_after(request: PredictRequest, call_next: Predict) -> Any:
    await call_next(request)
    await asyncio.Event().wait()


async def never_return_whatever_happens(request: PredictRequest, call_next: Predict) -> Any:
    for _ in range(2):  # not for ever: the event loop is gone when it is thrown away
        with contextlib.suppress(BaseException):
            await asyncio.Event().wait()


async def leave_to_a_task(request: PredictRequest, call_next: Predict) -> Any:
    running.append(asyncio.ensure_future(call_next(request)))
    await asyncio.sleep(0)
    raise ZeroDivisionError("the run goes on")


running: list[Any] = []

FAULTS: dict[str, Behaviour] = {
    "crashes before": crash_before,
    "crashes after": crash_after,
    "exits before": exit_before,
    "exits after": exit_after,
    "cancels itself": cancel_itself,
    "mutates the inputs": mutate,
    "answers nothing": answer_nothing,
    "answers nonsense": answer_nonsense,
    "is no coroutine": no_coroutine,
    "crashes at once": crash_without_coroutine,
    "never returns": never_return,
    "never returns after": never_return_after,
    "never returns at all": never_return_whatever_happens,
    "leaves it to a task": leave_to_a_task,
}
every_fault = pytest.mark.parametrize("behave", FAULTS.values(), ids=FAULTS)


def predict(
    stage: Stage, behave: Behaviour, engine: Engine, faults: Faults, *, timeout_s: float = 0.05
) -> PredictResponse:
    odd = loaded(plugin(stage, behave), name="odd", timeout_s=timeout_s)

    async def scenario() -> PredictResponse:
        return await chain_of(odd, end=engine, faults=faults).predict(ask([1, 2]))

    return asyncio.run(scenario())


async def wait_a_little() -> None:
    await asyncio.sleep(0.01)


engines = pytest.mark.parametrize(
    "engine", [Engine, lambda: Engine(wait_a_little)], ids=["inline", "waiting"]
)


@stages_that_fail_open
@every_fault
@engines
def test_the_prediction_goes_on_without_a_plugin_that_fails_open_and_the_model_runs_once(
    stage: Stage, behave: Behaviour, engine: Callable[[], Engine]
) -> None:
    end, faults = engine(), make_faults()
    assert predict(stage, behave, end, faults).outputs["Y"].tolist() == [3]
    assert len(end.runs) == 1
    assert faults.errors == {"odd": 1}


@stages_that_fail_closed
@every_fault
@engines
def test_the_prediction_ends_where_a_plugin_that_fails_closed_does(
    stage: Stage, behave: Behaviour, engine: Callable[[], Engine]
) -> None:
    end, faults = engine(), make_faults()
    with pytest.raises(PluginError, match="odd"):
        predict(stage, behave, end, faults)
    assert len(end.runs) <= 1
    assert faults.errors == {"odd": 1}


@pytest.mark.parametrize("stage", [*OPEN[:2], Stage.CACHE], ids=lambda stage: stage.name)
def test_a_second_call_on_is_refused_and_the_first_answer_stands(stage: Stage) -> None:
    end, faults = Engine(), make_faults()
    assert predict(stage, call_twice, end, faults).outputs["Y"].tolist() == [3]
    assert len(end.runs) == 1
    assert faults.errors == {"odd": 1}


def test_fallback_may_call_on_again() -> None:
    end, faults = Engine(), make_faults()
    assert predict(Stage.FALLBACK, call_twice, end, faults).outputs["Y"].tolist() == [3]
    assert len(end.runs) == 2
    assert faults.errors == {}


@pytest.mark.parametrize("stage", list(Stage), ids=lambda stage: stage.name)
def test_what_the_model_raises_goes_through_every_plugin_and_is_no_fault_of_theirs(stage: Stage) -> None:
    async def fail() -> None:
        raise RunError("the model")

    async def pass_on(request: PredictRequest, call_next: Predict) -> Any:
        return await call_next(request)

    faults = make_faults()
    with pytest.raises(RunError, match="the model"):
        predict(stage, pass_on, Engine(fail), faults)
    assert faults.errors == {}


@stages_that_fail_open
def test_a_crash_after_the_model_failed_does_not_hide_that(stage: Stage) -> None:
    async def fail() -> None:
        raise RunError("the model")

    async def crash_on_errors(request: PredictRequest, call_next: Predict) -> Any:
        try:
            return await call_next(request)
        except RunError:
            raise KeyError("the plugin") from None

    faults = make_faults()
    with pytest.raises(RunError, match="the model"):
        predict(stage, crash_on_errors, Engine(fail), faults)
    assert faults.errors == {"odd": 1}


@pytest.mark.parametrize(
    ("stage", "verdict"),
    [
        (Stage.GUARD, True),
        (Stage.VALIDATE, True),
        (Stage.FALLBACK, True),
        (Stage.CACHE, True),
        (Stage.OBSERVE, False),
        (Stage.SHADOW, False),
    ],
    ids=str,
)
def test_only_plugins_that_may_judge_can_refuse_a_request(stage: Stage, verdict: bool) -> None:
    async def refuse(request: PredictRequest, call_next: Predict) -> Any:
        raise InvalidInputError(Problem("$", "no"))

    faults = make_faults()
    if verdict:
        with pytest.raises(InvalidInputError):
            predict(stage, refuse, Engine(), faults)
        assert faults.errors == {}
    else:
        predict(stage, refuse, Engine(), faults)
        assert faults.errors == {"odd": 1}


def test_time_that_the_model_takes_is_not_the_plugin_s() -> None:
    async def slow() -> None:
        await asyncio.sleep(0.3)

    async def wait_around(request: PredictRequest, call_next: Predict) -> Any:
        await asyncio.sleep(0.01)
        response = await call_next(request)
        await asyncio.sleep(0.01)
        return response

    end, faults = Engine(slow), make_faults()
    assert predict(Stage.OBSERVE, wait_around, end, faults, timeout_s=0.2).outputs["Y"].tolist() == [3]
    assert faults.errors == {}


def test_the_time_before_and_after_the_model_counts_together() -> None:
    async def wait_around(request: PredictRequest, call_next: Predict) -> Any:
        await asyncio.sleep(0.15)
        response = await call_next(request)
        await asyncio.sleep(0.15)
        return response

    end, faults = Engine(), make_faults()
    assert predict(Stage.OBSERVE, wait_around, end, faults, timeout_s=0.2).outputs["Y"].tolist() == [3]
    assert faults.errors == {"odd": 1}
    assert len(end.runs) == 1


def test_time_of_others_can_be_marked_as_such() -> None:
    async def wait_for_others(request: PredictRequest, call_next: Predict) -> Any:
        with others_time(request):
            await asyncio.sleep(0.3)
        return await call_next(request)

    faults = make_faults()
    predict(Stage.CACHE, wait_for_others, Engine(), faults, timeout_s=0.1)
    assert faults.errors == {}


def test_outside_of_a_chain_nobody_counts_the_time() -> None:
    with others_time(ask()):
        pass


def test_a_caller_that_goes_away_is_no_fault() -> None:
    async def wait(request: PredictRequest, call_next: Predict) -> Any:
        await asyncio.sleep(60)

    faults = make_faults()
    end = Engine()
    chain = chain_of(loaded(plugin(Stage.OBSERVE, wait), timeout_s=100), end=end, faults=faults)

    async def scenario() -> None:
        task = asyncio.ensure_future(chain.predict(ask()))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert faults.errors == {}
    assert end.runs == []


def test_a_run_that_was_given_up_is_not_repeated() -> None:
    async def give_up(request: PredictRequest, call_next: Predict) -> Any:
        task = asyncio.ensure_future(call_next(request))
        await asyncio.sleep(0)
        task.cancel()
        await task

    faults = make_faults()
    end = Engine(wait_a_little)
    with pytest.raises(PluginError, match="gave up the run"):
        predict(Stage.CACHE, give_up, end, faults)
    assert len(end.runs) == 1


async def call_on_later(request: PredictRequest, call_next: Predict) -> Any:
    await asyncio.sleep(0.1)
    return await call_next(request)


async def crash_and_call_on_later(request: PredictRequest, call_next: Predict) -> Any:
    running.append(asyncio.ensure_future(call_on_later(request, call_next)))
    raise ZeroDivisionError("the task has yet to call on")


async def wait_for_a_task_too_long(request: PredictRequest, call_next: Predict) -> Any:
    running.append(task := asyncio.ensure_future(call_on_later(request, call_next)))
    return await asyncio.shield(task)


async def answer_and_call_on_later(request: PredictRequest, call_next: Predict) -> Any:
    running.append(asyncio.ensure_future(call_on_later(request, call_next)))
    return PredictResponse({"Y": request.inputs["X"].sum(axis=1)})


@pytest.mark.parametrize("stage", [Stage.OBSERVE, Stage.FALLBACK], ids=lambda stage: stage.name)
@pytest.mark.parametrize(
    ("behave", "runs", "faults_expected"),
    [
        (crash_and_call_on_later, 1, 2),
        (wait_for_a_task_too_long, 1, 2),
        (answer_and_call_on_later, 0, 1),
    ],
    ids=["crashed", "timed out", "answered"],
)
def test_what_a_plugin_leaves_running_calls_on_no_more_when_it_is_done(
    stage: Stage, behave: Behaviour, runs: int, faults_expected: int
) -> None:
    end, faults = Engine(), make_faults()
    odd = loaded(plugin(stage, behave), name="odd", timeout_s=0.02)

    async def scenario() -> None:
        response = await chain_of(odd, end=end, faults=faults).predict(ask([1, 2]))
        assert response.outputs["Y"].tolist() == [3]
        with pytest.raises(PluginError, match="called on when it was done with the request"):
            await running.pop()

    asyncio.run(scenario())
    assert len(end.runs) == runs
    assert faults.errors == {"odd": faults_expected}


def test_layers_do_not_disturb_each_other_and_the_model_runs_once() -> None:
    layers = [
        loaded(plugin(stage, behave), name=f"p{number}", timeout_s=0.05)
        for number, (stage, behave) in enumerate(
            [(Stage.OBSERVE, crash_after), (Stage.SHADOW, never_return_after), (Stage.CACHE, crash_before)]
        )
    ]
    end, faults = Engine(wait_a_little), make_faults()
    chain = chain_of(*layers, end=end, faults=faults)
    assert asyncio.run(_run(chain.predict(ask([2, 2])))).outputs["Y"].tolist() == [4]
    assert len(end.runs) == 1
    assert faults.errors == {"p0": 1, "p1": 1, "p2": 1}


def test_a_plugin_may_change_what_is_asked() -> None:
    async def double(request: PredictRequest, call_next: Predict) -> Any:
        return await call_next(request.replace(inputs={"X": request.inputs["X"] * 2}))

    end, faults = Engine(), make_faults()
    assert predict(Stage.VALIDATE, double, end, faults).outputs["Y"].tolist() == [6]


def test_a_plugin_that_makes_a_request_of_its_own_is_told_how() -> None:
    async def forget(request: PredictRequest, call_next: Predict) -> Any:
        return await call_next(PredictRequest(request.inputs, request.rows, request.record))

    end = Engine()
    with pytest.raises(PluginError, match=r"request\.replace\(inputs=…\)"):
        predict(Stage.VALIDATE, forget, end, make_faults())
    assert end.runs == []


def test_many_requests_at_once_each_get_their_own_answer() -> None:
    async def sometimes(request: PredictRequest, call_next: Predict) -> Any:
        if float(request.inputs["X"][0, 0]) % 3 == 0:
            raise ZeroDivisionError
        response = await call_next(request)
        if float(request.inputs["X"][0, 0]) % 3 == 1:
            raise ZeroDivisionError
        return response

    end, faults = Engine(wait_a_little), make_faults()
    chain = chain_of(loaded(plugin(Stage.CACHE, sometimes)), end=end, faults=faults)

    async def scenario() -> list[PredictResponse]:
        return await asyncio.gather(*(chain.predict(ask([number, 0])) for number in range(300)))

    answers = asyncio.run(scenario())
    assert [answer.outputs["Y"].tolist() for answer in answers] == [[number] for number in range(300)]
    assert len(end.runs) == 300
    assert faults.errors == {"p": 200}


def test_a_slow_plugin_is_told_off() -> None:
    def dawdle(request: PredictRequest, call_next: Predict) -> Any:
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            pass
        return call_next(request)

    events: list[dict[str, Any]] = []
    chain = chain_of(
        loaded(plugin(Stage.OBSERVE, dawdle), name="slow", budget_us=100),
        end=Engine(),
        faults=make_faults(events),
    )
    for _ in range(70):
        asyncio.run(_run(chain.predict(ask())))
    (event,) = events
    assert event["event"] == "plugin over its budget"
    assert (event["plugin"], event["budget_us"]) == ("slow", 100)
    assert event["own_us"] >= 2000


def test_what_a_plugin_may_take_grows_with_the_inputs() -> None:
    def dawdle(request: PredictRequest, call_next: Predict) -> Any:
        until = time.perf_counter() + 0.0002
        while time.perf_counter() < until:
            pass
        return call_next(request)

    events: list[dict[str, Any]] = []
    slow = loaded(plugin(Stage.OBSERVE, dawdle), name="slow", budget_us=100)
    for rows, expected in ((40_000, 0), (1, 1)):  # 40,000 of them are many times 16 KB
        chain = chain_of(slow, end=Engine(), faults=make_faults(events))
        for _ in range(70):
            asyncio.run(_run(chain.predict(ask(*[[1.0, 2.0]] * rows))))
        assert len(events) == expected


@pytest.mark.parametrize("engine", [Engine, lambda: Engine(wait_a_little)], ids=["inline", "waiting"])
def test_blocking_for_longer_than_it_may_take_is_a_fault_each_time_and_the_answer_stands(
    engine: Callable[[], Engine],
) -> None:
    async def block(request: PredictRequest, call_next: Predict) -> Any:
        response = await call_next(request)
        time.sleep(0.03)  # noqa: ASYNC251 - that is the mistake
        return response

    events: list[dict[str, Any]] = []
    end, faults = engine(), make_faults(events)
    chain = chain_of(loaded(plugin(Stage.OBSERVE, block), timeout_s=0.02), end=end, faults=faults)

    async def scenario() -> None:
        for _ in range(3):
            assert (await chain.predict(ask([1, 2]))).outputs["Y"].tolist() == [3]

    asyncio.run(scenario())
    assert len(end.runs) == 3
    assert faults.errors == {"p": 3}
    assert "timeout_s is 0.02. While it computes, every other request waits" in events[0]["reason"]


@pytest.mark.parametrize(("waits", "found"), [(True, 1), (False, 0)], ids=["waits", "does not wait"])
def test_of_calls_that_do_not_wait_only_some_are_timed(waits: bool, found: int) -> None:
    blocks = [False] * 10 + [True] + [False] * 10

    async def sometimes_block(request: PredictRequest, call_next: Predict) -> Any:
        if waits:
            await asyncio.sleep(0)
        if blocks.pop():
            time.sleep(0.3)  # noqa: ASYNC251 - that is the mistake
        return await call_next(request)

    faults = make_faults()
    odd = loaded(plugin(Stage.OBSERVE, sometimes_block), timeout_s=0.2)
    chain = chain_of(odd, end=Engine(), faults=faults)
    while blocks:
        asyncio.run(_run(chain.predict(ask())))
    assert faults.errors.get("p", 0) == found


def test_a_slow_model_in_a_thread_is_not_the_plugin_s_time() -> None:
    async def slow() -> None:
        await asyncio.sleep(0.3)

    async def pass_on(request: PredictRequest, call_next: Predict) -> Any:
        return await call_next(request)

    faults = make_faults()
    quick = loaded(plugin(Stage.OBSERVE, pass_on), timeout_s=0.2)
    chain = chain_of(quick, end=Engine(slow), faults=faults)
    for _ in range(2):  # the first is timed from its beginning, the second once it waits
        asyncio.run(_run(chain.predict(ask())))
    assert faults.errors == {}


def test_a_quick_plugin_is_not_blamed_for_a_slow_model() -> None:
    async def slow() -> None:
        time.sleep(0.002)  # noqa: ASYNC251 - a model that runs on the event loop

    events: list[dict[str, Any]] = []
    quick = loaded(plugin(Stage.OBSERVE, lambda request, call_next: call_next(request)), budget_us=1500)
    chain = chain_of(quick, end=Engine(slow), faults=make_faults(events))
    for _ in range(70):
        asyncio.run(_run(chain.predict(ask())))
    assert events == []


def test_a_plugin_that_cannot_wrap_is_named() -> None:
    class Broken(Plugin[NoConfig]):
        stage = Stage.CACHE

        def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
            raise ZeroDivisionError("oh")

    with pytest.raises(
        PluginError, match=r"plugin 'p' \(a test\) failed to wrap m version 1: ZeroDivisionError: oh"
    ):
        chain_of(loaded(Broken(NoConfig())), end=Engine())


def test_a_plugin_that_wraps_with_nothing_is_named() -> None:
    class Empty(Plugin[NoConfig]):
        stage = Stage.CACHE

        def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Any:
            return None

    with pytest.raises(PluginError, match="wrap_predict gave None"):
        chain_of(loaded(Empty(NoConfig())), end=Engine())


def test_a_verdict_while_wrapping_stays_what_it_is() -> None:
    class Early(Plugin[NoConfig]):
        stage = Stage.FALLBACK

        def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
            raise NotReadyError("the target is absent")

    with pytest.raises(NotReadyError):
        chain_of(loaded(Early(NoConfig())), end=Engine())


def test_inputs_are_read_only_where_plugins_see_them() -> None:
    async def look(request: PredictRequest, call_next: Predict) -> Any:
        assert not request.inputs["X"].flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            np.copyto(request.inputs["X"], 0)
        return await call_next(request)

    faults = make_faults()
    predict(Stage.OBSERVE, look, Engine(), faults)
    assert faults.errors == {}


async def _run(answer: Any) -> PredictResponse:
    response: PredictResponse = await answer
    return response
