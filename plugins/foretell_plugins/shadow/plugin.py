"""The plugin: which versions are mirrored, whether their targets can be compared with them, and what came of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakSet, WeakValueDictionary

from foretell.plugin import Instrument, Plugin, Stage
from foretell_plugins.canary.counterpart import Counterpart
from foretell_plugins.shadow.config import ShadowConfig, Target
from foretell_plugins.shadow.mirror import Mirror
from foretell_plugins.shadow.report import Report
from foretell_plugins.shadow.tallies import Tallies

if TYPE_CHECKING:
    from litestar import Litestar

    from foretell.plugin import Host, ModelInfo, Predict

__all__ = ["Shadow"]


class Shadow(Plugin[ShadowConfig]):
    """Asks another version what callers asked, after they were answered, and compares the two answers."""

    stage: ClassVar[Stage] = Stage.SHADOW
    shorthand: ClassVar[str | None] = "target"

    def __init__(self, config: ShadowConfig) -> None:
        super().__init__(config)
        self._host: Host | None = None
        self._tallies = Tallies()
        # They live as long as the chains that hold them, and the tasks in which they ask.
        self._mirrors: WeakValueDictionary[tuple[str, int], Mirror] = WeakValueDictionary()
        self._alive: WeakSet[Mirror] = WeakSet()  # those of versions that were loaded anew included

    def on_start(self, host: Host) -> None:
        """See `Plugin`."""
        self._host = host

    @asynccontextmanager
    async def lifespan(self, app: Litestar) -> AsyncGenerator[None]:
        """See `Plugin`: at the end, what is still to be asked is given up."""
        del app
        try:
            yield
        finally:
            for mirror in list(self._alive):
                await mirror.close()

    def why_not(self, model: ModelInfo) -> str | None:
        """See `Plugin`."""
        if self.config_for(model.name).target is None:
            return "it has no target: set plugins.shadow in its model.toml"
        return None

    def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
        """See `Plugin`."""
        host = self._host
        config = self.config_for(model.name)
        if host is None or config.target is None:
            return call_next  # without a server, there is no other model: the chain is only being looked at

        def warn(problem: str) -> None:
            host.log.warning("nothing is mirrored", model=model.name, version=model.version, reason=problem)

        target = Target.parse(config.target)
        mirror = Mirror(
            model,
            call_next,
            config=config,
            counterpart=Counterpart(
                model, host.models, target.model or model.name, target.version, on_problem=warn
            ),
            models=host.models,
            tallies=self._tallies,
            report=Report(host.log, model),
        )
        self._mirrors[model.name, model.version] = mirror
        self._alive.add(mirror)
        return mirror.predict

    def on_models(self, loaded: Sequence[ModelInfo]) -> Mapping[tuple[str, int], str]:
        """See `Plugin`.

        A target that is not like a version takes nothing out of service: nothing is mirrored, and `Counterpart` tells
        why. Only what can never be compared is refused, and only for the version that answers by default.
        """
        reasons: dict[tuple[str, int], str] = {}
        for info in loaded:
            mirror = self._mirrors.get((info.name, info.version))
            if mirror is None:
                continue
            target = mirror.counterpart.find()
            if target is not None and not mirror.counterpart.is_own:
                self._tallies.of(info, target)  # counters begin at 0, and not where they are first seen
            default = None if self._host is None else self._host.models.info(info.name)
            if default is None or default.version != info.version:
                continue
            given = [output.name for output in info.signature.outputs]
            unknown = [name for name in self.config_for(info.name).outputs if name not in given]
            if unknown:
                reasons[info.name, info.version] = (
                    f"plugins.shadow.outputs names {unknown[0]!r}, which is not among the outputs: "
                    f"{', '.join(given)}"
                )
        return reasons

    def status(self, model: str, version: int) -> Mapping[str, Any] | None:
        """See `Plugin`: what is asked the same now, or why nothing is, and what came of it."""
        mirror = self._mirrors.get((model, version))
        if mirror is None:
            return None
        counterpart = mirror.counterpart
        told: dict[str, Any] = {"target": self.config_for(model).target}
        target = counterpart.find()
        if target is None or counterpart.is_own:
            return {**told, "problem": counterpart.problem or "it is this very version"}
        tally = self._tallies.of(mirror.info, target)
        return {
            **told,
            "means": f"{target.name}/{target.version}",
            "waiting": mirror.pending,
            "agreed": tally.agreed,
            "differed": tally.differed,
            "failed": tally.failed,
            "dropped": tally.dropped,
            "rows_agreed": tally.rows_agreed / tally.rows if tally.rows else None,
        }

    def instruments(self) -> Iterable[Instrument]:
        """See `Plugin`."""
        return self._tallies.instruments()
