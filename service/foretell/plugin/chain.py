"""The chain of one loaded version: its plugins around it, composed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from foretell.plugin.choice import compose_choice
from foretell.plugin.contract import Stage, overrides
from foretell.plugin.isolation import Isolation

if TYPE_CHECKING:
    from foretell.plugin.faults import Faults
    from foretell.plugin.loading import LoadedPlugin
    from foretell.prediction import Choose, ModelInfo, Predict

__all__ = ["Chain", "Link", "compose"]


class Link(msgspec.Struct, frozen=True):
    """One plugin in a chain, or why it is not.

    Attributes:
        plugin: The plugin's name.
        stage: Its stage.
        why_not: Why it does not wrap the version; None if it does.
    """

    plugin: str
    stage: Stage
    why_not: str | None = None


class Chain(msgspec.Struct, frozen=True):
    """What answers the predictions of one version.

    Attributes:
        predict: The whole chain.
        below: The rest of the chain below each stage, for plugins that ask other models.
        links: The enabled plugins, outermost first.
        wrapped: Whether any plugin wraps the version.
        choose: Says which version answers in its place, where it is the default; None if no plugin chooses.
    """

    predict: Predict
    below: dict[Stage, Predict]
    links: tuple[Link, ...]
    wrapped: bool
    choose: Choose | None = None

    @classmethod
    def bare(cls, end: Predict) -> Chain:
        """The chain of a version that no plugin stands around."""
        return cls(end, dict.fromkeys(Stage, end), (), wrapped=False)

    @property
    def falls_back(self) -> bool:
        """Whether something may answer in place of the version."""
        return any(link.stage is Stage.FALLBACK and link.why_not is None for link in self.links)


def compose(
    plugins: Sequence[LoadedPlugin],
    model: ModelInfo,
    end: Predict,
    faults: Faults,
) -> Chain:
    """Put the plugins around a version.

    Args:
        plugins: The enabled plugins, in the order of the settings.
        model: The version.
        end: What runs it.
        faults: Where faults of plugins go.

    Raises:
        PluginError: A plugin fails to wrap the version, or the choice of it.
    """
    ordered = sorted(plugins, key=lambda loaded: loaded.plugin.stage)
    links: list[Link] = []
    below: dict[Stage, Predict] = {}
    predict = end
    for stage in reversed(Stage):
        below[stage] = predict
        for loaded in reversed([each for each in ordered if each.plugin.stage == stage]):
            why_not = _why_not(loaded, model)
            links.append(Link(loaded.name, stage, why_not))
            if why_not is None:
                layer = Isolation(
                    loaded.name, stage, faults, timeout_s=loaded.timeout_s, budget_us=loaded.budget_us
                )
                predict = layer.between(loaded.plugin.wrap_predict, predict, model)
    links.reverse()
    choose = compose_choice(plugins, model, faults)
    return Chain(predict, below, tuple(links), wrapped=predict is not end, choose=choose)


def _why_not(loaded: LoadedPlugin, model: ModelInfo) -> str | None:
    if model.name in loaded.opted_out:
        return "switched off for this model"
    if not overrides(loaded.plugin, "wrap_predict"):
        if overrides(loaded.plugin, "wrap_choice"):
            return "it only chooses the version"
        return "it only observes" if overrides(loaded.plugin, "observe") else "it wraps no predictions"
    return loaded.plugin.why_not(model)
