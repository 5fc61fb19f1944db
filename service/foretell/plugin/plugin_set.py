"""The enabled plugins of one application, and every hook of theirs called where its time has come."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from foretell.errors import ForetellError, PluginError
from foretell.plugin.chain import compose
from foretell.plugin.contract import overrides
from foretell.plugin.observers import Observer

if TYPE_CHECKING:
    import click
    from litestar import Litestar
    from litestar.config.app import AppConfig

    from foretell.plugin.chain import Chain
    from foretell.plugin.contract import Host, Stage
    from foretell.plugin.faults import Faults
    from foretell.plugin.instruments import Instrument
    from foretell.plugin.loading import LoadedPlugin, LoadedPlugins
    from foretell.prediction import ModelInfo, Predict

__all__ = ["PluginSet"]


class PluginSet:
    """The enabled plugins. One that is optional and fails to start is left out, and its reason kept.

    Args:
        loaded: The plugins, imported and configured.
        faults: Where faults at work go.

    Attributes:
        missing: Why each optional plugin that is left out is, by name.
    """

    def __init__(self, loaded: LoadedPlugins, faults: Faults) -> None:
        self.missing = dict(loaded.missing)
        self._plugins = list(loaded.plugins)
        self._faults = faults
        self._check_model = loaded.check_model

    @property
    def plugins(self) -> tuple[LoadedPlugin, ...]:
        """Those that take part, in the order of the settings."""
        return tuple(self._plugins)

    def start(self, host_of: Callable[[Stage], Host]) -> None:
        """Hand each plugin its view of the server.

        Raises:
            PluginError: A plugin that is not optional fails.
        """
        for each in self._overriding("on_start"):
            with self._starting(each, "on_start"):
                each.plugin.on_start(host_of(each.plugin.stage))

    def init_app(self, app_config: AppConfig) -> AppConfig:
        """Let each plugin change the Litestar application that is being made.

        Raises:
            PluginError: A plugin that is not optional fails.
        """
        for each in self._overriding("on_app_init"):
            with self._starting(each, "on_app_init"):
                app_config = each.plugin.on_app_init(app_config)
        return app_config

    @asynccontextmanager
    async def lifespan(self, app: Litestar) -> AsyncGenerator[None]:
        """Keep open what the plugins need while the server runs.

        Raises:
            PluginError: A plugin that is not optional fails to open it.
        """
        async with AsyncExitStack() as stack:
            for each in self._overriding("lifespan"):
                with self._starting(each, "lifespan"):
                    await stack.enter_async_context(each.plugin.lifespan(app))
            yield

    def register_commands(self, cli: click.Group) -> None:
        """Let each plugin add commands.

        Raises:
            PluginError: A plugin that is not optional fails.
        """
        for each in self._overriding("register_commands"):
            with self._starting(each, "register_commands"):
                each.plugin.register_commands(cli)

    def observers(self) -> list[Observer]:
        """What takes records, outermost first."""
        return [
            Observer(
                each.name,
                each.plugin.observe,
                each.budget_us,
                each.opted_out,
                at_once=each.plugin.observes_at_once,
            )
            for each in sorted(self._overriding("observe"), key=lambda each: each.plugin.stage)
        ]

    def instruments(self) -> list[Instrument]:
        """What the plugins count and measure of themselves. One that fails to say so is left out, and counted."""
        found: list[Instrument] = []
        for each in self._overriding("instruments"):
            try:
                found += list(each.plugin.instruments())
            except (KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as error:  # noqa: BLE001 - the boundary of a plugin
                self._faults.failed(each.name, "instruments", error)
        return found

    def compose(self, model: ModelInfo, end: Predict, in_store: Mapping[str, Any]) -> Chain:
        """Put the plugins around a version.

        Args:
            model: The version.
            end: What runs it.
            in_store: What its model.toml says of plugins, by their names.

        Raises:
            PluginError: Its settings for a plugin are wrong, or a plugin fails to wrap it.
        """
        self._check_model(model.name, in_store)
        for each in self._plugins:
            each.configure(model.name, in_store)
        return compose(self._plugins, model, end, self._faults)

    def review(self, loaded: Sequence[ModelInfo]) -> dict[tuple[str, int], str]:
        """Let each plugin look at what was loaded.

        Returns:
            Why versions among it must not serve, by model name and number.
        """
        refused: dict[tuple[str, int], str] = {}
        numbers = {(info.name, info.version) for info in loaded}
        for each in self._overriding("on_models"):
            try:
                reasons = dict(each.plugin.on_models(loaded))
            except Exception as error:  # noqa: BLE001 - the boundary of a plugin
                self._faults.failed(each.name, "on_models", error)
                continue
            refused |= {key: f"plugin {each.name!r}: {reasons[key]}" for key in numbers & reasons.keys()}
        return refused

    def status(self, model: str, version: int) -> dict[str, Any]:
        """What each plugin tells of a version, by the plugin's name."""
        told: dict[str, Any] = {}
        for each in self._overriding("status"):
            try:
                status = None if model in each.opted_out else each.plugin.status(model, version)
            except Exception as error:  # noqa: BLE001 - the boundary of a plugin
                self._faults.failed(each.name, "status", error)
                continue
            if status is not None:
                told[each.name] = status
        return told

    def _overriding(self, hook: str) -> list[LoadedPlugin]:
        return [each for each in self._plugins if overrides(each.plugin, hook)]

    @contextmanager
    def _starting(self, each: LoadedPlugin, hook: str) -> Generator[None]:
        try:
            yield
        except BaseException as error:
            if not isinstance(error, (Exception, SystemExit)):
                raise
            reason = f"plugin {each.name!r} ({each.origin}) failed in {hook}: "
            reason += str(error) if isinstance(error, ForetellError) else f"{type(error).__name__}: {error}"
            if not each.optional:
                raise PluginError(reason) from error
            self.missing[each.name] = reason
            self._plugins.remove(each)
