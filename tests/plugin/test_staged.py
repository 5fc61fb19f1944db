"""A chain in steps does what the same chain does in one piece, whatever its plugins do; and who leaves is told of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.errors import AccessDeniedError, RunError
from foretell.plugin import NoConfig, Plugin, PredictRequest, PredictResponse, Shortcut, Stage
from foretell.plugin import chain as chains
from foretell.plugin.chain import Chain
from foretell.plugin.staged import Passed, StagedChain
from tests.plugin.chains import ask, chain_of, loaded

ANSWER = np.array([3], dtype=np.float32)


class Does(Shortcut[str]):
    """Does what it is told, and says what it is asked."""

    def __init__(self, name: str, call_next: Any, trail: list[str], what: dict[str, str]) -> None:
        self._name, self._call_next, self._trail, self._what = name, call_next, trail, what

    async def __call__(self, request: PredictRequest) -> PredictResponse:
        self._say("long")
        response: PredictResponse = await self._call_next(request)
        self._say("long is over")
        return response

    def begin(self, request: PredictRequest) -> Any:
        del request
        self._say("begin")
        match self._what["begin"]:
            case "answer":
                return PredictResponse({"Y": ANSWER})
            case "long":
                return None
            case "raise":
                raise OSError("begin")
            case "refuse":
                raise AccessDeniedError("no")
            case _:
                return self._name

    def end(self, request: PredictRequest, begun: str, response: PredictResponse) -> None:
        del request, response
        self._say(f"end {begun}")
        if self._what["end"] == "raise":
            raise OSError("end")

    def failed(self, request: PredictRequest, begun: str, error: BaseException) -> bool:
        del request
        self._say(f"failed {begun} {type(error).__name__}")
        if self._what["failed"] == "raise":
            raise OSError("failed")
        return self._what["failed"] == "recover"

    async def recover(self, request: PredictRequest, begun: str, error: Exception) -> PredictResponse:
        del request
        self._say(f"recover {begun}")
        return PredictResponse({"Y": ANSWER}, type(error).__name__)

    def _say(self, what: str) -> None:
        self._trail.append(f"{self._name}: {what}")


def plugin(name: str, stage: Stage, trail: list[str], what: dict[str, str]) -> Plugin[NoConfig]:
    """A plugin with such a shortcut."""

    class Made(Plugin[NoConfig]):
        def wrap_predict(self, call_next: Any, model: Any) -> Any:
            del model
            return Does(name, call_next, trail, what)

    class Choosy(Made):
        def concerns(self, record: Any) -> bool:
            del record
            trail.append(f"{name}: concerns")
            if what["concerns"] == "raise":
                raise OSError("concerns")
            return what["concerns"] == "yes"

    Made.stage = stage
    return (Made if what["concerns"] == "all" else Choosy)(NoConfig())


def engine(trail: list[str], what: str) -> Any:
    """What runs the version."""

    def respond(request: PredictRequest) -> PredictResponse | Awaitable[PredictResponse]:
        trail.append("run")
        if what == "raise":
            raise RunError("run")
        if what == "gone":
            raise asyncio.CancelledError
        return later(request) if what == "later" else PredictResponse({"Y": request.inputs["X"].sum(axis=1)})

    async def later(request: PredictRequest) -> PredictResponse:
        await asyncio.sleep(0)
        return PredictResponse({"Y": request.inputs["X"].sum(axis=1)})

    return respond


def make(layers: list[tuple[Stage, dict[str, str]]], run: str, trail: list[str]) -> Chain:
    """The chain of some plugins."""
    plugins = [
        loaded(plugin(f"p{number}", stage, trail, what), name=f"p{number}")
        for number, (stage, what) in enumerate(layers)
    ]
    return chain_of(*plugins, end=engine(trail, run))


async def outcome(answer: Any) -> str:
    """What comes of it in the end, in words."""
    response: PredictResponse = answer if isinstance(answer, PredictResponse) else await answer
    return f"{response.outputs['Y'].tolist()} {response.degraded}"


def follow(respond: Any) -> str:
    """The same, or what is raised."""

    async def main() -> str:
        try:
            return await outcome(respond(ask()))
        except BaseException as error:  # noqa: BLE001 - what it is, is compared
            return f"{type(error).__name__}: {error}"

    return asyncio.run(main())


LAYER = st.tuples(
    st.sampled_from(list(Stage)),
    st.fixed_dictionaries(
        {
            "begin": st.sampled_from(["begun", "begun", "begun", "answer", "long", "raise", "refuse"]),
            "end": st.sampled_from(["nothing", "nothing", "raise"]),
            "failed": st.sampled_from(["no", "recover", "raise"]),
            "concerns": st.sampled_from(["all", "all", "yes", "no", "raise"]),
        }
    ),
)
RUN = st.sampled_from(["answer", "later", "raise", "gone"])


@settings(max_examples=600)
@given(st.lists(LAYER, min_size=1, max_size=4), RUN)
def test_in_steps_it_does_what_it_does_in_one_piece(
    layers: list[tuple[Stage, dict[str, str]]], run: str
) -> None:
    in_steps: list[str] = []
    staged = make(layers, run, in_steps)
    assert staged.staged is not None
    in_one: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chains, "_staged", lambda *_: None)  # pyright: ignore[reportUnknownArgumentType, reportUnknownLambdaType]
        whole = make(layers, run, in_one)
    assert whole.staged is None
    assert follow(staged.respond) == follow(whole.respond)
    assert in_steps == in_one


@settings(max_examples=300)
@given(st.lists(LAYER, min_size=1, max_size=4))
def test_it_does_the_same_with_a_run_that_was_shared(layers: list[tuple[Stage, dict[str, str]]]) -> None:
    shared: list[str] = []
    own: list[str] = []
    staged, alone = make(layers, "answer", shared), make(layers, "answer", own)

    def respond(request: PredictRequest) -> Any:
        passed: Passed = []
        chain = known(staged)
        answer = chain.enter(request, passed)
        return chain.leave(request, passed, PredictResponse({"Y": ANSWER})) if answer is None else answer

    assert follow(respond) == follow(alone.respond)
    ran = "run" in own and "run" not in shared
    assert shared == ([each for each in own if each != "run"] if ran else own)


def known(chain: Chain) -> StagedChain:
    assert chain.staged is not None
    return chain.staged


def test_who_leaves_in_between_is_told_of_from_within() -> None:
    trail: list[str] = []
    quiet = {"begin": "begun", "end": "nothing", "failed": "recover", "concerns": "all"}
    chain = known(make([(Stage.GUARD, quiet), (Stage.CACHE, quiet)], "answer", trail))
    passed: Passed = []
    request = ask()
    assert chain.enter(request, passed) is None
    with pytest.raises(asyncio.CancelledError):
        chain.fail(request, passed, asyncio.CancelledError())
    assert trail == ["p0: begin", "p1: begin", "p1: failed p1 CancelledError", "p0: failed p0 CancelledError"]


def test_one_without_a_shortcut_keeps_the_chain_in_one_piece() -> None:
    class Long(Plugin[NoConfig]):
        stage = Stage.GUARD

        def wrap_predict(self, call_next: Any, model: Any) -> Any:
            del model

            async def predict(request: PredictRequest) -> PredictResponse:
                response: PredictResponse = await call_next(request)
                return response

            return predict

    quiet = {"begin": "begun", "end": "nothing", "failed": "no", "concerns": "all"}
    plugins = [loaded(Long(NoConfig())), loaded(plugin("p1", Stage.CACHE, [], quiet), name="p1")]
    chain = chain_of(*plugins, end=engine([], "answer"))
    assert chain.staged is None
    assert chain.wrapped
    assert follow(chain.respond) == "[3.0] None"
