"""The plugin: which versions have a chain, whether its links can stand in, and how their breakers are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final
from weakref import WeakValueDictionary

from foretell.errors import PluginError
from foretell.excerpts import shortened
from foretell.plugin import Instrument, Plugin, Stage
from foretell_plugins.fallback.breaker import Breaker, BreakerState
from foretell_plugins.fallback.config import Config
from foretell_plugins.fallback.guard import Guard
from foretell_plugins.fallback.judge import Judge
from foretell_plugins.fallback.likeness import UnlikeError
from foretell_plugins.fallback.static import StaticAnswer
from foretell_plugins.fallback.targets import ModelTarget

if TYPE_CHECKING:
    from foretell.plugin import Host, ModelInfo, Predict

__all__ = ["Fallback"]

_SHOWN_REASON: Final = 500
_STATES: Final[dict[BreakerState, int]] = {"closed": 0, "half-open": 1, "open": 2}


class Fallback(Plugin[Config]):
    """Answers in place of a model that cannot, and says so."""

    stage: ClassVar[Stage] = Stage.FALLBACK
    shorthand: ClassVar[str | None] = "chain"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._host: Host | None = None
        # Both live as long as the chains that hold them: those of versions that are served no more are gone.
        self._guards: WeakValueDictionary[tuple[str, int], Guard] = WeakValueDictionary()
        self._judges: WeakValueDictionary[tuple[str, int], Judge] = WeakValueDictionary()

    def on_start(self, host: Host) -> None:
        """See `Plugin`."""
        self._host = host

    def why_not(self, model: ModelInfo) -> str | None:
        """See `Plugin`."""
        if not self.config_for(model.name).chain:
            return "it has no chain: set plugins.fallback in its model.toml"
        return None

    def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
        """See `Plugin`.

        Raises:
            PluginError: The fixed answer of its chain is not what the version gives.
        """
        config = self.config_for(model.name)
        chain = config.targets()
        value = None
        if chain[-1].value is not None:
            try:
                value = StaticAnswer(chain.pop().value or {}, model.signature)
            except UnlikeError as error:
                raise PluginError(
                    f"the value in the fallback chain of {model.name!r} cannot stand in for version "
                    f"{model.version}: {error}. Correct it in {_place(model.name)}, or take it out"
                ) from error
        host = self._host
        if host is None:
            return call_next  # there is no server, and so no other model: the chain is only being looked at

        def judge_of(info: ModelInfo) -> Judge:
            """That of a version that is asked in place of another: its own, if it has a chain too."""
            return self._judges.get((info.name, info.version)) or self._new_judge(info, host)

        targets = [ModelTarget(each, model, host.models, judge_of) for each in chain]
        guard = Guard(
            model,
            call_next,
            judge=self._new_judge(model, host),
            models=host.models,
            targets=targets,
            value=value,
            give_up_s=config.give_up_s,
        )
        self._guards[model.name, model.version] = guard
        return guard

    def on_models(self, loaded: Sequence[ModelInfo]) -> Mapping[tuple[str, int], str]:
        """See `Plugin`."""
        reasons: dict[tuple[str, int], str] = {}
        for info in loaded:
            key = (info.name, info.version)
            guard = self._guards.get(key)
            if guard is None:
                continue
            circle = self._circle(info.name)
            if circle:
                reasons[key] = (
                    f"fallback chains go in a circle: {' → '.join(circle)}; take one of these models out of the "
                    f"chain of another: {_place(info.name)}"
                )
            for target in guard.targets:
                found = target.find()
                if found is not None and found.problem is not None:
                    reasons.setdefault(
                        key,
                        f"{found.problem}. Give a mapping ({{model = {found.info.name!r}, inputs = "
                        "{theirs = 'ours'}, outputs = {ours = 'theirs'}}), or take it out: "
                        f"{_place(info.name)}",
                    )
                elif found is None and not target.may_be_absent and self._host is not None:
                    self._host.log.warning(
                        "fallback target absent", model=info.name, version=info.version, target=str(target)
                    )
        return reasons

    def status(self, model: str, version: int) -> Mapping[str, Any] | None:
        """See `Plugin`: the state of the breaker, what the chain means now, and which links of it cannot answer."""
        guard = self._guards.get((model, version))
        if guard is None:
            return None
        chain: list[str] = []
        unusable: dict[str, str] = {}
        for target in guard.targets:
            found = target.find()
            if found is not None and found.problem is None:
                chain.append(found.name)
            elif found is not None and found.problem is not None:
                unusable[str(target)] = found.problem
            elif not target.may_be_absent:
                unusable[str(target)] = "it is not loaded"
        if guard.value is not None:
            chain.append("value")
        told = {"breaker": guard.breaker.state, "chain": chain}
        return {**told, "unusable": unusable} if unusable else told

    def breaker_states(self) -> dict[tuple[str, int], BreakerState]:
        """The breaker of every version that has a chain, by model name and version."""
        guards = {(each.info.name, each.info.version): each for each in self._alive()}
        return {key: guards[key].breaker.state for key in sorted(guards)}

    def instruments(self) -> Iterable[Instrument]:
        """The state of every breaker."""
        samples = [
            ({"model": model, "version": str(version)}, _STATES[state])
            for (model, version), state in self.breaker_states().items()
        ]
        if samples:
            yield Instrument(
                "foretell_breaker_state",
                "gauge",
                "The breaker of a version: 0 closed, 1 half-open, 2 open.",
                samples,
                across_workers="max",
            )

    def _alive(self) -> list[Guard]:
        """Every guard; a copy, because models are loaded in a thread of their own."""
        return [guard for ref in self._guards.valuerefs() if (guard := ref()) is not None]

    def _new_judge(self, info: ModelInfo, host: Host) -> Judge:
        def changed(state: BreakerState, reason: str) -> None:
            told = {"model": info.name, "version": info.version, "state": state}
            if state == "open":
                host.log.warning("breaker", **told, reason=shortened(reason, _SHOWN_REASON))
            else:
                host.log.info("breaker", **told)

        config = self.config_for(info.name)
        breaker = Breaker(config.rules(), changed=changed)
        judge = Judge(info, breaker, host.models, give_up_s=config.give_up_s)
        self._judges[info.name, info.version] = judge
        return judge

    def _circle(self, start: str) -> list[str]:
        """The names of a circle of models that begins and ends here; empty if there is none."""
        edges: dict[str, set[str]] = {}
        for guard in self._alive():
            others = {target.model for target in guard.targets} - {guard.info.name}
            edges.setdefault(guard.info.name, set()).update(others)
        ways = [[start]]
        seen: set[str] = set()
        while ways:
            way = ways.pop()
            for other in sorted(edges.get(way[-1], ())):
                if other == start:
                    return [*way, start]
                if other not in seen:
                    seen.add(other)
                    ways.append([*way, other])
        return []


def _place(model: str) -> str:
    """Where a team sets the chain of a model."""
    return f"plugins.fallback in {model}/model.toml, or in foretell.toml"
