"""The enabled plugins of one application, and every hook of theirs called where its time has come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from foretell.errors import ForetellError, NotReadyError, PluginError
from foretell.plugin.chain import compose
from foretell.plugin.contract import overrides
from foretell.plugin.instruments import Instrument
from foretell.plugin.observers import Observer
from foretell.plugin.patience import within
from foretell.plugin.wrapping import Wrapping

if TYPE_CHECKING:
    from types import TracebackType

    import click
    from litestar import Litestar
    from litestar.config.app import AppConfig

    from foretell.plugin.chain import Chain
    from foretell.plugin.contract import Host, Stage
    from foretell.plugin.faults import Faults
    from foretell.plugin.loading import LoadedPlugin, LoadedPlugins
    from foretell.prediction import ModelInfo, Respond
    from foretell.statistics import VersionStatistics

__all__ = ["PluginSet"]


_BUNDLED: Final = "foretell_plugins"
"""The package of the bundled plugins."""


class PluginSet:
    """The enabled plugins. One that is optional and fails to start, or to wrap a version, is left out there.

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
        self._crashes: dict[str, PluginError] = {}
        self._working: set[str] = set()

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

    @property
    def may_bring_types(self) -> bool:
        """Whether a plugin may add routes to the application whose types only others than msgspec understand.

        The bundled ones add none.
        """
        modules = {type(each.plugin).__module__ for each in self._overriding("on_app_init")}
        return any(module.partition(".")[0] != _BUNDLED for module in modules)

    def init_app(self, app_config: AppConfig) -> AppConfig:
        """Let each plugin change the Litestar application that is being made.

        Raises:
            PluginError: A plugin that is not optional fails.
        """
        for each in self._overriding("on_app_init"):
            with self._starting(each, "on_app_init"):
                changed: object = each.plugin.on_app_init(app_config)
                if not isinstance(changed, type(app_config)):
                    raise TypeError(f"it gave {changed!r}; it must give the AppConfig")
                app_config = changed
        return app_config

    @asynccontextmanager
    async def lifespan(self, app: Litestar) -> AsyncGenerator[None]:
        """Keep open what the plugins need while the server runs. One that fails to close it harms no other.

        Raises:
            PluginError: A plugin that is not optional fails to open it, or takes too long.
        """
        async with AsyncExitStack() as stack:
            for each in self._overriding("lifespan"):
                with self._starting(each, "lifespan"):
                    context = each.plugin.lifespan(app)
                    complaint = (
                        f"it did not open within {each.open_s:g} s (plugins.config.{each.name}.open_s)"
                    )
                    await within(context.__aenter__(), each.open_s, complaint)
                    stack.push_async_exit(partial(self._close, each, context))
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
            with self._at_work(each, "instruments"):
                found += list(map(_plain, list(each.plugin.instruments())))
        return found

    @property
    def statistics(self) -> Callable[[], Awaitable[Sequence[VersionStatistics]]] | None:
        """Tells what the predictions of each version came to; None if no plugin counts them."""
        counting = self._overriding("statistics")
        return partial(self._statistics, counting[0]) if counting else None

    @property
    def broken(self) -> PluginError | None:
        """How a plugin crashed that is not optional and has not been put around a single version; None if none is."""
        return next((error for name, error in self._crashes.items() if name not in self._working), None)

    def compose(self, model: ModelInfo, end: Respond, in_store: Mapping[str, Any]) -> Chain:
        """Put the plugins around a version.

        Args:
            model: The version.
            end: What runs it.
            in_store: What its model.toml says of plugins, by their names.

        Raises:
            PluginError: Its settings for a plugin are wrong, or a plugin that is not optional fails to wrap it.
        """
        wrapping = Wrapping(model)
        try:
            self._check_model(model.name, in_store)
            for each in self._plugins:
                with wrapping.of(each, f"to take the settings of {model.name}"):
                    each.configure(model.name, in_store)
            return compose(self._plugins, model, end, self._faults, wrapping)
        finally:
            self._learn(wrapping)

    def review(self, loaded: Sequence[ModelInfo]) -> dict[tuple[str, int], str]:
        """Let each plugin look at what was loaded.

        Returns:
            Why versions among it must not serve, by model name and number.
        """
        refused: dict[tuple[str, int], str] = {}
        numbers = {(info.name, info.version) for info in loaded}
        for each in self._overriding("on_models"):
            with self._at_work(each, "on_models"):
                reasons = dict(each.plugin.on_models(loaded))
                refused |= {key: f"plugin {each.name!r}: {reasons[key]}" for key in numbers & reasons.keys()}
        return refused

    def status(self, model: str, version: int) -> dict[str, Any]:
        """What each plugin tells of a version, by the plugin's name. What is no JSON is left out, and counted."""
        told: dict[str, Any] = {}
        for each in self._overriding("status"):
            with self._at_work(each, "status"):
                status = None if model in each.opted_out else each.plugin.status(model, version)
                msgspec.json.encode(status)
                if status is not None:
                    told[each.name] = status
        return told

    async def _statistics(self, each: LoadedPlugin) -> Sequence[VersionStatistics]:
        with self._at_work(each, "statistics"):
            return await each.plugin.statistics()
        raise NotReadyError(f"plugin {each.name!r} failed to tell; the log says why")

    def _overriding(self, hook: str) -> list[LoadedPlugin]:
        return [each for each in self._plugins if overrides(each.plugin, hook)]

    def _learn(self, wrapping: Wrapping) -> None:
        """Keep what came of an attempt to put the plugins around a version."""
        for name, reason in wrapping.left_out.items():
            if name not in self.missing:
                self.missing[name] = reason
                self._faults.missing(name, reason)
        if wrapping.crash is not None:
            self._crashes.setdefault(*wrapping.crash)
        self._working |= wrapping.done

    async def _close(
        self,
        each: LoadedPlugin,
        context: AbstractAsyncContextManager[None],
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close what a plugin has opened."""
        complaint = (
            f"plugin {each.name!r} ({each.origin}) did not close within {each.close_s:g} s "
            f"(plugins.config.{each.name}.close_s)"
        )
        with self._at_work(each, "lifespan"):
            await within(context.__aexit__(kind, error, traceback), each.close_s, complaint)

    @contextmanager
    def _at_work(self, each: LoadedPlugin, hook: str) -> Generator[None]:
        """The boundary of a plugin: whatever it raises within this block is counted and logged, and that is all."""
        try:
            yield
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            if _is_told_to_end(error):
                raise
            self._faults.failed(each.name, hook, error)

    @contextmanager
    def _starting(self, each: LoadedPlugin, hook: str) -> Generator[None]:
        try:
            yield
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) or _is_told_to_end(error):
                raise
            reason = f"plugin {each.name!r} ({each.origin}) failed in {hook}: "
            reason += str(error) if isinstance(error, ForetellError) else f"{type(error).__name__}: {error}"
            if not each.optional:
                raise PluginError(reason) from error
            self.missing[each.name] = reason
            self._plugins.remove(each)


def _plain(instrument: object) -> Instrument:
    """An instrument with plain numbers, whatever kind of number the plugin counts with.

    Raises:
        TypeError: It is none, or cannot be shown.
        ValueError: It cannot be shown.
    """
    if not isinstance(instrument, Instrument):
        raise TypeError(f"instruments gave {instrument!r}; it must give Instruments")
    instrument.check()
    return msgspec.structs.replace(
        instrument,
        samples=[
            (labels, value if type(value) in {int, float} else float(value))
            for labels, value in instrument.samples
        ],
    )


def _is_told_to_end(error: BaseException) -> bool:
    """Whether an exception ends the task that it is raised in, and is no fault of a plugin."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop runs
        return False
    return task is not None and task.cancelling() > 0
