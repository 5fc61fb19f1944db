"""The server as its plugins see it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from foretell.errors import AsleepError, NotFoundError, NotReadyError
from foretell.plugin.call import others_time
from foretell.plugin.instruments import Instrument
from foretell.prediction import answered

if TYPE_CHECKING:
    from foretell.engine.registry import Registry
    from foretell.http.core import Core
    from foretell.logs import Logger
    from foretell.plugin.contract import Guard, Stage
    from foretell.plugin.faults import Faults
    from foretell.plugin.observers import Observers
    from foretell.plugin.plugin_set import PluginSet
    from foretell.prediction import ModelInfo, PredictRequest, PredictResponse
    from foretell.protocols.endpoint import Endpoint

__all__ = ["ServerHost"]


class ServerHost:
    """What one plugin sees of the server; see `foretell.plugin.Host`.

    Args:
        stage: The stage of the plugin; other models are entered below it.
        registry: The models.
        core: What answers requests.
        observers: What takes records.
        faults: The faults of plugins.
        plugins: The enabled plugins.
        fingerprint: What tells this server from one of other settings.
        log: The server's log.
        admin_guard: Lets only those through who have the admin key.
    """

    def __init__(
        self,
        stage: Stage,
        *,
        registry: Registry[Endpoint],
        core: Core,
        observers: Observers,
        faults: Faults,
        plugins: PluginSet,
        fingerprint: str,
        log: Logger,
        admin_guard: Guard,
    ) -> None:
        self.models = ModelsView(registry, stage)
        self._registry = registry
        self.log = log
        self.admin_guard = admin_guard
        self.fingerprint = fingerprint
        self._registry = registry
        self._core = core
        self._observers = observers
        self._faults = faults
        self._plugins = plugins

    @property
    def in_flight(self) -> int:
        """How many predictions are going on now."""
        return self._core.in_flight

    @property
    def plugin_errors(self) -> Mapping[str, int]:
        """How often each plugin has failed, by name."""
        return self._faults.errors

    def flush(self) -> None:
        """Hand the records of all answered requests to the observers now."""
        self._observers.flush()

    def instruments(self) -> list[Instrument]:
        """What the server and its plugins count and measure of themselves, as it stands now."""
        return [queue_depth(self._registry), *self._loading(), *self._plugins.instruments()]

    def _loading(self) -> list[Instrument]:
        """What has become of versions since the start."""
        journal = self._registry.journal
        counts = {
            "foretell_version_loads_total": ("Versions loaded while following the store.", journal.loads),
            "foretell_version_refusals_total": (
                "Versions refused while following the store.",
                journal.refusals,
            ),
            "foretell_version_releases_total": ("Versions let go.", journal.releases),
        }
        return [
            Instrument(name, "counter", description, [({}, count)])
            for name, (description, count) in counts.items()
        ]


def queue_depth(registry: Registry[Endpoint]) -> Instrument:
    """How many rows wait for a run, of each version that serves."""
    waiting = [
        ({"model": name, "version": str(number)}, endpoint.waiting_rows())
        for name, model in registry.models.items()
        for number, endpoint in model.versions.items()
    ]
    return Instrument("foretell_queue_depth", "gauge", "Rows that wait for a run of their model.", waiting)


class ModelsView:
    """The models as a plugin of one stage sees them; see `foretell.plugin.Models`."""

    def __init__(self, registry: Registry[Endpoint], stage: Stage) -> None:
        self._registry = registry
        self._stage = stage

    def infos(self, model: str | None = None) -> list[ModelInfo]:
        """Every version that is loaded now, of one model or of all, by model name and version."""
        models = self._registry.models
        names = sorted(models) if model is None else [model] if model in models else []
        return [endpoint.info for name in names for _, endpoint in sorted(models[name].versions.items())]

    def info(self, model: str, version: int | str | None = None) -> ModelInfo | None:
        """A loaded version by its number or alias, or the one that answers by default; None if there is none."""
        try:
            endpoint = self._endpoint(model, version)
        except (NotFoundError, NotReadyError):
            return None
        return None if endpoint.stands_in else endpoint.info

    async def predict(
        self, model: str, version: int | str | None, request: PredictRequest
    ) -> PredictResponse:
        """Ask a version, below the stage of the plugin that asks."""
        endpoint = await self._awake(model, version, request)
        endpoint.use.enter(time.perf_counter_ns())
        try:
            with others_time(request):
                return await answered(endpoint.chain.below[self._stage](request))
        finally:
            endpoint.use.leave()

    async def _awake(self, model: str, version: int | str | None, request: PredictRequest) -> Endpoint:
        """What answers for a version, which is loaded first if it is when it is asked."""
        while True:
            try:
                return self._endpoint(model, version)
            except AsleepError as asleep:
                ends_ns = request.record.deadline_ns
                timeout_s = max(ends_ns - time.perf_counter_ns(), 0) / 1e9 if ends_ns else None
                with others_time(request):
                    await self._registry.wake(asleep.model, timeout_s=timeout_s)

    def _endpoint(self, model: str, version: int | str | None) -> Endpoint:
        if version is None:
            return self._registry.default(model)
        found = self._registry.model(model)
        return found.alias(version) if isinstance(version, str) else found.version(version)
