"""foretell inside a team's own Litestar application."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Router
from litestar.plugins import InitPlugin

from foretell.app import assemble
from foretell.errors import PluginError, SettingsError
from foretell.http.openapi import ModelDocument
from foretell.settings import PluginSettings, Settings

if TYPE_CHECKING:
    from litestar.config.app import AppConfig
    from litestar.openapi import OpenAPIConfig

__all__ = ["ForetellPlugin"]


class ForetellPlugin(InitPlugin):
    """Puts all of foretell into a Litestar application: routes, plugins, the loading of models, OpenAPI.

        app = Litestar([...], plugins=[ForetellPlugin(store="model_store", path="/ml")])

    The application's own routes, exception handlers and documents stay as they are. No settings file and no
    ``FORETELL_*`` variable is read.

    Args:
        store: The model store's folder; that of the settings if None.
        path: Under which path the routes are, for instance ``/ml``.
        default_model: The model that answers ``<path>/predict``; that of the settings if None.
        plugins: The names of the plugins to enable; those of the settings if None.
        plugins_folder: Where plugins of a single file are dropped in; that of the settings if None, but for the
            default ``plugins``, which may well hold something of the application's own: then only plugins of
            installed packages are found.
        settings: All other settings, or a mapping of them by section; the defaults if None.

    Raises:
        SettingsError: The path, the names or the settings cannot be used.
        PluginError: An enabled plugin cannot be loaded.
    """

    def __init__(
        self,
        store: str | Path | None = None,
        path: str = "/",
        *,
        default_model: str | None = None,
        plugins: Sequence[str] | None = None,
        plugins_folder: str | Path | None = None,
        settings: Settings | Mapping[str, Any] | None = None,
    ) -> None:
        if not path.startswith("/") or "{" in path:
            raise SettingsError(f"path = {path!r}: expected a path that begins with / and has no parameters")
        if isinstance(plugins, str):
            raise SettingsError(f"plugins = {plugins!r}: expected a list of names, [{plugins!r}]")
        base = _settings(settings)
        of_store = {"path": None if store is None else str(store), "default_model": default_model}
        of_plugins: dict[str, Any] = {
            "enabled": None if plugins is None else tuple(plugins),
            "folder": None if plugins_folder is None else str(plugins_folder),
        }
        drop_in = plugins_folder is not None or base.plugins.folder != PluginSettings().folder
        self._path = path
        try:
            self._assembly = assemble(
                msgspec.structs.replace(
                    base,
                    store=msgspec.structs.replace(base.store, **_given(of_store)),
                    plugins=msgspec.structs.replace(base.plugins, **_given(of_plugins)),
                ),
                host_path=path.rstrip("/"),
                drop_in=drop_in,
            )
        except PluginError as error:
            if not drop_in:
                error.add_note("No plugin folder is looked at: name one with plugins_folder.")
            raise

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add everything to the application that is being made."""
        own, app_config.route_handlers = app_config.route_handlers, []
        app_config = self._assembly.init_app(app_config)
        routes = Router(
            self._path,
            route_handlers=[*self._assembly.handlers, *app_config.route_handlers],
            exception_handlers={Exception: self._assembly.exception_handler},
        )
        app_config.route_handlers = [*own, routes]
        app_config.lifespan = [*app_config.lifespan, self._assembly.lifespan]  # pyright: ignore[reportUnknownMemberType] # Litestar's hooks are generic in an application that it leaves open
        if app_config.openapi_config is not None:
            app_config.openapi_config = self._documented(app_config.openapi_config)
        return app_config

    def _documented(self, config: OpenAPIConfig) -> OpenAPIConfig:
        """The application's documents, with the typed routes of every model in its ``openapi.json``."""
        ours = [
            plugin for plugin in self._assembly.openapi.render_plugins if isinstance(plugin, ModelDocument)
        ]
        others = [plugin for plugin in config.render_plugins if not plugin.has_path("/openapi.json")]
        documented = copy(
            config
        )  # `dataclasses.replace` would make it anew, and Litestar warn of its own fields
        documented.render_plugins = [*others, *ours]
        if documented.default_plugin not in documented.render_plugins:
            documented.default_plugin = documented.render_plugins[0]
        return documented


def _given(arguments: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in arguments.items() if value is not None}


def _settings(given: Settings | Mapping[str, Any] | None) -> Settings:
    if given is None or isinstance(given, Settings):
        return given or Settings()
    try:
        return msgspec.convert(dict(given), Settings)
    except msgspec.ValidationError as error:
        message = str(error)
        raise SettingsError(f"settings: {message[0].lower()}{message[1:]}") from error
