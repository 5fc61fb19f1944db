"""Plugins may choose which version answers a request that names none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from foretell.errors import AccessDeniedError, PluginError
from foretell.plugin import Choose, ModelInfo, NoConfig, Plugin, RequestRecord, Stage
from tests.plugin.chains import Engine, chain_of, info, loaded, make_faults

RECORD = RequestRecord("r", "native", 1, headers=[(b"x-user", b"7")])

Behaviour = Callable[[RequestRecord, Choose], Any]


def choosing(behave: Behaviour, *, stage: Stage = Stage.SHADOW, name: str = "p") -> Any:
    class Choosing(Plugin[NoConfig]):
        def wrap_choice(self, call_next: Choose, model: ModelInfo) -> Choose:
            return lambda record: behave(record, call_next)

    Choosing.stage = stage
    return loaded(Choosing(NoConfig()), name=name)


def crash(record: RequestRecord, call_next: Choose) -> int:
    raise ZeroDivisionError("oh")


def give_bytes(record: RequestRecord, call_next: Choose) -> Any:
    return record.header(b"x-user")


def give_truth(record: RequestRecord, call_next: Choose) -> int:
    return True


def two(record: RequestRecord, call_next: Choose) -> int:
    return 2


def leave(record: RequestRecord, call_next: Choose) -> int:
    raise SystemExit(1)


async def wait(record: RequestRecord, call_next: Choose) -> int:
    return 2


def test_a_choice_that_no_plugin_wraps_is_none() -> None:
    class Quiet(Plugin[NoConfig]):
        stage = Stage.OBSERVE

    assert chain_of(loaded(Quiet(NoConfig())), end=Engine()).choose is None


def test_a_plugin_chooses_by_the_record() -> None:
    chain = chain_of(
        choosing(lambda record, call_next: 2 if record.header(b"x-user") == b"7" else call_next(record)),
        end=Engine(),
    )
    assert chain.choose is not None
    assert chain.choose(RECORD) == 2
    assert chain.choose(RequestRecord("r", "native", 1)) == 1


def test_the_end_of_a_choice_is_the_version_that_it_was_made_for() -> None:
    chain = chain_of(
        choosing(lambda record, call_next: call_next(record)), end=Engine(), model=info(version=5)
    )
    assert chain.choose is not None
    assert chain.choose(RECORD) == 5


def test_the_outer_stage_has_the_last_word() -> None:
    chain = chain_of(
        choosing(lambda record, call_next: call_next(record) * 10, stage=Stage.CACHE),
        choosing(lambda record, call_next: call_next(record) + 1, stage=Stage.OBSERVE),
        end=Engine(),
        model=info(version=3),
    )
    assert chain.choose is not None
    assert chain.choose(RECORD) == 31


@pytest.mark.parametrize(
    "behave",
    [crash, leave, wait, give_bytes, give_truth],
    ids=["crashes", "exits", "waits", "gives bytes", "gives a truth value"],
)
def test_a_choice_goes_on_without_a_plugin_that_fails(behave: Behaviour) -> None:
    faults = make_faults()
    chain = chain_of(choosing(behave), end=Engine(), faults=faults)
    assert chain.choose is not None
    assert chain.choose(RECORD) == 1
    assert faults.errors == {"p": 1}


@pytest.mark.parametrize("stage", [Stage.GUARD, Stage.VALIDATE])
def test_a_choice_ends_where_a_plugin_that_fails_closed_does(stage: Stage) -> None:
    chain = chain_of(choosing(crash, stage=stage), end=Engine())
    assert chain.choose is not None
    with pytest.raises(PluginError, match="plugin 'p' failed: ZeroDivisionError: oh"):
        chain.choose(RECORD)


@pytest.mark.parametrize(("stage", "refuses"), [(Stage.GUARD, True), (Stage.SHADOW, False)])
def test_only_plugins_that_may_judge_can_refuse(stage: Stage, refuses: bool) -> None:
    def refuse(record: RequestRecord, call_next: Choose) -> int:
        raise AccessDeniedError("not you")

    faults = make_faults()
    chain = chain_of(choosing(refuse, stage=stage), end=Engine(), faults=faults)
    assert chain.choose is not None
    if refuses:
        with pytest.raises(AccessDeniedError):
            chain.choose(RECORD)
    else:
        assert chain.choose(RECORD) == 1
    assert faults.errors == ({} if refuses else {"p": 1})


def test_a_model_that_opted_out_is_not_chosen_for() -> None:
    plugin = choosing(two)
    plugin.opted_out.add("m")
    assert chain_of(plugin, end=Engine()).choose is None


@pytest.mark.parametrize(
    ("made", "message"),
    [(None, "wrap_choice gave None"), (ZeroDivisionError("oh"), "failed to wrap the choice of m")],
)
def test_a_plugin_that_cannot_wrap_the_choice_is_named(made: Any, message: str) -> None:
    class Odd(Plugin[NoConfig]):
        stage = Stage.SHADOW

        def wrap_choice(self, call_next: Choose, model: ModelInfo) -> Choose:
            if isinstance(made, Exception):
                raise made
            return made  # type: ignore[no-any-return] # that is the mistake

    with pytest.raises(PluginError, match=message):
        chain_of(loaded(Odd(NoConfig()), name="odd"), end=Engine())


def test_the_chain_itself_is_left_alone() -> None:
    plugin, end = choosing(two), Engine()
    chain = chain_of(plugin, end=end)
    assert chain.respond is end
    assert chain.links[0].why_not == "it only chooses the version"
