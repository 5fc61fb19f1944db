"""The application: the only place that wires the parts together."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from litestar import Litestar

from foretell.engine.loader import Loader
from foretell.engine.registry import Registry
from foretell.http.asgi import prediction_routes
from foretell.http.core import Core
from foretell.http.exceptions import problem_handler
from foretell.http.identity import identity_middleware
from foretell.http.openapi import openapi_config
from foretell.http.pages import ordinary_routes
from foretell.http.request_ids import RequestIds
from foretell.logs import RequestLog, open_log
from foretell.protocols.endpoint import Endpoint
from foretell.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from litestar.types import Middleware

    from foretell.engine.registry import Model
    from foretell.logs import Logger

__all__ = ["create_app"]


def create_app(settings: Settings | None = None) -> Litestar:
    """Make the application of one model store. Nothing is shared between two of them.

    Args:
        settings: The settings; if they are not given, those of ``foretell.toml`` and the environment.

    Raises:
        SettingsError: A setting is misspelt or ill-typed.
    """
    if settings is None:
        settings = load_settings(environ=os.environ).settings
    log = open_log(settings.log)
    request_ids = RequestIds()
    registry = Registry(
        Path(settings.store.path),
        Loader.of(settings),
        max_rows=settings.limits.max_rows,
        serve=Endpoint,
    )
    core = Core(
        registry,
        default_model=settings.store.default_model,
        request_ids=request_ids,
        observers=[RequestLog(log, fraction=settings.log.predictions).observe],
    )

    middleware: list[Middleware] = [identity_middleware(request_ids, log)]

    @asynccontextmanager
    async def serve_models(_: Litestar) -> AsyncGenerator[None]:
        loading = asyncio.create_task(_load(registry, log, settings))
        await asyncio.wait({loading}, timeout=settings.engine.startup_wait_s)
        if loading.done():
            loading.result()
        try:
            yield
        finally:
            loading.cancel()
            await asyncio.wait({loading})
            registry.close()

    return Litestar(
        route_handlers=[
            *prediction_routes(core, max_body_bytes=settings.limits.max_body_bytes),
            ordinary_routes(registry, middleware=middleware),
        ],
        lifespan=[serve_models],
        exception_handlers={Exception: problem_handler(request_ids, log)},
        openapi_config=openapi_config(registry, core.default_endpoint, middleware=middleware),
        logging_config=None,
        debug=False,
    )


async def _load(registry: Registry[Endpoint], log: Logger, settings: Settings) -> None:
    """Load the store, and say what comes of it."""

    def on_found(count: int) -> None:
        log.info("loading models", store=settings.store.path, models=count)

    def on_loaded(model: Model[Endpoint]) -> None:
        for number, reason in model.failures.items():
            log.error("version failed to load", model=model.name, version=number, reason=reason)
        for alias, number in model.dangling.items():
            log.warning(
                "alias points at a version that does not serve", model=model.name, alias=alias, version=number
            )
        if model.default is None:
            log.error("model not ready", model=model.name, reason=model.error)
        else:
            default = model.default.info.version
            log.info("model ready", model=model.name, default=default, versions=sorted(model.versions))

    await registry.load(on_found=on_found, on_loaded=on_loaded)
    if registry.error is not None:
        log.error("store unreadable", reason=registry.error)
    elif not registry.models:
        log.warning("the store holds no enabled model")
    named = settings.store.default_model
    if named is not None and registry.models and named not in registry.models:
        reason = f"there is no enabled model {named!r}{registry.hint(named)}; set store.default_model"
        log.warning("no default model", reason=reason)
