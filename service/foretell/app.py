"""The application: the only place that wires the parts together."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Litestar, Request, Response
from litestar.config.app import AppConfig
from litestar.exceptions import ImproperlyConfiguredException
from litestar.openapi import OpenAPIConfig
from litestar.types import ControllerRouterHandler

from foretell.engine.follower import Follower
from foretell.engine.journal import Journal
from foretell.engine.loader import Loader
from foretell.engine.plan import make_plan
from foretell.engine.registry import Registry
from foretell.errors import SettingsError
from foretell.first_load import load_first
from foretell.http.admin import admin_guard
from foretell.http.application import Application, LeanApplication
from foretell.http.asgi import Adapter, prediction_routes
from foretell.http.core import Core
from foretell.http.exceptions import problem_handler
from foretell.http.host import ServerHost
from foretell.http.identity import identity_middleware
from foretell.http.known import Known
from foretell.http.lifecycle import Lifecycle
from foretell.http.lookup import Lookup
from foretell.http.openapi import openapi_config
from foretell.http.pages import ordinary_routes
from foretell.http.request_ids import RequestIds
from foretell.http.routings import routings
from foretell.logs import Logger, RequestLog, open_log
from foretell.plugin.discovery import discover
from foretell.plugin.faults import Faults
from foretell.plugin.loading import load_plugins
from foretell.plugin.observers import Observer, Observers
from foretell.plugin.plugin_set import PluginSet
from foretell.protocols.deadlines import Deadlines
from foretell.protocols.endpoint import Endpoint
from foretell.settings import Settings, load_settings
from foretell.settings.fingerprint import fingerprint
from foretell.settings.model import PlatformSettings
from foretell.store.elsewhere import prepare_store
from foretell.store.model_config import ModelLimits

if TYPE_CHECKING:
    from litestar.types import Middleware

    from foretell.engine.stand_in import StandIn
    from foretell.engine.version import Version
    from foretell.plugin.contract import Stage
    from foretell.rpc.place import RpcPlace
    from foretell.store.model_config import ModelConfig

__all__ = ["Assembly", "Parts", "assemble", "create_app", "wire"]

_LOG_BUDGET_US = 1000.0


class Parts(msgspec.Struct, frozen=True):
    """What answers predictions, without the routes that lead there.

    Attributes:
        lookup: The models, none of which is loaded yet, by what routes name.
        plugins: The enabled plugins, started.
        core: What answers requests.
        observers: What takes records.
        request_ids: What gives requests their ids.
        log: The server's log.
    """

    lookup: Lookup
    plugins: PluginSet
    core: Core
    observers: Observers
    request_ids: RequestIds
    log: Logger


class Assembly(msgspec.Struct, frozen=True):
    """The wired parts of a server, for whatever application they are put into.

    Attributes:
        handlers: The routes: predictions, the index, health.
        adapter: What answers predictions.
        known: What was asked before.
        may_bring_types: Whether plugins may add routes with types that only others than msgspec understand.
        lifespan: What opens plugins and models, and closes them.
        init_app: What lets plugins change the application; Litestar's own hook.
        exception_handler: What makes problems of exceptions.
        openapi: How the document and its page are made.
    """

    handlers: list[ControllerRouterHandler]
    adapter: Adapter
    known: Known
    may_bring_types: bool
    lifespan: Callable[[Litestar], AbstractAsyncContextManager[None]]
    init_app: Callable[[AppConfig], AppConfig]
    exception_handler: Callable[[Request[Any, Any, Any], Exception], Response[bytes]]
    openapi: OpenAPIConfig


def create_app(
    settings: Settings | None = None,
    *,
    lifecycle: Lifecycle | None = None,
    log: Logger | None = None,
    server: str | None = None,
    shared_weights: Path | None = None,
    origins: Mapping[str, str] | None = None,
    rpc: RpcPlace | None = None,
) -> Litestar:
    """Make the application of one model store. Nothing is shared between two of them.

    Args:
        settings: The settings; if they are not given, those of ``foretell.toml`` and the environment.
        origins: Where each setting comes from, by its key, as `load_settings` tells it; for messages.
        lifecycle: With it whoever runs the application tells it that its end has begun, and hears whether it is
            ready.
        log: Where events go; standard error if None.
        server: What tells the server from others; if None, that comes from its settings and its folder.
        shared_weights: A folder in which the workers of a server share weights; None if there is but one.
        rpc: Where gRPC is to be served by whoever runs the application; None if it is not.

    Raises:
        SettingsError: A setting is misspelt or ill-typed.
        PluginError: An enabled plugin cannot be loaded.
    """
    if settings is None:
        effective = load_settings(environ=os.environ)
        settings, origins = effective.settings, effective.origins
    assembly = assemble(
        settings,
        lifecycle=lifecycle,
        log=log,
        server=server,
        origins=origins,
        shared_weights=shared_weights,
        rpc=rpc,
    )
    try:
        kind = Application if assembly.may_bring_types else LeanApplication
        return kind(
            assembly.adapter,
            assembly.known,
            route_handlers=assembly.handlers,
            on_app_init=[assembly.init_app],
            lifespan=[assembly.lifespan],
            exception_handlers={Exception: assembly.exception_handler},
            openapi_config=assembly.openapi,
            logging_config=None,
            debug=False,
        )
    except ImproperlyConfiguredException as error:
        if settings.platform == PlatformSettings():
            raise
        raise SettingsError(
            f"platform.predict_route or platform.health_route is a route of the server's own: {error.detail}"
        ) from error


def wire(
    settings: Settings,
    *,
    origins: Mapping[str, str] | None = None,
    plugins: PluginSet | None = None,
    drop_in: bool = True,
    prefix: str = "",
    log: Logger | None = None,
    server: str | None = None,
    shared_weights: Path | None = None,
    rpc: bool = False,
) -> Parts:
    """Wire what answers predictions. Nothing is opened and no model loaded.

    Args:
        settings: The settings.
        origins: Where each setting comes from, by its key, as far as that is known; for messages.
        plugins: The plugins; those that the settings enable if None.
        drop_in: Whether plugins are looked for in the folder of the settings.
        prefix: Where in another application the routes will be, for messages.
        log: See `create_app`.
        server: See `create_app`.
        shared_weights: See `create_app`.
        rpc: Whether predictions are answered over gRPC too.

    Raises:
        PluginError: An enabled plugin cannot be loaded, or fails to start.
    """
    log = log or open_log(settings.log)
    faults = Faults(log)
    if plugins is None:
        found = discover(Path(settings.plugins.folder) if drop_in else None)
        plugins = PluginSet(load_plugins(settings, found, origins), faults)
    request_ids = RequestIds()
    server = server or fingerprint(settings)

    def serve(version: Version, config: ModelConfig) -> Endpoint:
        chain = plugins.compose(version.info, version.respond, config.plugins)
        return Endpoint(version, chain, Deadlines.of(settings.limits, config.limits), rpc=rpc)

    def stand_in(absent: StandIn, config: ModelConfig) -> Endpoint | None:
        chain = plugins.compose(absent.info, absent.respond, config.plugins)
        return (
            Endpoint(absent, chain, Deadlines.of(settings.limits, config.limits), rpc=rpc)
            if chain.falls_back
            else None
        )

    registry = Registry(
        Path(settings.store.path),
        Loader.of(settings, shared_weights),
        serve=serve,
        stand_in=stand_in,
        review=plugins.review,
        use_of=lambda endpoint: endpoint.use,
        lazy=settings.engine.lazy or settings.engine.max_loaded_models is not None,
        max_loaded_models=settings.engine.max_loaded_models,
        may_be_empty=settings.platform.sagemaker_multi_model,
        journal=Journal(log),
    )
    observers = Observers(faults)
    lookup = Lookup(registry, settings.store.default_model)
    core = Core(
        lookup,
        request_ids=request_ids,
        observers=observers,
        faults=faults,
        deadlines=Deadlines.of(settings.limits, ModelLimits()),
        prefix=prefix,
        max_body_bytes=settings.limits.max_body_bytes,
        compress_min_bytes=settings.server.compress_min_bytes,
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
            fingerprint=server,
            log=log,
            admin_guard=guard,
        )

    plugins.start(host_of)
    return Parts(lookup, plugins, core, observers, request_ids, log)


def assemble(
    settings: Settings,
    *,
    host_path: str | None = None,
    drop_in: bool = True,
    origins: Mapping[str, str] | None = None,
    lifecycle: Lifecycle | None = None,
    log: Logger | None = None,
    server: str | None = None,
    shared_weights: Path | None = None,
    rpc: RpcPlace | None = None,
) -> Assembly:
    """Wire the parts of a server.

    Args:
        settings: The settings.
        host_path: Where in another application the routes will be, for instance ``/ml``, for documents and messages;
            None if there is no other.
        drop_in: Whether plugins are looked for in the folder of the settings.
        origins: Where each setting comes from, by its key, as far as that is known; for messages.
        lifecycle: See `create_app`.
        log: See `create_app`.
        server: See `create_app`.
        shared_weights: See `create_app`.
        rpc: See `create_app`.

    Raises:
        PluginError: An enabled plugin cannot be loaded.
    """
    prefix = host_path or ""
    life = lifecycle or Lifecycle()
    parts = wire(
        settings,
        origins=origins,
        drop_in=drop_in,
        prefix=prefix,
        log=log,
        server=server,
        shared_weights=shared_weights,
        rpc=rpc is not None,
    )
    lookup, plugins, core, observers = parts.lookup, parts.plugins, parts.core, parts.observers
    registry = lookup.registry
    request_ids, events = parts.request_ids, parts.log
    if rpc is not None:
        from foretell.rpc.server import RpcServer  # nobody else imports gRPC

        life.beside = RpcServer(core, lookup, life, rpc, max_body_bytes=settings.limits.max_body_bytes)
    elif settings.grpc.port is not None:
        events.warning("gRPC is not served", reason="only `foretell serve` listens on grpc.port")
    request_log = RequestLog(events, fraction=settings.log.predictions)

    async def follow(loading: asyncio.Task[None]) -> None:
        """Follow the store once it is loaded."""
        if settings.store.follow != "off":
            await asyncio.wait({loading})
            store, mode = Path(settings.store.path), settings.store.follow
            await Follower(registry, store, mode=mode, poll_s=settings.store.poll_s, log=events).run()

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncGenerator[None]:
        life.attach(app, registry)
        if settings.platform.sagemaker_multi_model:
            prepare_store(Path(settings.store.path))
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(plugins.lifespan(app))
            # The log comes last: a plugin may still say which trace a request belongs to.
            observers.take([*plugins.observers(), Observer("log", request_log.observe, _LOG_BUDGET_US)])
            stack.callback(observers.flush)
            plan = make_plan(settings)
            events.info(
                "plan",
                cpus=plan.cpus,
                workers=plan.workers,
                run_threads=plan.run_threads,
                intra_op_threads=plan.intra_op_threads,
            )
            for name, reason in plugins.missing.items():
                events.warning("plugin missing", plugin=name, reason=reason)
            listening = asyncio.Event()
            loading = asyncio.create_task(
                load_first(registry, plugins, listening, events, settings, hosted=host_path is not None)
            )
            stack.callback(registry.close)
            stack.push_async_callback(asyncio.wait, {loading})
            stack.callback(loading.cancel)
            await asyncio.wait({loading}, timeout=settings.engine.startup_wait_s)
            if loading.done():
                loading.result()
                if plugins.broken is not None:
                    raise plugins.broken
            listening.set()
            following = asyncio.create_task(follow(loading))
            stack.push_async_callback(asyncio.wait, {following})
            stack.callback(following.cancel)
            yield

    known = Known()
    adapter = Adapter(core, life, known, settings.limits.max_body_bytes)
    middleware: list[Middleware] = [identity_middleware(request_ids, events)]
    return Assembly(
        handlers=[
            *prediction_routes(adapter, routings(settings, lookup, plugins, life, known), prefix=prefix),
            ordinary_routes(
                registry,
                plugins.missing,
                life,
                plugin_status=plugins.status,
                middleware=middleware,
                health_route=settings.platform.health_route,
                prefix=prefix,
            ),
        ],
        adapter=adapter,
        known=known,
        may_bring_types=plugins.may_bring_types,
        lifespan=lifespan,
        init_app=plugins.init_app,
        exception_handler=problem_handler(request_ids, events, prefix=prefix),
        openapi=openapi_config(registry, lookup.default, middleware=middleware, prefix=prefix),
    )
