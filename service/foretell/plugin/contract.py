"""What a plugin is: a class whose hooks foretell calls, and what it may see of the server."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar, get_args, get_origin

import msgspec

from foretell.prediction import Choose, ModelInfo, Predict, PredictRequest, PredictResponse, RequestRecord
from foretell.statistics import VersionStatistics

if TYPE_CHECKING:
    import click
    from litestar import Litestar
    from litestar.config.app import AppConfig
    from litestar.connection import ASGIConnection
    from litestar.handlers.base import BaseRouteHandler

    from foretell.logs import Logger
    from foretell.plugin.instruments import Instrument

__all__ = ["Guard", "Host", "Models", "NoConfig", "Plugin", "Stage", "overrides"]


Guard: TypeAlias = "Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], None]"
"""A guard of Litestar's: raises an exception where somebody may not go on."""


class Stage(enum.IntEnum):
    """Where in the chain a plugin stands, outermost first. Within a stage, the order of `plugins.enabled` counts."""

    OBSERVE = 0
    """Sees everything. Fails open."""
    GUARD = 1
    """Quotas, access to models. Fails closed."""
    VALIDATE = 2
    """Rules for inputs. Fails closed."""
    SHADOW = 3
    """Mirrors requests; the caller never waits. Fails open."""
    FALLBACK = 4
    """Answers in place of a model that cannot. Outside of `CACHE`, so that a degraded answer is never stored."""
    CACHE = 5
    """Answers without calling on. Fails open."""

    @property
    def fails_open(self) -> bool:
        """Whether the prediction goes on without a plugin of this stage that crashed."""
        return self not in {Stage.GUARD, Stage.VALIDATE}


class NoConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The configuration of a plugin that has none."""


class Models(Protocol):
    """The models of the server, as a plugin may see and ask them."""

    def infos(self, model: str | None = None) -> list[ModelInfo]:
        """Every version that is loaded now, of one model or of all, by model name and version."""
        ...

    def info(self, model: str, version: int | str | None = None) -> ModelInfo | None:
        """A loaded version by its number or alias, or the one that answers by default; None if there is none."""
        ...

    async def predict(
        self, model: str, version: int | str | None, request: PredictRequest
    ) -> PredictResponse:
        """Ask a version, below the stage of the plugin that asks; the record and the deadline stay the request's.

        Args:
            model: The model's name.
            version: The version's number or alias; None for the one that answers by default.
            request: What to ask; its inputs must fit that model's signature.

        Raises:
            NotFoundError: There is no such model or version.
            NotReadyError: It does not serve, or not now.
            RunError: It failed.
        """
        ...


class Host(Protocol):
    """The server as a plugin may see it; handed to `Plugin.on_start`."""

    @property
    def models(self) -> Models:
        """The models."""
        ...

    @property
    def log(self) -> Logger:
        """Writes to the server's log."""
        ...

    @property
    def admin_guard(self) -> Guard:
        """A guard for routes that change something: lets only those through who have the admin key."""
        ...

    @property
    def in_flight(self) -> int:
        """How many predictions are going on now."""
        ...

    @property
    def plugin_errors(self) -> Mapping[str, int]:
        """How often each plugin has failed, by name."""
        ...

    @property
    def fingerprint(self) -> str:
        """The same in every worker process of one server; another for a server of other settings."""
        ...

    def flush(self) -> None:
        """Hand the records of all answered requests to the observers now, for instance before a scrape."""
        ...

    def instruments(self) -> list[Instrument]:
        """What the plugins count and measure of themselves, as it stands now; for plugins that show metrics."""
        ...


C = TypeVar("C", bound=msgspec.Struct)


class Plugin(Generic[C]):
    """A plugin: subclass it, say at which stage it stands, and override the hooks that it needs.

    The type between the brackets, ``Plugin[Config]``, is the Struct that its configuration is converted into; let it
    forbid unknown fields, so that a misspelt key stops the start. A hook that is not overridden is not called.

    Args:
        config: The plugin's configuration. Making a plugin must not touch files or the network; `lifespan` may.

    Attributes:
        stage: Where in the chain it stands.
        observes_at_once: Whether `observe` is called with each record alone, right after its answer was handed to
            the server, instead of in batches. It then has a microsecond or so, and sees every answered request even
            if the process is killed.
        shorthand: The field that a model's setting means where it is no table: ``plugins.cache = 5``.
    """

    stage: ClassVar[Stage]
    observes_at_once: ClassVar[bool] = False
    shorthand: ClassVar[str | None] = None
    config_type: ClassVar[type[msgspec.Struct]] = NoConfig

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for parent in getattr(cls, "__orig_bases__", ()):
            origin = get_origin(parent)
            if isinstance(origin, type) and issubclass(origin, Plugin):
                argument = get_args(parent)[0]
                if isinstance(argument, type):
                    cls.config_type = argument

    def __init__(self, config: C) -> None:
        self.config = config
        self._model_configs: dict[str, C] = {}

    def configure_model(self, model: str, config: C) -> None:
        """Take the configuration of one model; called before its versions are wrapped."""
        self._model_configs[model] = config

    def config_for(self, model: str) -> C:
        """The configuration for a model: its own settings over the plugin's."""
        return self._model_configs.get(model, self.config)

    def why_not(self, model: ModelInfo) -> str | None:
        """Why this plugin does not wrap a version, for ``foretell plugins chain``; None if it does."""
        del model
        return None

    def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
        """Go around the predictions of a version; called once for each loaded version.

        Args:
            call_next: The rest of the chain. Outside of stage `FALLBACK` it may be called once for each request.
            model: The version.

        Returns:
            What is called in place of `call_next`.
        """
        del model
        return call_next

    def concerns(self, record: RequestRecord) -> bool:
        """Whether the plugin goes around a request; for one that goes around some only, sampled ones for instance.

        Asked before each prediction, for a microsecond or so, and at once. A request that does not concern the plugin
        does not enter what `wrap_predict` gave, which saves most of what going around it costs.

        Args:
            record: What is known of the request. What is decided can be left in it for later: `RequestRecord.note`.
        """
        del record
        return True

    def wrap_choice(self, call_next: Choose, model: ModelInfo) -> Choose:
        """Choose which version answers a request that names none: canaries, for instance.

        Called for each version that is loaded, in case it is the one that answers by default.

        Args:
            call_next: What the other plugins choose; in the end, the number of `model`.
            model: The version that answers by default.

        Returns:
            What is called in place of `call_next`, with the record as far as it is known before the body is read:
            headers, route, model. It gives a number at once, without waiting; the default answers where there is no
            such version.
        """
        del model
        return call_next

    def observe(self, records: Sequence[RequestRecord]) -> None:
        """Take what is left of requests after their answers were sent: failures and refusals included, in batches."""

    def instruments(self) -> Iterable[Instrument]:
        """What the plugin counts or measures of itself, as it stands now, for metrics.

        Called on the event loop before a scrape, and every second or so.
        """
        return ()

    def on_start(self, host: Host) -> None:
        """Take a view of the server; called once, before the models are loaded."""

    def on_models(self, loaded: Sequence[ModelInfo]) -> Mapping[tuple[str, int], str]:
        """Look at all models together; called after each load of the store, when each version has been wrapped.

        Args:
            loaded: The versions that were loaded just now; `Models.infos` has the others as well.

        Returns:
            Why versions among them must not serve, by model name and number. They are taken out of service and listed
            with that reason.
        """
        del loaded
        return {}

    def status(self, model: str, version: int) -> Mapping[str, Any] | None:
        """What ``GET /health`` and ``GET /v1/models/{model}`` tell of a version under this plugin's name.

        Args:
            model: The model's name.
            version: The version's number; it may be one that failed to load.

        Returns:
            JSON values by name; None for nothing.
        """
        del model, version
        return None

    async def statistics(self) -> Sequence[VersionStatistics]:
        """What the predictions of each version came to, over all processes of the server; for plugins that count them."""
        return ()

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Change the Litestar application that is being made; Litestar's own hook."""
        return app_config

    def lifespan(self, app: Litestar) -> AbstractAsyncContextManager[None]:
        """Open what the plugin needs while the server runs, and close it; entered before the models are loaded."""
        del app
        return nullcontext()

    def register_commands(self, cli: click.Group) -> None:
        """Add commands to ``foretell``."""


def overrides(plugin: Plugin[Any] | type[Plugin[Any]], hook: str) -> bool:
    """Whether a plugin overrides a hook."""
    kind = plugin if isinstance(plugin, type) else type(plugin)
    return getattr(kind, hook) is not getattr(Plugin, hook)
