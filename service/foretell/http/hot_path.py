"""The way of predictions that need neither ASGI nor a task: which requests may take it, and where it leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from foretell.http.cohort import Cohort
from foretell.http.core import LARGE_BYTES
from foretell.http.heads import Heads
from foretell.http.wire import Wire

if TYPE_CHECKING:
    from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

    from foretell.http.answer import Answer
    from foretell.http.application import Application
    from foretell.http.lifecycle import Lifecycle
    from foretell.http.routes import Route
    from foretell.prediction import Headers

__all__ = ["HotPath"]


class HotPath:
    """What the connections of a server share for predictions that need not wait.

    Args:
        app: The application.
        lifecycle: Says when answers close their connections.

    Attributes:
        core: What answers.
        wire: Writes answers.
        heads: The heads that came before.
        cohort: What answers predictions.
    """

    def __init__(self, app: Application, lifecycle: Lifecycle) -> None:
        self._app = app
        self._lifecycle = lifecycle
        self._known = app.known
        self._adapter = app.adapter
        self._most_bytes = min(app.adapter.max_body_bytes, LARGE_BYTES)
        self.core = app.adapter.core
        self.wire = Wire()
        self.heads = Heads()
        self.cohort = Cohort(self.core)

    def is_open(self) -> bool:
        """Whether it may be taken at all: nobody in the application is to see requests, and the end has not begun."""
        return not self._lifecycle.closing and not self._app.is_watched

    def route(self, url: bytes, headers: Headers) -> Route | None:
        """What a request asks for, by its target and its headers; None if uvicorn is to handle it.

        It handles what is no prediction, and what is not framed in the plainest way or is large.
        """
        route = self._known.url(url)
        if route is None or not self.is_open():
            return None
        length = -1
        for name, value in headers:
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                return None
        return route if 0 <= length <= self._most_bytes and self._known.knows_host(headers) else None

    def sending(self, answer: Answer) -> ASGIApp:
        """An application that sends an answer; the request has been received."""

        async def send_answer(scope: Scope, receive: Receive, send: Send) -> None:
            del receive
            await self._adapter.send(answer, cast("HTTPScope", scope), send)

        return send_answer
