"""What was asked before in the ordinary way, so that it need not be found out again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from foretell.http.routes import PREDICT

if TYPE_CHECKING:
    from foretell.http.routes import Route
    from foretell.prediction import Headers

__all__ = ["Known"]

_MOST: Final = 1000
_LONGEST: Final = 512

_AS_IT_IS: Final = re.compile(r"/[A-Za-z0-9_][A-Za-z0-9._~:@/-]*")
"""Paths that the target of a request spells in the same way. Source: RFC 3986, section 3.3."""


class Known:
    """The paths of predictions, and the hosts, that were asked before: as many as callers can make, but bounded.

    Routes are added by who alone decides what a path leads to. A host is added when a request that named it has come
    through the application's own checks.

    Attributes:
        route: The route of a path; None if it was not asked before.
        url: The same for the target of a request, as it stands in its first line.
    """

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}
        self._urls: dict[bytes, Route] = {}
        self._hosts: set[bytes] = set()
        self.route = self._routes.get
        self.url = self._urls.get

    def add(self, route: Route) -> Route:
        """Remember a route if it is a prediction's, and depends on nothing but its path; returns it."""
        if route.verb == PREDICT and len(route.path) <= _LONGEST:
            if len(self._routes) >= _MOST:
                self._routes.clear()
                self._urls.clear()
            self._routes[route.path] = route
            if _AS_IT_IS.fullmatch(route.path):
                self._urls[route.path.encode()] = route
        return route

    def add_host(self, headers: Headers) -> None:
        """Remember the host that a request named."""
        host = _host(headers)
        if host is not None and len(host) <= _LONGEST:
            if len(self._hosts) >= _MOST:
                self._hosts.clear()
            self._hosts.add(host)

    def knows_host(self, headers: Headers) -> bool:
        """Whether the host that a request names was asked before; it also is where it names none."""
        host = _host(headers)
        return host is None or host in self._hosts


def _host(headers: Headers) -> bytes | None:
    for name, value in headers:
        if name == b"host":
            return value
    return None
