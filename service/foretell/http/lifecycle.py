"""What an application and whoever runs it tell each other: whether it can answer, and that its end has begun."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from litestar.enums import ScopeType

if TYPE_CHECKING:
    from litestar import Litestar
    from litestar.types import HTTPScope, Message, Scope

    from foretell.engine.registry import Registry
    from foretell.http.beside import Beside

__all__ = ["Lifecycle", "closes_connection"]

_CLOSE: Final = (b"connection", b"close")
_WITH_CONNECTION_HEADER: Final = {"1.0", "1.1"}


class Lifecycle:
    """The way of an application from loading to its end, whichever server runs it.

    Whoever runs it makes one, hands it to the application, and calls `close` before it stops to listen.

    Attributes:
        closing: Whether every answer asks the client to close its connection.
        leaving: Whether readiness probes are answered 503 for it.
        beside: What whoever runs it has to open and close beside it; None if there is nothing.
    """

    def __init__(self) -> None:
        self.closing = False
        self.leaving = False
        self.beside: Beside | None = None
        self._apps: list[Litestar] = []
        self._registry: Registry[Any] | None = None

    @property
    def loading(self) -> bool:
        """Whether models are still being loaded for the first time."""
        return self._registry is None or self._registry.loading

    @property
    def ready(self) -> bool:
        """Whether every enabled model answers, and the end has not begun."""
        return self._registry is not None and self._registry.ready and not self.leaving

    def attach(self, app: Litestar, registry: Registry[Any]) -> None:
        """Say which application and which models it is about."""
        self._registry = registry
        self._apps.append(app)
        if self.closing:
            app.before_send.append(_close)

    def close(self, *, leaving: bool = True) -> None:
        """Begin the end: from now on every answer carries ``Connection: close``.

        Args:
            leaving: Whether readiness probes are told; not so if another process goes on in its place.
        """
        self.leaving = self.leaving or leaving
        if self.closing:
            return
        self.closing = True
        # A hook and no middleware: it reaches every route, whoever added it, and costs nothing until now.
        for app in self._apps:
            app.before_send.append(_close)


def closes_connection(scope: HTTPScope) -> list[tuple[bytes, bytes]]:
    """The header that asks a client to close its connection; none where the protocol has its own way.

    Source: RFC 9112, section 9.6; RFC 9113, section 8.2.2 forbids it in HTTP/2.
    """
    return [_CLOSE] if scope["http_version"] in _WITH_CONNECTION_HEADER else []


async def _close(message: Message, scope: Scope) -> None:
    if message["type"] != "http.response.start" or scope["type"] != ScopeType.HTTP:
        return
    headers = list(message.get("headers", ()))
    if not any(name.lower() == b"connection" for name, _ in headers):
        message["headers"] = [*headers, *closes_connection(scope)]
