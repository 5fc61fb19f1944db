"""The contract test finds what it looks for: for each check there is a plugin that fails it, and it alone names why."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from litestar import Litestar
from litestar.config.app import AppConfig

from foretell.errors import InvalidInputError, Problem
from foretell.plugin import (
    Choose,
    ModelInfo,
    NoConfig,
    Plugin,
    Predict,
    PredictRequest,
    PredictResponse,
    RequestRecord,
    Stage,
)
from foretell.plugin.checks import CHECKS
from foretell.plugin.testing import ContractError, PluginContract
from foretell.plugin.trial import Trial, Watch


class Loose(msgspec.Struct):
    pass


class Good(Plugin[NoConfig]):
    stage = Stage.OBSERVE

    def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
        async def predict(request: PredictRequest) -> PredictResponse:
            return await self.answer(call_next, request)

        return predict

    async def answer(self, call_next: Predict, request: PredictRequest) -> PredictResponse:
        return await call_next(request)


class Stageless(Plugin[NoConfig]):
    pass


class TakesAnyKey(Plugin[Loose]):
    stage = Stage.OBSERVE


class ReadsWhenMade(Good):
    def __init__(self, config: NoConfig) -> None:
        super().__init__(config)
        with open("/etc/hostname", encoding="utf-8") as file:  # noqa: PTH123 - as an author might
            file.read()


class AnswersItself(Good):
    async def answer(self, call_next: Predict, request: PredictRequest) -> PredictResponse:
        response = await call_next(request)
        return PredictResponse({"Y": response.outputs["Y"] + 1})


class Crashes(Good):
    async def answer(self, call_next: Predict, request: PredictRequest) -> PredictResponse:
        raise ZeroDivisionError


class CallsTwice(Good):
    async def answer(self, call_next: Predict, request: PredictRequest) -> PredictResponse:
        await call_next(request)
        return await call_next(request)


class ChangesInputs(Good):
    async def answer(self, call_next: Predict, request: PredictRequest) -> PredictResponse:
        array = request.inputs["X"]
        array.flags.writeable = True
        array += 0.5
        response = await call_next(request)
        array -= 0.25
        return response


class HidesErrors(Good):
    stage = Stage.FALLBACK

    async def answer(self, call_next: Predict, request: PredictRequest) -> PredictResponse:
        try:
            return await call_next(request)
        except Exception:  # noqa: BLE001 - that is the mistake
            return PredictResponse({"Y": request.inputs["X"].sum(axis=1)})


class RemembersFailure(Good):
    stage = Stage.FALLBACK
    failed = False

    async def answer(self, call_next: Predict, request: PredictRequest) -> PredictResponse:
        if self.failed:
            return PredictResponse({"Y": request.inputs["X"].sum(axis=1) * 0})
        try:
            return await call_next(request)
        except Exception:
            self.failed = True
            raise


class SwallowsCancellation(Good):
    stage = Stage.CACHE

    async def answer(self, call_next: Predict, request: PredictRequest) -> PredictResponse:
        try:
            return await call_next(request)
        except asyncio.CancelledError:
            return PredictResponse({"Y": request.inputs["X"].sum(axis=1)})


class MixesCallers(Good):
    stage = Stage.CACHE
    last: PredictResponse | None = None

    async def answer(self, call_next: Predict, request: PredictRequest) -> PredictResponse:
        response = await call_next(request)
        before, self.last = self.last, response
        return before or response


class MixesModels(Good):
    stage = Stage.CACHE

    def __init__(self, config: NoConfig) -> None:
        super().__init__(config)
        self.kept: dict[bytes, PredictResponse] = {}

    async def answer(self, call_next: Predict, request: PredictRequest) -> PredictResponse:
        key = request.inputs["X"].tobytes()
        if key not in self.kept:
            self.kept[key] = await call_next(request)
        return self.kept[key]


class ChoosesText(Plugin[NoConfig]):
    stage = Stage.SHADOW

    def wrap_choice(self, call_next: Choose, model: ModelInfo) -> Choose:
        return lambda record: record.header(b"x-version")  # type: ignore[return-value] # pyright: ignore[reportReturnType] # that is the mistake


class SaysNothing(Good):
    def concerns(self, record: RequestRecord) -> bool:
        return record.header(b"x-user")  # type: ignore[return-value] # pyright: ignore[reportReturnType] # that is the mistake


class ExpectsAnswers(Plugin[NoConfig]):
    stage = Stage.OBSERVE

    def observe(self, records: Any) -> None:
        for record in records:
            _ = record.rows / record.rows


class NeverOpens(Plugin[NoConfig]):
    stage = Stage.OBSERVE

    def lifespan(self, app: Litestar) -> Any:
        raise OSError("no port")


class LosesTheApplication(Plugin[NoConfig]):
    stage = Stage.OBSERVE

    def on_app_init(self, app_config: AppConfig) -> Any:
        return None


class AddsNoCommand(Plugin[NoConfig]):
    stage = Stage.OBSERVE

    def register_commands(self, cli: click.Group) -> None: ...


BREAKS: dict[str, type[Plugin[Any]]] = {
    "has_a_stage": Stageless,
    "refuses_unknown_keys": TakesAnyKey,
    "is_made_without_io": ReadsWhenMade,
    "hands_answers_on": AnswersItself,
    "calls_on_once": CallsTwice,
    "leaves_inputs_alone": ChangesInputs,
    "hands_errors_on": HidesErrors,
    "keeps_no_errors": RemembersFailure,
    "lets_callers_go": SwallowsCancellation,
    "keeps_callers_apart": MixesCallers,
    "keeps_models_apart": MixesModels,
    "says_what_concerns_it": SaysNothing,
    "chooses_versions": ChoosesText,
    "observes_everything": ExpectsAnswers,
    "opens_and_closes": NeverOpens,
    "builds_on_the_application": LosesTheApplication,
    "adds_commands_of_its_own": AddsNoCommand,
}


def test_every_check_has_a_plugin_that_breaks_it() -> None:
    assert BREAKS.keys() == CHECKS.keys()


@pytest.mark.parametrize("name", BREAKS)
def test_a_check_finds_what_it_looks_for(name: str) -> None:
    with pytest.raises((ContractError, OSError, ZeroDivisionError)):
        CHECKS[name](Trial(BREAKS[name]))


@pytest.mark.parametrize("name", ["hands_answers_on", "calls_on_once", "keeps_callers_apart"])
def test_a_crash_that_the_isolation_would_mend_is_found(name: str) -> None:
    with pytest.raises(ContractError, match="it failed: wrap_predict: ZeroDivisionError"):
        CHECKS[name](Trial(Crashes))


class OfAnotherModel(Good):
    stage = Stage.VALIDATE

    def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
        async def predict(request: PredictRequest) -> PredictResponse:
            assert request.inputs["features"].size
            return await call_next(request)

        return predict


def test_a_rule_for_another_model_is_told_which_model_there_is() -> None:
    with pytest.raises(ContractError, match=r"KeyError: 'features'\. The model here takes one input, 'X'"):
        CHECKS["hands_answers_on"](Trial(OfAnotherModel))


def test_what_watches_a_plugin_runs_no_python_afterwards(tmp_path: Path) -> None:
    """Or threads that begin under coverage might fail: Python in an audit hook lets others into `settrace`."""
    touched: list[str] = []
    watch = Watch(touched)
    for number in range(4):
        with watch if number % 2 else nullcontext():
            (tmp_path / str(number)).write_text("")
    assert touched == [f"open '{tmp_path}/{number}'" for number in (1, 3)]
    assert inspect.isbuiltin(watch._hook.func)


class Refuses(Good):
    """A plugin may refuse what the checks ask, if its stage allows that."""

    stage = Stage.VALIDATE

    async def answer(self, call_next: Predict, request: PredictRequest) -> PredictResponse:
        raise InvalidInputError(Problem("$", "never"))


class TestGood(PluginContract):
    plugin_type = Good


class TestRefuses(PluginContract):
    plugin_type = Refuses
