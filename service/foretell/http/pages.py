"""The ordinary routes, as typed Litestar handlers: index and health."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import HttpMethod, MediaType, Response, Router, get, route
from litestar.openapi.datastructures import ResponseSpec

from foretell.http.relocation import relocated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar.types import Middleware

    from foretell.engine.registry import Registry
    from foretell.http.catalog import PluginStatus
    from foretell.http.lifecycle import Lifecycle
    from foretell.protocols.endpoint import Endpoint

__all__ = ["Health", "Index", "Liveness", "ModelHealth", "Readiness", "ordinary_routes"]


_READY: Final = (
    "Whether every enabled model is loaded and warmed up; 503 until then, and when the server is to end"
)


class Index(msgspec.Struct, frozen=True):
    """What is here.

    Attributes:
        name: The server's name.
        version: Its version.
        models: The models that are served.
        links: Where to go on, by what is there.
        status: That it answers, as clients of KServe V1 look for it here.
    """

    name: str
    version: str
    models: list[str]
    links: dict[str, str]
    status: str = "alive"


class ModelHealth(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state of one model.

    Attributes:
        ready: Whether callers who name no version get an answer.
        default_version: The version that answers them.
        reason: What is wrong with the model as a whole.
        failed_versions: Why each version that does not serve does not, or why newer files in its place are not served.
        plugins: What plugins tell of its versions: by version, then by the plugin's name.
    """

    ready: bool
    default_version: str | None
    reason: str | None
    failed_versions: dict[str, str]
    plugins: dict[str, dict[str, Any]] = {}


class Health(msgspec.Struct, frozen=True):
    """The state of the server.

    Attributes:
        status: ``ok`` when ready and nothing failed, ``degraded`` when ready, ``loading`` or ``unavailable`` before,
            ``stopping`` at the end.
        ready: Whether every enabled model answers, and the server is to go on.
        reason: What keeps it from being ready, or why the store cannot be read though it is.
        models: The state of each model.
        missing_plugins: Why each optional plugin that was not loaded was not.
    """

    status: str
    ready: bool
    reason: str | None
    models: dict[str, ModelHealth]
    missing_plugins: dict[str, str]


class Readiness(msgspec.Struct, frozen=True):
    """Whether every enabled model is loaded and warmed up, and the server is to go on.

    Attributes:
        ready: Whether so.
        reason: What is missing.
    """

    ready: bool
    reason: str | None = None


class Liveness(msgspec.Struct, frozen=True):
    """That the process answers.

    Attributes:
        live: Always true.
    """

    live: bool = True


_NOT_READY: Final = ResponseSpec(
    Readiness, generate_examples=False, description="It is not; `reason` says why"
)


def ordinary_routes(
    registry: Registry[Endpoint],
    missing_plugins: Mapping[str, str],
    lifecycle: Lifecycle,
    *,
    plugin_status: PluginStatus,
    middleware: list[Middleware],
    health_route: str | None = None,
    prefix: str = "",
) -> Router:
    """The router of the index and the health routes.

    Args:
        registry: The models.
        missing_plugins: Why each optional plugin that was not loaded was not.
        lifecycle: Says when the server is about to end.
        plugin_status: What plugins tell of a version.
        middleware: What goes around these routes, and not around predictions.
        health_route: A further path that says whether the server is ready.
        prefix: Where in another application the routes are, for links.
    """

    @get("/", operation_id="index", summary="What is here", media_type=MediaType.JSON)
    async def index() -> Index:
        links = {
            "models": f"{prefix}/v1/models",
            "health": f"{prefix}/health",
            "documentation": "/schema",
            "openapi": "/schema/openapi.json",
        }
        return Index("foretell", version("foretell"), sorted(registry.models), links)

    @get("/health", operation_id="health", summary="The state of the server and of every model")
    async def health() -> Health:
        models = {
            name: ModelHealth(
                model.ready,
                None if model.default is None else str(model.default.info.version),
                model.error,
                {str(number): reason for number, reason in (model.failures | model.outdated).items()},
                {str(number): told for number in model.numbers if (told := plugin_status(name, number))},
            )
            for name, model in sorted(registry.models.items())
        }
        failed = bool(missing_plugins or registry.error) or any(
            model.failed_versions or model.reason for model in models.values()
        )
        status = (
            "stopping"
            if lifecycle.leaving
            else "loading"
            if registry.loading
            else "unavailable"
            if not registry.ready
            else "degraded"
            if failed
            else "ok"
        )
        ready = registry.ready and not lifecycle.leaving
        reason = registry.error if ready else relocated(_unready(registry, lifecycle), prefix)
        return Health(status, ready, reason, models, dict(missing_plugins))

    @get("/health/live", operation_id="live", summary="Whether the process answers")
    async def live() -> Liveness:
        return Liveness()

    async def ready() -> Response[Readiness]:
        if registry.ready and not lifecycle.leaving:
            return Response(Readiness(ready=True))
        reason = relocated(_unready(registry, lifecycle), prefix)
        return Response(Readiness(ready=False, reason=reason), status_code=503)

    @get("/version", operation_id="version", summary="The version of the server", media_type=MediaType.TEXT)
    async def server_version() -> str:
        return version("foretell")

    probes = {"/health/ready": "ready", "/ping": "ping"}
    if health_route is not None:
        probes.setdefault(health_route, "platform_ready")
    own = {"/": index, "/health": health, "/health/live": live, "/version": server_version}
    handlers: list[Any] = [handler for path, handler in own.items() if path != health_route]
    handlers += [
        get(path, operation_id=name, summary=_READY, raises=[], responses={503: _NOT_READY})(ready)
        for path, name in probes.items()
    ]
    # Litestar answers HEAD only where it is told to; probes and load balancers ask so.
    answers: dict[str, Any] = {"/": index.fn, "/health": health.fn, "/health/live": live.fn} | dict.fromkeys(
        probes, ready
    )
    as_head = route(
        "/version", http_method=HttpMethod.HEAD, include_in_schema=False, media_type=MediaType.TEXT
    )
    handlers.append(as_head(server_version.fn))
    for path, answer in answers.items():
        as_head = route(path, http_method=HttpMethod.HEAD, include_in_schema=False, media_type=MediaType.JSON)
        handlers.append(as_head(answer))
    return Router("/", route_handlers=handlers, middleware=middleware, tags=["server"])


def _unready(registry: Registry[Endpoint], lifecycle: Lifecycle) -> str:
    if lifecycle.leaving:
        return "the server is stopping"
    if registry.loading:
        return "the models are still being loaded"
    if registry.error is not None:
        return registry.error
    if not registry.models:
        return "the store holds no enabled model"
    waiting = sorted(name for name, model in registry.models.items() if not model.ready)
    return f"not ready: {', '.join(waiting)}; GET /health says why"
