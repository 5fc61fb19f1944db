"""What every plugin must keep to, as checks that can be run on any: the contract test for authors.

`foretell plugins check FILE` runs them from a shell, and `foretell.plugin.testing` from pytest.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, cast

import click
import msgspec
import numpy as np

from foretell.errors import ForetellError, RunError
from foretell.plugin.contract import Stage, overrides
from foretell.plugin.trial import (
    PATIENCE_S,
    ContractError,
    MadeUpModel,
    Trial,
    Watch,
    ask,
    records_of_every_kind,
    run,
)
from foretell.prediction import PredictResponse

__all__ = ["CHECKS", "Check", "ContractError", "Trial"]

_CROWD: Final = 50

Check = Callable[[Trial], None]
"""One check; raises `ContractError` where the plugin fails it."""


def has_a_stage(trial: Trial) -> None:
    """It says at which stage it stands."""
    if not isinstance(getattr(trial.plugin_type, "stage", None), Stage):
        raise ContractError("it has no stage: write `stage = Stage.OBSERVE`, or another, into the class")


def refuses_unknown_keys(trial: Trial) -> None:
    """A misspelt key of its configuration is refused."""
    try:
        msgspec.convert({**trial.config, "no_such_key_": 1}, trial.plugin_type.config_type)
    except msgspec.ValidationError:
        return
    raise ContractError(
        f"{trial.plugin_type.config_type.__name__} takes unknown keys: make it a Struct with "
        "forbid_unknown_fields=True"
    )


def is_made_without_io(trial: Trial) -> None:
    """Making it touches no file and no network."""
    touched: list[str] = []
    with Watch(touched):
        trial.plugin_type(msgspec.convert(trial.config, trial.plugin_type.config_type))
    if touched:
        raise ContractError(f"making it did {touched[0]}: leave that to `lifespan`")


def hands_answers_on(trial: Trial) -> None:
    """A good request gets the model's answer, or a refusal by a plugin that may refuse."""
    end = MadeUpModel()
    response = run(trial.around(trial.make(), end)(ask(1, 2)), trial.plugin_type.stage)
    trial.no_faults()
    if response is not None and response.outputs["Y"].tolist() != [3]:
        raise ContractError(f"it answered {response.outputs['Y'].tolist()} where the model answers [3]")


def calls_on_once(trial: Trial) -> None:
    """The model runs at most once for each request."""
    end = MadeUpModel()
    run(trial.around(trial.make(), end)(ask(1, 2)), trial.plugin_type.stage)
    trial.no_faults()
    if len(end.asked) > 1 and trial.plugin_type.stage is not Stage.FALLBACK:
        raise ContractError(f"it called on {len(end.asked)} times for one request")


def leaves_inputs_alone(trial: Trial) -> None:
    """The caller's arrays stay as they are."""
    request = ask(1, 2)
    array = request.inputs["X"]
    before = array.copy()
    run(trial.around(trial.make(), MadeUpModel())(request), trial.plugin_type.stage)
    trial.no_faults()
    if request.inputs["X"] is not array or not np.array_equal(array, before):
        raise ContractError(
            "it changed the inputs of the request: make new ones with request.replace(inputs=…)"
        )


def hands_errors_on(trial: Trial) -> None:
    """An error of the model reaches the caller, unless the plugin answers in its place and says so."""
    end = MadeUpModel(error=RunError("the model fails"))
    try:
        response = run(trial.around(trial.make(), end)(ask(1, 2)), trial.plugin_type.stage, refusals=False)
    except ForetellError:
        trial.no_faults()
        return
    trial.no_faults()
    if response is not None and response.degraded is None:
        raise ContractError("it answered although the model failed, and did not say `degraded`")


def keeps_no_errors(trial: Trial) -> None:
    """After the model has recovered, so have its answers."""
    end = MadeUpModel(error=RunError("the model fails"))
    predict = trial.around(trial.make(), end)
    for _ in range(2):
        with contextlib.suppress(ForetellError):
            run(predict(ask(1, 2)), trial.plugin_type.stage)
        end.error = None
    response = run(predict(ask(5, 5)), trial.plugin_type.stage)
    if response is not None and response.degraded is None and response.outputs["Y"].tolist() != [10]:
        raise ContractError("it answers wrongly after the model has failed and recovered")
    trial.no_faults()


def lets_callers_go(trial: Trial) -> None:
    """A caller that goes away ends its own wait, and nothing hangs."""

    async def scenario() -> None:
        end = MadeUpModel(waits=True)
        task = asyncio.ensure_future(trial.around(trial.make(), end)(ask(1, 2)))
        for _ in range(10):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=PATIENCE_S)
        if not task.done():
            raise ContractError("it keeps a caller that went away waiting")
        if not task.cancelled() and task.exception() is None and end.asked:
            raise ContractError("it swallowed the cancellation of its caller")

    asyncio.run(scenario())
    trial.no_faults()


def keeps_callers_apart(trial: Trial) -> None:
    """Of many callers at the same time each gets its own answer."""
    end = MadeUpModel(waits=True)
    predict = trial.around(trial.make(), end)

    async def scenario() -> list[PredictResponse | BaseException]:
        asking = asyncio.gather(
            *(predict(ask(number, 0)) for number in range(_CROWD)), return_exceptions=True
        )
        for _ in range(10):
            await asyncio.sleep(0)
        end.go.set()
        return await asking

    for number, answer in enumerate(asyncio.run(scenario())):
        if isinstance(answer, PredictResponse):
            if answer.degraded is None and answer.outputs["Y"].tolist() != [number]:
                raise ContractError(f"a caller that asked for {number} got {answer.outputs['Y'].tolist()}")
        elif not isinstance(answer, ForetellError):
            raise ContractError(f"a caller got {answer!r}")
    trial.no_faults()


def keeps_models_apart(trial: Trial) -> None:
    """The answer of one model is never given for another."""
    plugin = trial.make()
    one, other = trial.around(plugin, MadeUpModel(), "a"), trial.around(plugin, MadeUpModel(factor=10), "b")
    for _ in range(3):
        for predict, expected in ((one, [3]), (other, [30])):
            response = run(predict(ask(1, 2)), trial.plugin_type.stage)
            if (
                response is not None
                and response.degraded is None
                and response.outputs["Y"].tolist() != expected
            ):
                raise ContractError("it gave the answer of one model for another")
    trial.no_faults()


def observes_everything(trial: Trial) -> None:
    """`observe` takes answers, refusals and failures, one or many, with whatever a record may lack."""
    plugin = trial.make()
    records = records_of_every_kind()
    plugin.observe(())
    for record in records:
        plugin.observe((record,))
    plugin.observe(records * 100)


def opens_and_closes(trial: Trial) -> None:
    """Its `lifespan` opens and closes, and a second one after it too."""
    if not overrides(trial.plugin_type, "lifespan"):
        return
    from litestar import Litestar

    async def scenario() -> None:
        app = Litestar()
        for _ in range(2):
            async with trial.make().lifespan(app):
                await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


def builds_on_the_application(trial: Trial) -> None:
    """`on_app_init` gives an application that can be made."""
    if not overrides(trial.plugin_type, "on_app_init"):
        return
    from litestar import Litestar
    from litestar.config.app import AppConfig

    plugin = trial.make()
    if type(plugin.on_app_init(AppConfig())) is not AppConfig:
        raise ContractError("on_app_init gave no AppConfig: return the one that it was given")
    Litestar(on_app_init=[trial.make().on_app_init], logging_config=None)


def adds_commands_of_its_own(trial: Trial) -> None:
    """Its commands bear names of their own."""
    if not overrides(trial.plugin_type, "register_commands"):
        return
    group = click.Group()
    trial.make().register_commands(group)
    if not group.commands:
        raise ContractError("register_commands added no command")


def says_what_concerns_it(trial: Trial) -> None:
    """`concerns` says True or False, at once, of any request."""
    plugin = trial.make()
    for record in records_of_every_kind():
        try:
            concerned = cast("object", plugin.concerns(record))
        except ForetellError as error:
            if trial.plugin_type.stage not in {Stage.GUARD, Stage.VALIDATE}:
                raise ContractError(f"concerns raised {type(error).__name__}: {error}") from error
        else:
            if not isinstance(concerned, bool):
                raise ContractError(f"concerns gave {concerned!r}; it must give True or False, and at once")


def chooses_versions(trial: Trial) -> None:
    """What it chooses is the number of a version, at once, for any request."""
    choose = trial.chooser(trial.make())
    if choose is None:
        return
    for record in records_of_every_kind():
        try:
            choose(record)
        except ForetellError as error:
            if trial.plugin_type.stage not in {Stage.GUARD, Stage.VALIDATE}:
                raise ContractError(f"it refused to choose: {error}") from error
    trial.no_faults()


CHECKS: Final[dict[str, Check]] = {
    check.__name__: check
    for check in (
        has_a_stage,
        refuses_unknown_keys,
        is_made_without_io,
        hands_answers_on,
        calls_on_once,
        leaves_inputs_alone,
        hands_errors_on,
        keeps_no_errors,
        lets_callers_go,
        keeps_callers_apart,
        keeps_models_apart,
        says_what_concerns_it,
        chooses_versions,
        observes_everything,
        opens_and_closes,
        builds_on_the_application,
        adds_commands_of_its_own,
    )
}
"""Every check, by name. Its docstring says what a plugin must do."""
