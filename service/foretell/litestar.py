"""foretell inside a team's own Litestar application."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from litestar import Router
from litestar.plugins import InitPlugin

from foretell.app import assemble
from foretell.errors import SettingsError
from foretell.http.openapi import ModelDocument
from foretell.settings import Settings

if TYPE_CHECKING:
    from litestar.config.app import AppConfig
    from litestar.openapi import OpenAPIConfig

__all__ = ["ForetellPlugin"]


class ForetellPlugin(InitPlugin):
    """Puts all of foretell into a Litestar application: routes, plugins, the loading of models, OpenAPI.

        app = Litestar([...], plugins=[ForetellPlugin(store="model_store", path="/ml")])

    The application's own routes, exception handlers and documents stay as they are.

    Args:
        store: The model store's folder; that of the settings if None.
        path: Under which path the routes are, for instance ``/ml``.
        default_model: The model that answers ``<path>/predict``; that of the settings if None.
        plugins: The plugins to enable; those of the settings if None.
        settings: All other settings; the defaults if None. No file and no environment is read.

    Raises:
        SettingsError: The path cannot be used.
        PluginError: An enabled plugin cannot be loaded.
    """

    def __init__(
        self,
        store: str | Path | None = None,
        path: str = "/",
        *,
        default_model: str | None = None,
        plugins: Sequence[str] | None = None,
        settings: Settings | None = None,
    ) -> None:
        if not path.startswith("/") or "{" in path:
            raise SettingsError(f"path = {path!r}: expected a path that begins with / and has no parameters")
        base = settings or Settings()
        of_store = {"path": None if store is None else str(store), "default_model": default_model}
        changed = {key: value for key, value in of_store.items() if value is not None}
        of_plugins = {} if plugins is None else {"enabled": tuple(plugins)}
        self._path = path
        self._assembly = assemble(
            msgspec.structs.replace(
                base,
                store=msgspec.structs.replace(base.store, **changed),
                plugins=msgspec.structs.replace(base.plugins, **of_plugins),
            ),
            prefix=path.rstrip("/"),
        )

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
        return replace(config, render_plugins=[*others, *ours])
