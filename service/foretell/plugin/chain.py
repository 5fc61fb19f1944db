"""The chain of one loaded version: its plugins around it, composed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import msgspec

from foretell.plugin.blame import Blame
from foretell.plugin.choice import compose_choice
from foretell.plugin.concerns import Concern
from foretell.plugin.contract import Stage, overrides
from foretell.plugin.isolation import Isolation
from foretell.plugin.short_way import ShortWay
from foretell.plugin.shortcut import Shortcut
from foretell.plugin.staged import StagedChain
from foretell.plugin.wrapping import Wrapping
from foretell.prediction import answered

if TYPE_CHECKING:
    from foretell.plugin.faults import Faults
    from foretell.plugin.loading import LoadedPlugin
    from foretell.prediction import Choose, ModelInfo, Predict, PredictRequest, PredictResponse, Respond

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
        respond: The whole chain.
        below: The rest of the chain below each stage, for plugins that ask other models.
        links: The enabled plugins, outermost first.
        wrapped: Whether any plugin wraps the version.
        staged: The whole chain in steps; None if no plugin wraps the version, or one has no shortcut.
        choose: Says which version answers in its place, where it is the default; None if no plugin chooses.
    """

    respond: Respond
    below: dict[Stage, Respond]
    links: tuple[Link, ...]
    wrapped: bool
    choose: Choose | None = None
    staged: StagedChain | None = None

    @classmethod
    def bare(cls, end: Respond) -> Chain:
        """The chain of a version that no plugin stands around."""
        return cls(end, dict.fromkeys(Stage, end), (), wrapped=False)

    async def predict(self, request: PredictRequest) -> PredictResponse:
        """Answer a request by the whole chain."""
        return await answered(self.respond(request))

    @property
    def falls_back(self) -> bool:
        """Whether something may answer in place of the version."""
        return any(link.stage is Stage.FALLBACK and link.why_not is None for link in self.links)


def compose(
    plugins: Sequence[LoadedPlugin],
    model: ModelInfo,
    end: Respond,
    faults: Faults,
    wrapping: Wrapping | None = None,
) -> Chain:
    """Put the plugins around a version.

    Args:
        plugins: The enabled plugins, in the order of the settings.
        model: The version.
        end: What runs it.
        faults: Where faults of plugins go.
        wrapping: What is known of this attempt already; an optional plugin that it leaves out is not asked.

    Raises:
        PluginError: A plugin that is not optional fails to wrap the version, or the choice of it.
    """
    wrapping = wrapping or Wrapping(model)
    choose = compose_choice(plugins, model, faults, wrapping)
    left_out = set(wrapping.left_out)
    ordered = sorted(plugins, key=lambda loaded: loaded.plugin.stage)
    links: list[Link] = []
    below: dict[Stage, Respond] = {}
    respond = end
    layers: list[Layer] = []
    for stage in reversed(Stage):
        below[stage] = respond
        for loaded in reversed([each for each in ordered if each.plugin.stage == stage]):
            outer = None
            why_not = wrapping.left_out.get(loaded.name)
            if why_not is None:
                with wrapping.of(loaded, f"to wrap {wrapping.version}"):
                    why_not = _why_not(loaded, model)
                    if why_not is None:
                        outer = _layer(loaded, faults, respond, model)
                why_not = wrapping.left_out.get(loaded.name, why_not)
            links.append(Link(loaded.name, stage, why_not))
            if outer is not None:
                layers.append(outer)
                respond = outer.respond
            if outer is not None or _has_nothing_to_wrap(loaded, wrapping):
                wrapping.done.add(loaded.name)
    links.reverse()
    if wrapping.left_out.keys() != left_out:  # who is left out must not choose either
        choose = compose_choice(plugins, model, faults, wrapping)
    staged = _staged(layers[::-1], end)
    whole = respond if staged is None else staged.respond
    return Chain(whole, below, tuple(links), wrapped=bool(layers), choose=choose, staged=staged)


class Layer(NamedTuple):
    """A plugin around the rest of a chain.

    Attributes:
        respond: It, and the rest of the chain.
        way: The plugin's shortcut; None if it has none.
        concern: The requests that it goes around; None for all.
    """

    respond: Respond
    way: ShortWay | None
    concern: Concern | None


def _staged(layers: Sequence[Layer], end: Respond) -> StagedChain | None:
    """The same chain in steps, if that can be."""
    short = [(layer.way, layer.concern) for layer in layers if layer.way is not None]
    return StagedChain(short, end) if short and len(short) == len(layers) else None


def _layer(loaded: LoadedPlugin, faults: Faults, call_next: Respond, model: ModelInfo) -> Layer:
    """A plugin around the rest of a chain."""
    plugin = loaded.plugin
    blame = Blame(loaded.name, plugin.stage, faults, timeout_s=loaded.timeout_s, budget_us=loaded.budget_us)
    isolation = Isolation(plugin.stage, blame, model, call_next)
    wrapped: Predict | Shortcut[Any] = plugin.wrap_predict(isolation.call_on, model)
    if not callable(wrapped):
        raise TypeError(f"wrap_predict gave {wrapped!r}; it must give an async function")
    way = ShortWay(wrapped, isolation, blame, model, call_next) if _is_shortcut(wrapped) else None
    layer = isolation.around(wrapped) if way is None else way.respond
    if not overrides(plugin, "concerns"):
        return Layer(layer, way, None)
    concern = Concern(plugin.concerns, blame)
    return Layer(concern.around(layer, call_next), way, concern)


def _is_shortcut(wrapped: Predict | Shortcut[Any]) -> TypeGuard[Shortcut[Any]]:
    return isinstance(wrapped, Shortcut)


def _has_nothing_to_wrap(loaded: LoadedPlugin, wrapping: Wrapping) -> bool:
    """Whether all that a plugin has to do with a version is to take its settings, and it has."""
    hooks = ("wrap_predict", "wrap_choice")
    asked = loaded.name not in wrapping.left_out and wrapping.model.name not in loaded.opted_out
    return asked and not any(overrides(loaded.plugin, hook) for hook in hooks)


def _why_not(loaded: LoadedPlugin, model: ModelInfo) -> str | None:
    if model.name in loaded.opted_out:
        return "switched off for this model"
    if not overrides(loaded.plugin, "wrap_predict"):
        if overrides(loaded.plugin, "wrap_choice"):
            return "it only chooses the version"
        return "it only observes" if overrides(loaded.plugin, "observe") else "it wraps no predictions"
    return loaded.plugin.why_not(model)
