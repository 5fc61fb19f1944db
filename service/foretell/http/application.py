"""The application: Litestar, and past its router what needs none of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, cast

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.handlers import ASGIRouteHandler
from litestar.plugins.core import MsgspecDIPlugin
from litestar.routes import ASGIRoute

if TYPE_CHECKING:
    from litestar.plugins import PluginProtocol
    from litestar.types import HTTPScope, LifeSpanReceive, LifeSpanScope, LifeSpanSend, Receive, Scope, Send

    from foretell.http.asgi import Adapter
    from foretell.http.known import Known
    from foretell.http.routes import Route
    from foretell.prediction import Headers

__all__ = ["Application", "LeanApplication"]

_WATCHERS: Final = ("middleware", "guards", "csrf_config", "allowed_hosts", "compression_config")
"""What of an application is to see every request."""

_HTTP: Final = ScopeType.HTTP


class Application(Litestar):
    """Litestar, with a short way for predictions on paths that were asked before.

    Its router, and what it wraps around every request, take twice the time of a small model's run. Nobody misses them
    where no middleware, guard or hook of the application is to see requests; the first request of each path, and the
    first that names a host, take the ordinary way, with all of Litestar's checks.

    Args:
        adapter: What answers predictions.
        known: What was asked before.
        arguments: Litestar's own.

    Attributes:
        adapter: What answers predictions.
        known: What was asked before.
    """

    def __init__(self, adapter: Adapter, known: Known, **arguments: Any) -> None:
        super().__init__(**arguments)  # pyright: ignore[reportUnknownMemberType] # Litestar's hooks are generic in what it leaves open
        self.adapter = adapter
        self.known = known
        self._has_watchers = any(getattr(self, name) for name in _WATCHERS) or not self._leads_to(
            {handler.name for handler in arguments["route_handlers"] if isinstance(handler, ASGIRouteHandler)}
        )

    def _leads_to(self, names: set[str | None]) -> bool:
        """Whether every path of predictions is where it is without this application, with nothing before it.

        A plugin may have put the handlers into a router, or given them guards of their own.
        """
        handlers = {
            route.path: route.route_handler
            for route in self.routes
            if isinstance(route, ASGIRoute) and route.route_handler.name in names
        }
        return handlers.keys() == names and not any(
            _is_guarded(handler) or handler.resolve_middleware() or handler.name != path
            for path, handler in handlers.items()
        )

    @property
    def is_watched(self) -> bool:
        """Whether something of the application is to see every request, or every answer."""
        # What handles CORS or traces, or whatever a plugin has put there, stands between the two.
        has_wrapping = getattr(self.asgi_handler, "app", None) is not self.asgi_router
        return has_wrapping or self._has_watchers or bool(self.before_send)

    def shortcut(self, scope: HTTPScope) -> Route | None:
        """What a request asks for, where that is a prediction that needs nothing of Litestar."""
        route = self.known.route(scope["path"])
        if route is None or scope["method"] not in route.methods or self.is_watched:
            return None
        return route if self.known.knows_host(cast("Headers", scope["headers"])) else None

    async def __call__(
        self,
        scope: Scope | LifeSpanScope,
        receive: Receive | LifeSpanReceive,
        send: Send | LifeSpanSend,
    ) -> None:
        """See Litestar."""
        if scope["type"] == _HTTP:
            asked: Any = scope
            route = self.shortcut(asked)
            if route is not None:
                await self.adapter.predict(route, asked, cast("Receive", receive), cast("Send", send))
                return
        await super().__call__(scope, receive, send)


def _is_guarded(handler: Any) -> bool:
    return bool(handler.resolve_guards())


class LeanApplication(Application):
    """The same for an application of which no route has types of pydantic or attrs, unless they are imported already.

    Litestar's own plugins for them import them wherever they are installed, which takes longer than all routes.
    """

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        if {"pydantic", "attr"} & sys.modules.keys():
            return Litestar._get_default_plugins(plugins)  # noqa: SLF001 - it is what this one stands in for
        return [*plugins, MsgspecDIPlugin()]
