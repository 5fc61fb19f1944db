"""The cache among plugins that do odd things: nobody waits for ever, and nothing is kept that must not be."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
import uvloop

from foretell.errors import PluginError, QuotaExceededError, RunError
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
from foretell_plugins.cache import Cache, CacheConfig
from tests.plugin.chains import Engine, ask, chain_of, loaded, make_faults

NOTHING: Any = None
"""What a plugin leaves among the outputs that is no array."""


def plugin_of(shortcut: Shortcut[Any], stage: Stage, name: str = "odd") -> Any:
    class Quick(Plugin[NoConfig]):
        def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
            return shortcut

    Quick.stage = stage
    return loaded(Quick(NoConfig()), name=name)


async def a_little() -> None:
    await asyncio.sleep(0.01)


class LimitFailsOnce(Shortcut[str]):
    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error

    def begin(self, request: PredictRequest) -> str:
        return "begun"

    def limit_s(self, request: PredictRequest) -> float | None:
        error, self.error = self.error, None
        if error is not None:
            raise error
        return None


@pytest.mark.parametrize(
    ("stage", "error"),
    [
        (Stage.GUARD, ZeroDivisionError()),
        (Stage.GUARD, QuotaExceededError("no", retry_after_s=1)),
        (Stage.FALLBACK, QuotaExceededError("no", retry_after_s=1)),
    ],
    ids=["closed crash", "verdict of a guard", "verdict of a fallback"],
)
def test_a_flight_lands_although_a_plugin_further_out_cannot_say_its_limit(
    stage: Stage, error: Exception
) -> None:
    async def scenario() -> None:
        around = chain_of(
            plugin_of(LimitFailsOnce(error), stage),
            loaded(Cache(CacheConfig()), name="cache"),
            end=Engine(a_little),
        )
        with pytest.raises((PluginError, QuotaExceededError)):
            await around.predict(ask([1, 2]))
        # everything is in order again, and the same question is asked
        response = await asyncio.wait_for(around.predict(ask([1, 2])), 2)
        assert response.outputs["Y"].tolist() == [3]

    asyncio.run(scenario())


class NanOnce(Shortcut[str]):
    nan = True

    def begin(self, request: PredictRequest) -> str:
        return "begun"

    def limit_s(self, request: PredictRequest) -> float | None:
        nan, self.nan = self.nan, False
        return float("nan") if nan else None


def test_under_uvloop_a_limit_that_is_no_number_leaves_no_flight() -> None:
    async def scenario() -> None:
        faults = make_faults()
        around = chain_of(
            plugin_of(NanOnce(), Stage.FALLBACK),
            loaded(Cache(CacheConfig()), name="cache"),
            end=Engine(a_little),
            faults=faults,
        )
        assert (await around.predict(ask([1, 2]))).outputs["Y"].tolist() == [3]
        assert faults.errors == {"odd": 1}
        response = await asyncio.wait_for(around.predict(ask([1, 2])), 2)
        assert response.outputs["Y"].tolist() == [3]

    uvloop.run(scenario())


class Tagging(Plugin[NoConfig]):
    """Stands within the cache, and leaves something beside the outputs."""

    stage = Stage.CACHE

    def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
        async def predict(request: PredictRequest) -> PredictResponse:
            response = await call_next(request)
            response.outputs["explained"] = NOTHING
            return response

        return predict


@pytest.mark.parametrize("traced", [False, True])
def test_those_who_wait_are_woken_although_the_answer_cannot_be_copied(traced: bool) -> None:
    async def scenario() -> None:
        faults = make_faults()
        around = chain_of(
            loaded(Cache(CacheConfig()), name="cache"),
            loaded(Tagging(NoConfig()), name="tagging"),
            end=Engine(a_little),
            faults=faults,
        )

        def question() -> PredictRequest:
            request = ask([1, 2])
            if traced:
                request.record.span_id = "1" * 16
            return request

        first, second = (asyncio.ensure_future(around.predict(question())) for _ in range(2))
        assert (await first).outputs["Y"].tolist() == [3]
        with contextlib.suppress(RunError):
            assert (await asyncio.wait_for(second, 2)).outputs["Y"].tolist() == [3]

    asyncio.run(scenario())


@pytest.mark.parametrize("traced", [False, True])
def test_those_who_wait_for_a_degraded_answer_that_cannot_be_copied(traced: bool) -> None:
    class Degrading(Plugin[NoConfig]):
        stage = Stage.CACHE

        def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
            async def predict(request: PredictRequest) -> PredictResponse:
                response = await call_next(request)
                return PredictResponse({**response.outputs, "why": NOTHING}, "error")

            return predict

    def question() -> PredictRequest:
        request = ask([1, 2])
        request.record.span_id = "1" * 16 if traced else None
        return request

    async def scenario() -> None:
        around = chain_of(
            loaded(Cache(CacheConfig()), name="cache"),
            loaded(Degrading(NoConfig()), name="d"),
            end=Engine(a_little),
        )
        first, second = (asyncio.ensure_future(around.predict(question())) for _ in range(2))
        assert (await first).outputs["Y"].tolist() == [3]
        with contextlib.suppress(RunError):
            await asyncio.wait_for(second, 2)

    asyncio.run(scenario())


def test_what_is_answered_while_answers_are_dropped_is_not_kept() -> None:
    async def scenario() -> None:
        cache = Cache(CacheConfig())
        around = chain_of(loaded(cache, name="cache"), end=Engine(a_little))
        task = asyncio.ensure_future(around.predict(ask([1, 2])))
        await asyncio.sleep(0)
        await cache.forget("m")
        await task
        await cache.forget("m")
        assert cache.memory.size_bytes == 0

    asyncio.run(scenario())


def test_what_nobody_can_ask_for_takes_nobodys_place() -> None:
    """It is kept under a key of before `forget`, and the next `forget` does not drop it either."""

    async def scenario() -> None:
        cache = Cache(CacheConfig(max_bytes=1200))
        gate = asyncio.Event()

        async def wait_if_new(request: PredictRequest) -> PredictResponse:
            if request.inputs["X"][0, 1] == 9:
                await gate.wait()
            return PredictResponse({"Y": request.inputs["X"].sum(axis=1)})

        predict = chain_of(loaded(cache, name="cache"), end=wait_if_new).predict
        flying = [asyncio.ensure_future(predict(ask([number, 9]))) for number in range(4)]
        await asyncio.sleep(0)
        await cache.forget("m")
        await predict(ask([1, 2]))
        gate.set()
        await asyncio.gather(*flying)
        again = ask([1, 2])
        await predict(again)
        assert again.record.cache == "hit", (cache.memory.evictions, cache.memory.size_bytes)

    asyncio.run(scenario())
