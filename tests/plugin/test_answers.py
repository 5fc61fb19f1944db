"""What a plugin answers by itself must be an answer of the version; if it is not, it is a fault like any other."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from foretell.errors import PluginError
from foretell.plugin import ModelInfo, NoConfig, Plugin, Predict, PredictRequest, PredictResponse, Stage
from foretell.signature import Signature, Tensor
from tests.plugin.chains import Engine, ask, chain_of, info, loaded, make_faults

Y = np.array([3, 7], dtype=np.float32)
UNSOUND: dict[str, Any] = {
    "no outputs": {},
    "another output": {"Z": Y},
    "nothing as an output": {"Y": None},
    "a list": {"Y": [3, 7]},
    "too few rows": {"Y": Y[:1]},
    "too many rows": {"Y": np.concatenate([Y, Y])},
    "no rows": {"Y": np.float32(3)},
}
unsound = pytest.mark.parametrize("outputs", UNSOUND.values(), ids=UNSOUND)


def answering(outputs: Any, stage: Stage, *, calls_on: bool) -> Any:
    """A plugin that answers by itself."""

    class Answers(Plugin[NoConfig]):
        def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
            async def predict(request: PredictRequest) -> PredictResponse:
                if calls_on:
                    await call_next(request)
                return PredictResponse(outputs)

            return predict

    Answers.stage = stage
    return loaded(Answers(NoConfig()))


def predict(plugin: Any, request: PredictRequest, **more: Any) -> PredictResponse:
    async def scenario() -> PredictResponse:
        return await chain_of(plugin, **more).predict(request)

    return asyncio.run(scenario())


@unsound
@pytest.mark.parametrize("calls_on", [True, False], ids=["after the model", "without the model"])
def test_an_answer_that_is_none_is_a_fault_and_the_model_s_answer_is_given(
    outputs: Any, calls_on: bool
) -> None:
    end, faults = Engine(), make_faults()
    plugin = answering(outputs, Stage.CACHE, calls_on=calls_on)
    response = predict(plugin, ask([1, 2], [3, 4]), end=end, faults=faults)
    assert response.outputs["Y"].tolist() == [3, 7]
    assert len(end.runs) == 1
    assert faults.errors == {"p": 1}


def test_one_that_fails_closed_refuses_then() -> None:
    with pytest.raises(PluginError, match=r"plugin 'p' failed: .* gave None for the output 'Y'"):
        predict(answering({}, Stage.VALIDATE, calls_on=True), ask([1, 2]), end=Engine())


def test_an_answer_of_the_right_form_is_given() -> None:
    end, faults = Engine(), make_faults()
    plugin = answering({"Y": Y * 10}, Stage.CACHE, calls_on=False)
    response = predict(plugin, ask([1, 2], [3, 4]), end=end, faults=faults)
    assert response.outputs["Y"].tolist() == [30, 70]
    assert (end.runs, faults.errors) == ([], {})


def test_only_the_outputs_that_are_wanted_must_be_there() -> None:
    both = Signature(
        (Tensor("X", "float32", ("batch", 2)),),
        (Tensor("Y", "float32", ("batch",)), Tensor("Z", "float32", ("batch",))),
    )
    asked = ask([1, 2], [3, 4])
    asked = PredictRequest(asked.inputs, asked.rows, asked.record, ("Y",))
    model = ModelInfo("m", 1, "d", "f", both)
    plugin = answering({"Y": Y}, Stage.CACHE, calls_on=False)
    end, faults = Engine(), make_faults()
    predict(plugin, asked, end=end, model=model, faults=faults)
    assert (end.runs, faults.errors) == ([], {})


@pytest.mark.parametrize(
    ("inputs", "output"),
    [(("batch", 2), (None,)), ((None, 2), (None,)), (("batch", 2), ("words",)), (("batch", 2), (5,))],
    ids=str,
)
def test_an_axis_that_need_not_be_that_of_the_rows_may_have_any_length(inputs: Any, output: Any) -> None:
    signature = Signature((Tensor("X", "float32", inputs),), (Tensor("Y", "float32", output),))
    model = ModelInfo("m", 1, "d", "f", signature)
    plugin = answering({"Y": np.zeros(5, np.float32)}, Stage.CACHE, calls_on=False)
    faults = make_faults()
    predict(plugin, ask([1, 2]), end=Engine(), model=model, faults=faults)
    assert faults.errors == {}


def test_what_came_from_further_in_is_handed_on_as_it_is() -> None:
    async def lie(request: PredictRequest) -> PredictResponse:
        return PredictResponse({"Y": np.zeros(5, np.float32)})

    class PassesOn(Plugin[NoConfig]):
        stage = Stage.OBSERVE

        def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
            return call_next

    faults = make_faults()
    response = predict(loaded(PassesOn(NoConfig())), ask([1, 2]), end=lie, model=info(), faults=faults)
    assert len(response.outputs["Y"]) == 5
    assert faults.errors == {}
