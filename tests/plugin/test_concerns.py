"""A plugin that goes around some requests only says which, and costs the others next to nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from foretell.errors import AccessDeniedError, PluginError
from foretell.plugin import (
    ModelInfo,
    NoConfig,
    Plugin,
    Predict,
    PredictRequest,
    PredictResponse,
    RequestRecord,
    Stage,
)
from tests.plugin.chains import Engine, ask, chain_of, loaded, make_faults

Concern = Callable[[RequestRecord], Any]


def concerned(concern: Concern, *, stage: Stage = Stage.OBSERVE) -> tuple[Any, list[PredictRequest]]:
    """A plugin that notes which requests it goes around, and the list that it notes them in."""
    entered: list[PredictRequest] = []

    class Concerned(Plugin[NoConfig]):
        def concerns(self, record: RequestRecord) -> bool:
            answer: bool = concern(record)
            return answer

        def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
            async def predict(request: PredictRequest) -> PredictResponse:
                entered.append(request)
                return await call_next(request)

            return predict

    Concerned.stage = stage
    return loaded(Concerned(NoConfig())), entered


def run(answer: Any) -> PredictResponse:
    async def wait() -> PredictResponse:
        response: PredictResponse = await answer
        return response

    return asyncio.run(wait())


def crash(record: RequestRecord) -> bool:
    raise ZeroDivisionError("oh")


def leave(record: RequestRecord) -> bool:
    raise SystemExit(1)


def cancel(record: RequestRecord) -> bool:
    raise asyncio.CancelledError


async def wait(record: RequestRecord) -> bool:
    return True


def give_number(record: RequestRecord) -> int:
    return 1


def give_nothing(record: RequestRecord) -> None:
    return None


FAULTS = pytest.mark.parametrize("concern", [crash, leave, cancel, wait, give_number, give_nothing])


def test_a_plugin_goes_around_the_requests_that_concern_it() -> None:
    plugin, entered = concerned(lambda record: record.header(b"x-user") is not None)
    engine = Engine()
    predict = chain_of(plugin, end=engine).predict
    for headers in ([], [(b"x-user", b"7")], []):
        assert run(predict(ask([1, 2], headers=headers))).outputs["Y"].tolist() == [3]
    assert len(entered) == 1
    assert len(engine.runs) == 3


def test_a_request_that_concerns_no_plugin_reaches_the_model_as_it_is() -> None:
    plugin, _ = concerned(lambda _: False)
    engine, request = Engine(), ask([1, 2])
    run(chain_of(plugin, end=engine).predict(request))
    assert engine.runs == [request]
    assert engine.runs[0] is request


def test_who_does_not_say_is_concerned_with_every_request() -> None:
    assert Plugin[NoConfig](NoConfig()).concerns(RequestRecord("r", "native", 0)) is True


@FAULTS
@pytest.mark.parametrize("stage", [Stage.OBSERVE, Stage.SHADOW, Stage.FALLBACK, Stage.CACHE])
def test_a_prediction_goes_on_without_a_plugin_that_cannot_say(concern: Concern, stage: Stage) -> None:
    events: list[dict[str, Any]] = []
    faults = make_faults(events)
    plugin, entered = concerned(concern, stage=stage)
    engine = Engine()
    assert run(chain_of(plugin, end=engine, faults=faults).predict(ask([1, 2]))).outputs["Y"].tolist() == [3]
    assert (len(engine.runs), entered, faults.errors) == (1, [], {"p": 1})
    assert events[0]["hook"] == "concerns"
    assert events[0]["request_id"] == engine.runs[0].record.request_id


@FAULTS
@pytest.mark.parametrize("stage", [Stage.GUARD, Stage.VALIDATE])
def test_a_prediction_ends_where_a_plugin_that_fails_closed_cannot_say(
    concern: Concern, stage: Stage
) -> None:
    faults = make_faults()
    plugin, entered = concerned(concern, stage=stage)
    engine = Engine()
    with pytest.raises(PluginError, match="plugin 'p' failed"):
        run(chain_of(plugin, end=engine, faults=faults).predict(ask([1, 2])))
    assert (engine.runs, entered, faults.errors) == ([], [], {"p": 1})


@pytest.mark.parametrize(("stage", "refuses"), [(Stage.GUARD, True), (Stage.OBSERVE, False)])
def test_only_plugins_that_may_judge_can_refuse(stage: Stage, refuses: bool) -> None:
    def refuse(record: RequestRecord) -> bool:
        raise AccessDeniedError("not you")

    faults = make_faults()
    plugin, _ = concerned(refuse, stage=stage)
    predict = chain_of(plugin, end=Engine(), faults=faults).predict
    if refuses:
        with pytest.raises(AccessDeniedError):
            run(predict(ask([1, 2])))
    else:
        assert run(predict(ask([1, 2]))).outputs["Y"].tolist() == [3]
    assert faults.errors == ({} if refuses else {"p": 1})


def test_a_keyboard_interrupt_goes_through() -> None:
    def interrupt(record: RequestRecord) -> bool:
        raise KeyboardInterrupt

    plugin, _ = concerned(interrupt)
    steps = chain_of(plugin, end=Engine()).predict(ask([1, 2])).__await__()
    with pytest.raises(KeyboardInterrupt):
        next(steps)


def test_what_it_is_concerned_with_is_isolated_as_ever() -> None:
    class Crashing(Plugin[NoConfig]):
        stage = Stage.OBSERVE

        def concerns(self, record: RequestRecord) -> bool:
            return True

        def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
            async def predict(request: PredictRequest) -> PredictResponse:
                await call_next(request)
                raise ZeroDivisionError("after")

            return predict

    faults, engine = make_faults(), Engine()
    predict = chain_of(loaded(Crashing(NoConfig())), end=engine, faults=faults).predict
    assert run(predict(ask([1, 2]))).outputs["Y"].tolist() == [3]
    assert (len(engine.runs), faults.errors) == (1, {"p": 1})
