"""Which version answers a request that names none: the default, unless a plugin chooses another."""

from __future__ import annotations

from types import CoroutineType
from typing import TYPE_CHECKING, Any

from foretell.errors import ForetellError, PluginError
from foretell.plugin.contract import Stage, overrides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foretell.plugin.faults import Faults
    from foretell.plugin.loading import LoadedPlugin
    from foretell.plugin.wrapping import Wrapping
    from foretell.prediction import Choose, ModelInfo, RequestRecord

__all__ = ["compose_choice"]


def compose_choice(
    plugins: Sequence[LoadedPlugin], model: ModelInfo, faults: Faults, wrapping: Wrapping
) -> Choose | None:
    """Put the plugins that choose around the default version of a model.

    Args:
        plugins: The enabled plugins, in the order of the settings.
        model: The version that answers if no plugin chooses another.
        faults: Where faults of plugins go.
        wrapping: The attempt to put the plugins around the version; who is left out there, chooses nothing.

    Returns:
        None if no plugin chooses.

    Raises:
        PluginError: A plugin that is not optional fails to wrap the choice.
    """
    choosing = [
        loaded
        for loaded in plugins
        if model.name not in loaded.opted_out
        and loaded.name not in wrapping.left_out
        and overrides(loaded.plugin, "wrap_choice")
    ]
    if not choosing:
        return None

    def default(record: RequestRecord) -> int:
        del record
        return model.version

    choose: Choose = default
    for loaded in sorted(choosing, key=lambda loaded: loaded.plugin.stage, reverse=True):
        with wrapping.of(loaded, f"to wrap the choice of {model.name}"):
            choose = _isolated(loaded, choose, model, faults)
            wrapping.done.add(loaded.name)
    return None if choose is default else choose


def _isolated(loaded: LoadedPlugin, call_next: Choose, model: ModelInfo, faults: Faults) -> Choose:
    """What a plugin made of a choice; where it fails, its stage says whether the choice goes on without it."""
    wrapped: Any = loaded.plugin.wrap_choice(call_next, model)
    if not callable(wrapped):
        raise TypeError(f"wrap_choice gave {wrapped!r}; it must give a function")
    stage = loaded.plugin.stage

    def choose(record: RequestRecord) -> int:
        try:
            version = wrapped(record)
            if type(version) is not int:
                if isinstance(version, CoroutineType):
                    version.close()  # nobody waits for it
                raise PluginError(  # noqa: TRY301 - it takes the same way as what the plugin raises
                    f"plugin {loaded.name!r} chose {version!r}; it must choose the number of a version, and at once"
                )
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            verdict = isinstance(error, ForetellError) and not isinstance(error, PluginError)
            if verdict and stage not in {Stage.OBSERVE, Stage.SHADOW}:
                raise  # no crash, but a refusal
            faults.failed(loaded.name, "wrap_choice", error, request_id=record.request_id)
            if not stage.fails_open:
                raise PluginError(
                    f"plugin {loaded.name!r} failed: {type(error).__name__}: {error}"
                ) from error
            return call_next(record)
        return version

    return choose
