"""The application: the only place that wires the parts together."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Litestar, Request, Response
from litestar.config.app import AppConfig
from litestar.openapi import OpenAPIConfig
from litestar.types import ControllerRouterHandler

from foretell.engine.follower import Follower
from foretell.engine.journal import Journal
from foretell.engine.loader import Loader
from foretell.engine.registry import Registry
from foretell.http.admin import admin_guard
from foretell.http.asgi import prediction_routes
from foretell.http.core import Core
from foretell.http.exceptions import problem_handler
from foretell.http.host import ServerHost
from foretell.http.identity import identity_middleware
from foretell.http.openapi import openapi_config
from foretell.http.pages import ordinary_routes
from foretell.http.request_ids import RequestIds
from foretell.logs import RequestLog, open_log
from foretell.plugin.discovery import discover
from foretell.plugin.faults import Faults
from foretell.plugin.loading import load_plugins
from foretell.plugin.observers import Observer, Observers
from foretell.plugin.plugin_set import PluginSet
from foretell.protocols.endpoint import Endpoint
from foretell.settings import Settings, load_settings

if TYPE_CHECKING:
    from litestar.types import Middleware

    from foretell.engine.stand_in import StandIn
    from foretell.engine.version import Version
    from foretell.logs import Logger
    from foretell.plugin.contract import Stage
    from foretell.store.model_config import ModelConfig

__all__ = ["Assembly", "assemble", "create_app"]

_LOG_BUDGET_US = 1000.0


class Assembly(msgspec.Struct, frozen=True):
    """The wired parts of a server, for whatever application they are put into.

    Attributes:
        handlers: The routes: predictions, the index, health.
        lifespan: What opens plugins and models, and closes them.
        init_app: What lets plugins change the application; Litestar's own hook.
        exception_handler: What makes problems of exceptions.
        openapi: How the document and its page are made.
    """

    handlers: list[ControllerRouterHandler]
    lifespan: Callable[[Litestar], AbstractAsyncContextManager[None]]
    init_app: Callable[[AppConfig], AppConfig]
    exception_handler: Callable[[Request[Any, Any, Any], Exception], Response[bytes]]
    openapi: OpenAPIConfig


def create_app(settings: Settings | None = None) -> Litestar:
    """Make the application of one model store. Nothing is shared between two of them.

    Args:
        settings: The settings; if they are not given, those of ``foretell.toml`` and the environment.

    Raises:
        SettingsError: A setting is misspelt or ill-typed.
        PluginError: An enabled plugin cannot be loaded.
    """
    assembly = assemble(load_settings(environ=os.environ).settings if settings is None else settings)
    return Litestar(
        route_handlers=assembly.handlers,
        on_app_init=[assembly.init_app],
        lifespan=[assembly.lifespan],
        exception_handlers={Exception: assembly.exception_handler},
        openapi_config=assembly.openapi,
        logging_config=None,
        debug=False,
    )


def assemble(settings: Settings, *, prefix: str = "") -> Assembly:
    """Wire the parts of a server.

    Args:
        settings: The settings.
        prefix: Where in another application the routes will be, for instance ``/ml``; for documents and messages.

    Raises:
        PluginError: An enabled plugin cannot be loaded.
    """
    log = open_log(settings.log)
    faults = Faults(log)
    plugins = PluginSet(load_plugins(settings, discover(Path(settings.plugins.folder))), faults)
    request_ids = RequestIds()
    fingerprint = _fingerprint(settings)

    def serve(version: Version, config: ModelConfig) -> Endpoint:
        return Endpoint(version, plugins.compose(version.info, version.predict, config.plugins))

    def stand_in(absent: StandIn, config: ModelConfig) -> Endpoint | None:
        chain = plugins.compose(absent.info, absent.predict, config.plugins)
        return Endpoint(absent, chain) if chain.falls_back else None

    registry = Registry(
        Path(settings.store.path),
        Loader.of(settings),
        max_rows=settings.limits.max_rows,
        serve=serve,
        stand_in=stand_in,
        review=plugins.review,
        use_of=lambda endpoint: endpoint.use,
        lazy=settings.engine.lazy or settings.engine.max_loaded_models is not None,
        max_loaded_models=settings.engine.max_loaded_models,
        journal=Journal(log),
    )
    observers = Observers(faults)
    core = Core(
        registry,
        default_model=settings.store.default_model,
        request_ids=request_ids,
        observers=observers,
        deadline_s=settings.limits.deadline_s,
        plugin_status=plugins.status,
    )
    guard = admin_guard(settings.admin.key_sha256)

    def host_of(stage: Stage) -> ServerHost:
        return ServerHost(
            stage,
            registry=registry,
            core=core,
            observers=observers,
            faults=faults,
            plugins=plugins,
            fingerprint=fingerprint,
            log=log,
            admin_guard=guard,
        )

    plugins.start(host_of)

    async def follow(loading: asyncio.Task[None]) -> None:
        """Follow the store once it is loaded."""
        if settings.store.follow != "off":
            await asyncio.wait({loading})
            store, mode = Path(settings.store.path), settings.store.follow
            await Follower(registry, store, mode=mode, poll_s=settings.store.poll_s, log=log).run()

    request_log = RequestLog(log, fraction=settings.log.predictions)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(plugins.lifespan(app))
            # The log comes last: a plugin may still say which trace a request belongs to.
            observers.take([*plugins.observers(), Observer("log", request_log.observe, _LOG_BUDGET_US)])
            stack.callback(observers.flush)
            for name, reason in plugins.missing.items():
                log.warning("plugin missing", plugin=name, reason=reason)
            loading = asyncio.create_task(_load(registry, log, settings))
            stack.callback(registry.close)
            stack.push_async_callback(asyncio.wait, {loading})
            stack.callback(loading.cancel)
            await asyncio.wait({loading}, timeout=settings.engine.startup_wait_s)
            if loading.done():
                loading.result()
            following = asyncio.create_task(follow(loading))
            stack.push_async_callback(asyncio.wait, {following})
            stack.callback(following.cancel)
            yield

    middleware: list[Middleware] = [identity_middleware(request_ids, log)]
    return Assembly(
        handlers=[
            *prediction_routes(core, max_body_bytes=settings.limits.max_body_bytes, prefix=prefix),
            ordinary_routes(
                registry,
                plugins.missing,
                plugin_status=plugins.status,
                middleware=middleware,
                prefix=prefix,
            ),
        ],
        lifespan=lifespan,
        init_app=plugins.init_app,
        exception_handler=problem_handler(request_ids, log),
        openapi=openapi_config(registry, core.default_endpoint, middleware=middleware, prefix=prefix),
    )


def _fingerprint(settings: Settings) -> str:
    """What tells a server from one of other settings, and its workers not from one another."""
    return hashlib.sha256(os.fsencode(Path.cwd()) + msgspec.json.encode(settings)).hexdigest()[:16]


async def _load(registry: Registry[Endpoint], log: Logger, settings: Settings) -> None:
    """Load the store, and say what comes of it."""

    def on_found(count: int) -> None:
        log.info("loading models", store=settings.store.path, models=count)

    await registry.load(on_found=on_found, on_loaded=registry.journal.model_loaded)
    if registry.error is not None:
        log.error("store unreadable", reason=registry.error)
    elif not registry.models:
        log.warning("the store holds no enabled model")
    named = settings.store.default_model
    if named is not None and registry.models and named not in registry.models:
        reason = f"there is no enabled model {named!r}{registry.hint(named)}; set store.default_model"
        log.warning("no default model", reason=reason)
