"""The chain of a version is composed once, by stages, and only of what wraps it."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.plugin import ModelInfo, NoConfig, Plugin, Predict, PredictRequest, PredictResponse, Stage
from foretell.plugin.chain import Chain, Link
from foretell.plugin.contract import overrides
from foretell.prediction import Respond, answered
from tests.plugin.chains import Engine, ask, chain_of, info, loaded

_made = itertools.count()


def tracing(stage: Stage, trail: list[str], name: str) -> Any:
    """A plugin that leaves its name on a trail whenever it is passed."""

    class Traced(Plugin[NoConfig]):
        def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
            next(_made)

            async def predict(request: PredictRequest) -> PredictResponse:
                trail.append(name)
                return await call_next(request)

            return predict

    Traced.stage = stage
    return loaded(Traced(NoConfig()), name=name)


def pass_through(respond: Respond) -> None:
    async def scenario() -> None:
        await answered(respond(ask()))

    asyncio.run(scenario())


@given(st.lists(st.sampled_from(list(Stage)), max_size=8))
def test_stages_go_from_the_outside_in_and_keep_the_order_of_the_settings(stages: list[Stage]) -> None:
    trail: list[str] = []
    plugins = [tracing(stage, trail, f"{number}") for number, stage in enumerate(stages)]
    chain = chain_of(*plugins, end=Engine())
    pass_through(chain.predict)
    expected = [name for _, name in sorted((stage, f"{number}") for number, stage in enumerate(stages))]
    assert trail == expected
    assert [link.plugin for link in chain.links] == expected
    for stage in Stage:
        trail.clear()
        pass_through(chain.below[stage])
        assert trail == [name for name in expected if stages[int(name)] > stage]


def test_wrapping_happens_once_for_a_version_and_not_for_each_request() -> None:
    before = next(_made)
    chain = chain_of(tracing(Stage.OBSERVE, [], "p"), end=Engine())
    for _ in range(5):
        pass_through(chain.predict)
    assert next(_made) == before + 2


def test_without_plugins_the_chain_is_the_version_itself() -> None:
    engine = Engine()
    for chain in (chain_of(end=engine), Chain.bare(engine)):
        assert chain.respond is engine
        assert all(below is engine for below in chain.below.values())
        assert not chain.wrapped


class Idle(Plugin[NoConfig]):
    stage = Stage.OBSERVE


class Watcher(Plugin[NoConfig]):
    stage = Stage.OBSERVE

    def observe(self, records: Any) -> None: ...


class Picky(Plugin[NoConfig]):
    stage = Stage.CACHE

    def why_not(self, model: ModelInfo) -> str | None:
        return "it is too cheap" if model.name == "cheap" else None

    def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
        async def predict(request: PredictRequest) -> PredictResponse:
            return await call_next(request)

        return predict


def test_a_plugin_that_wraps_nothing_costs_nothing_and_the_chain_says_why() -> None:
    engine = Engine()
    plugins = [
        loaded(Idle(NoConfig()), name="idle"),
        loaded(Watcher(NoConfig()), name="watcher"),
        loaded(Picky(NoConfig()), name="picky"),
    ]
    chain = chain_of(*plugins, end=engine, model=info("cheap"))
    assert chain.respond is engine
    assert chain.links == (
        Link("idle", Stage.OBSERVE, "it wraps no predictions"),
        Link("watcher", Stage.OBSERVE, "it only observes"),
        Link("picky", Stage.CACHE, "it is too cheap"),
    )


def test_a_model_that_opted_out_is_not_wrapped() -> None:
    picky = loaded(Picky(NoConfig()), name="picky")
    picky.opted_out.add("m")
    engine = Engine()
    chain = chain_of(picky, end=engine)
    assert chain.respond is engine
    assert chain.links == (Link("picky", Stage.CACHE, "switched off for this model"),)
    assert chain_of(picky, end=engine, model=info("n")).wrapped


@pytest.mark.parametrize(
    ("hook", "expected"), [("observe", True), ("wrap_predict", False), ("lifespan", False)]
)
def test_what_is_overridden_is_known(hook: str, expected: bool) -> None:
    assert overrides(Watcher, hook) is expected
    assert overrides(Watcher(NoConfig()), hook) is expected
