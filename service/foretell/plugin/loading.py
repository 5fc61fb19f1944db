"""From settings to plugins: found, imported, configured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, cast

import msgspec

from foretell.errors import PluginError
from foretell.plugin.contract import Plugin

if TYPE_CHECKING:
    from foretell.plugin.discovery import FoundPlugin
    from foretell.settings import Settings

__all__ = ["LoadedPlugin", "LoadedPlugins", "load_plugins"]

S = TypeVar("S", bound=msgspec.Struct)

_Positive = Annotated[float, msgspec.Meta(gt=0)]


class _Common(msgspec.Struct, frozen=True):
    """What every plugin's table may hold beside the plugin's own keys.

    Attributes:
        optional: Whether the server starts without the plugin if it cannot be loaded.
        timeout_s: How long it may take for one request, apart from what it calls on, seconds.
        budget_us: How long it should take at most for one request; a slower one leaves a warning in the log, µs.
        open_s: How long its `lifespan` may take to open, seconds.
        close_s: How long its `lifespan` may take to close, seconds.
    """

    optional: bool = False
    timeout_s: _Positive = 1.0
    budget_us: _Positive = 500.0
    open_s: _Positive = 30.0
    close_s: _Positive = 10.0


_COMMON: Final = tuple(field.name for field in msgspec.structs.fields(_Common))


class LoadedPlugin(msgspec.Struct, frozen=True):
    """An enabled plugin.

    Attributes:
        name: Its name.
        origin: Where it comes from.
        plugin: The plugin itself.
        optional: Whether the server goes on without it if it cannot start.
        timeout_s: How long it may take for one request, apart from what it calls on, seconds.
        budget_us: How long it should take at most for one request, µs.
        config: Its table of the settings, without what every plugin has.
        of_models: What the settings say of it for single models, by model name.
        opted_out: The models that do not want it, by name.
        open_s: How long its `lifespan` may take to open, seconds.
        close_s: How long its `lifespan` may take to close, seconds.
    """

    name: str
    origin: str
    plugin: Plugin[Any]
    optional: bool
    timeout_s: float
    budget_us: float
    config: dict[str, Any]
    of_models: dict[str, Any]
    opted_out: set[str]
    open_s: float = _Common().open_s
    close_s: float = _Common().close_s

    def configure(self, model: str, in_store: Mapping[str, Any]) -> None:
        """Give the plugin what is set for one model: ``false`` switches it off, a table sets keys.

        Args:
            model: The model's name.
            in_store: What its model.toml says of plugins, by their names; the server's settings go before it.

        Raises:
            PluginError: A key is misspelt or ill-typed.
        """
        wanted = True
        merged = dict(self.config)
        for table, where in (
            (in_store, f"{model}/model.toml: plugins.{self.name}"),
            (self.of_models, f"models.{model}.plugins.{self.name}"),
        ):
            key = self.name if table is in_store else model
            if key in table:
                wanted = table[key] is not False
                merged.update(self._table(where, table[key]))
                self._convert(merged, where)
        if wanted:
            self.opted_out.discard(model)
            self.plugin.configure_model(model, self._convert(merged, f"{self.name} for {model}"))
        else:
            self.opted_out.add(model)

    def _table(self, where: str, value: Any) -> dict[str, Any]:
        if isinstance(value, bool):
            return {}
        if isinstance(value, dict):
            return cast("dict[str, Any]", value)
        if self.plugin.shorthand is None:
            raise PluginError(f"{where}: plugin {self.name!r} takes a table, true or false, not {value!r}")
        return {self.plugin.shorthand: value}

    def _convert(self, table: dict[str, Any], where: str) -> msgspec.Struct:
        return _convert(table, type(self.plugin).config_type, where)


class LoadedPlugins(msgspec.Struct, frozen=True):
    """The enabled plugins.

    Attributes:
        plugins: Those that were loaded, in the order of the settings.
        missing: Why each optional one was not, by name.
    """

    plugins: tuple[LoadedPlugin, ...]
    missing: dict[str, str]


def load_plugins(settings: Settings, found: Mapping[str, FoundPlugin]) -> LoadedPlugins:
    """Import and configure the plugins that the settings enable, and no others.

    Args:
        settings: The settings.
        found: The plugins that could be enabled.

    Raises:
        PluginError: A plugin that is not optional cannot be loaded, or is configured but not there.
    """
    enabled = settings.plugins.enabled
    twice = sorted({name for name in enabled if enabled.count(name) > 1})
    if twice:
        raise PluginError(f"plugins.enabled names {twice[0]!r} twice")
    loaded: list[LoadedPlugin] = []
    missing: dict[str, str] = {}
    for name in enabled:
        table = settings.plugins.config.get(name, {})
        common = _convert(
            {key: table[key] for key in _COMMON if key in table}, _Common, f"plugins.config.{name}"
        )
        try:
            loaded.append(_load(name, settings, found, common, table))
        except PluginError as error:
            if not common.optional:
                raise
            missing[name] = str(error)
    _check_names(settings, found)
    return LoadedPlugins(tuple(loaded), missing)


def _load(
    name: str, settings: Settings, found: Mapping[str, FoundPlugin], common: _Common, table: dict[str, Any]
) -> LoadedPlugin:
    if name not in found:
        there = ", ".join(sorted(found)) or "none"
        raise PluginError(
            f"plugins.enabled names {name!r}, which is not there; there are: {there}. Install its package, drop "
            f"its file into the plugin folder, or take it out of the list"
        )
    plugin_type = found[name].load()
    own = {key: value for key, value in table.items() if key not in _COMMON}
    config = _convert(own, plugin_type.config_type, f"plugins.config.{name}")
    try:
        plugin = plugin_type(config)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise PluginError(
            f"plugin {name!r} ({found[name].origin}) cannot be made: {type(error).__name__}: {error}"
        ) from error
    loaded = LoadedPlugin(
        name,
        found[name].origin,
        plugin,
        common.optional,
        common.timeout_s,
        common.budget_us,
        own,
        {model: each.plugins[name] for model, each in settings.models.items() if name in each.plugins},
        set(),
        open_s=common.open_s,
        close_s=common.close_s,
    )
    for model in loaded.of_models:
        loaded.configure(model, {})
    return loaded


def _check_names(settings: Settings, found: Mapping[str, FoundPlugin]) -> None:
    """Refuse settings of plugins that do not exist: they are misspelt."""
    named = {f"plugins.config.{name}": name for name in settings.plugins.config}
    for model, of_model in settings.models.items():
        named |= {f"models.{model}.plugins.{name}": name for name in of_model.plugins}
    for where, name in named.items():
        if name not in found and name not in settings.plugins.enabled:
            there = ", ".join(sorted(found)) or "none"
            raise PluginError(f"{where}: there is no plugin {name!r}; there are: {there}")


def _convert(table: dict[str, Any], struct: type[S], where: str) -> S:
    try:
        return msgspec.convert(table, struct)
    except msgspec.ValidationError as error:
        keys = ", ".join(field.encode_name for field in msgspec.structs.fields(struct)) or "none"
        message = str(error)
        raise PluginError(f"{where}: {message[0].lower()}{message[1:]}; its keys are: {keys}") from error
