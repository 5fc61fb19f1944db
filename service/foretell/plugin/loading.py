"""From settings to plugins: found, imported, configured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeGuard

import msgspec

from foretell.errors import ForetellError, PluginError
from foretell.plugin.absence import why_absent
from foretell.plugin.config_text import read, toml_value
from foretell.plugin.config_types import type_below
from foretell.plugin.configuration import Place, convert, did_you_mean
from foretell.plugin.contract import Plugin
from foretell.settings.text_value import TextValue

if TYPE_CHECKING:
    from foretell.plugin.discovery import FoundPlugin
    from foretell.settings import Settings

__all__ = ["LoadedPlugin", "LoadedPlugins", "check_names", "load_plugins", "try_plugins"]

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
        origins: Where each setting comes from, by its key, as far as that is known.
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
    origins: Mapping[str, str] = {}
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
        in_file = Place(f"plugins.{self.name}", file=f"{model}/model.toml")
        in_settings = Place(f"models.{model}.plugins.{self.name}", self.origins)
        for table, key, place in ((in_store, self.name, in_file), (self.of_models, model, in_settings)):
            if key in table:
                wanted = table[key] is not False
                merged.update(self._table(place, table[key]))
                self._convert(merged, place)
        if wanted:
            self.opted_out.discard(model)
            self.plugin.configure_model(model, self._convert(merged, in_settings))
        else:
            self.opted_out.add(model)

    def _table(self, place: Place, value: Any) -> dict[str, Any]:
        if isinstance(value, bool):
            return {}
        if _is_table(value):
            return value
        if self.plugin.shorthand is None:
            raise PluginError(f"{place}: plugin {self.name!r} takes a table, true or false, not {value!r}")
        return {self.plugin.shorthand: value}

    def _convert(self, table: dict[str, Any], place: Place) -> msgspec.Struct:
        return convert(table, type(self.plugin).config_type, place)


class LoadedPlugins(msgspec.Struct, frozen=True):
    """The enabled plugins.

    Attributes:
        plugins: Those that were loaded, in the order of the settings.
        missing: Why each optional one was not, by name.
        known: The names of all plugins that could be enabled, and of those that are; None if that does not matter.
    """

    plugins: tuple[LoadedPlugin, ...]
    missing: dict[str, str]
    known: frozenset[str] | None = None

    def check_model(self, model: str, in_store: Iterable[str]) -> None:
        """Refuse a model.toml that speaks of a plugin that does not exist: its name is misspelt.

        The keys of a plugin that is not enabled cannot be checked, for it is not imported.

        Args:
            model: The model's name.
            in_store: The plugins that its model.toml names.

        Raises:
            PluginError: One of them does not exist.
        """
        for name in in_store:
            if self.known is not None and name not in self.known:
                raise PluginError(f"{model}/model.toml: plugins.{name}: {_no_plugin(name, self.known)}")


def load_plugins(
    settings: Settings, found: Mapping[str, FoundPlugin], origins: Mapping[str, str] | None = None
) -> LoadedPlugins:
    """Import and configure the plugins that the settings enable, and no others.

    Args:
        settings: The settings.
        found: The plugins that could be enabled.
        origins: Where each setting comes from, by its key, as far as that is known; for messages.

    Raises:
        PluginError: A plugin that is not optional cannot be loaded, or is configured but not there.
    """
    loaded, failed = try_plugins(settings, found, origins)
    for error in failed.values():
        raise error
    check_names(settings, found, origins)
    return loaded


def try_plugins(
    settings: Settings, found: Mapping[str, FoundPlugin], origins: Mapping[str, str] | None = None
) -> tuple[LoadedPlugins, dict[str, PluginError]]:
    """Import and configure as many of the enabled plugins as can be.

    Args:
        settings: The settings.
        found: The plugins that could be enabled.
        origins: Where each setting comes from, by its key, as far as that is known; for messages.

    Returns:
        The plugins, and why each that is not optional is not among them, by name.
    """
    origins = origins or {}
    enabled = settings.plugins.enabled
    loaded: list[LoadedPlugin] = []
    missing: dict[str, str] = {}
    failed: dict[str, PluginError] = {}
    for name in dict.fromkeys(enabled):
        optional = False
        try:
            if enabled.count(name) > 1:
                raise PluginError(f"{Place('plugins.enabled', origins)} names {name!r} twice")  # noqa: TRY301 - it takes the same way as what else is wrong with it
            common = _common(name, settings, origins)
            optional = common.optional
            loaded.append(_load(name, settings, found, common, origins))
        except PluginError as error:
            if optional:
                missing[name] = str(error)
            else:
                failed[name] = error
    return LoadedPlugins(tuple(loaded), missing, frozenset({*found, *enabled})), failed


def check_names(
    settings: Settings, found: Mapping[str, FoundPlugin], origins: Mapping[str, str] | None = None
) -> None:
    """Refuse settings of plugins that do not exist: their names are misspelt.

    Raises:
        PluginError: There are such settings.
    """
    named = {f"plugins.config.{name}": name for name in settings.plugins.config}
    for model, of_model in settings.models.items():
        named |= {f"models.{model}.plugins.{name}": name for name in of_model.plugins}
    for key, name in named.items():
        if name not in found and name not in settings.plugins.enabled:
            raise PluginError(f"{Place(key, origins or {})}: {_no_plugin(name, found)}")


def _common(name: str, settings: Settings, origins: Mapping[str, str]) -> _Common:
    table = settings.plugins.config.get(name, {})
    place = Place(f"plugins.config.{name}", origins)
    own = {key: table[key] for key in _COMMON if key in table}
    return convert(read(own, _Common, place), _Common, place)


def _load(
    name: str,
    settings: Settings,
    found: Mapping[str, FoundPlugin],
    common: _Common,
    origins: Mapping[str, str],
) -> LoadedPlugin:
    if name not in found:
        raise PluginError(why_absent(name, settings.plugins.folder, found, origins))
    plugin_type = found[name].load()
    place = Place(f"plugins.config.{name}", origins)
    table = settings.plugins.config.get(name, {})
    own = read(
        {key: value for key, value in table.items() if key not in _COMMON}, plugin_type.config_type, place
    )
    config = convert(own, plugin_type.config_type, place, besides=_COMMON)
    try:
        plugin = plugin_type(config)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        reason = str(error) if isinstance(error, ForetellError) else f"{type(error).__name__}: {error}"
        raise PluginError(f"plugin {name!r} ({found[name].origin}) cannot be made: {reason}") from error
    loaded = LoadedPlugin(
        name,
        found[name].origin,
        plugin,
        common.optional,
        common.timeout_s,
        common.budget_us,
        own,
        {
            model: _of_model(
                each.plugins[name], plugin_type, Place(f"models.{model}.plugins.{name}", origins)
            )
            for model, each in settings.models.items()
            if name in each.plugins
        },
        set(),
        origins,
        open_s=common.open_s,
        close_s=common.close_s,
    )
    for model in loaded.of_models:
        loaded.configure(model, {})
    return loaded


def _of_model(value: Any, plugin_type: type[Plugin[Any]], place: Place) -> Any:
    """What is set for one model, with its text read: a switch, a table, or the one key that has a short form."""
    if not isinstance(value, TextValue):
        return read(value, plugin_type.config_type, place)
    written: Any = toml_value(value.text)
    if isinstance(written, bool) or _is_table(written) or plugin_type.shorthand is None:
        return written
    return read(value, type_below(plugin_type.config_type, plugin_type.shorthand), place)


def _is_table(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _no_plugin(name: str, known: Iterable[str]) -> str:
    return f"there is no plugin {name!r}{did_you_mean(name, sorted(known), 'there are')}"
