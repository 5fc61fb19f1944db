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
        loading = asyncio.create_task(_load(registry, log))
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


async def _load(registry: Registry[Endpoint], log: Logger) -> None:
    """Load the store and say what came of it."""
    await registry.load()
    if registry.error is not None:
        log.error("store unreadable", reason=registry.error)
    for name, model in registry.models.items():
        for number, reason in model.failures.items():
            log.error("version failed to load", model=name, version=number, reason=reason)
        if model.default is None:
            log.error("model not ready", model=name, reason=model.error)
        else:
            log.info(
                "model ready", model=name, default=model.default.info.version, versions=sorted(model.versions)
            )
    if not registry.models and registry.error is None:
        log.warning("the store holds no enabled model")
