"""The routes of the prediction protocols as ASGI handlers of Litestar: read, hand to the core, send.

They are `@asgi` handlers, which cost half of what typed handlers do, and own every method of their paths.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, Final, cast

from litestar import asgi
from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from foretell.errors import NotFoundError, RequestError, TooLargeError
from foretell.http.answer import Answer
from foretell.http.head import Head
from foretell.http.lifecycle import closes_connection
from foretell.http.pace import Pace
from foretell.http.problems import MethodNotAllowedError
from foretell.http.routes import PREDICT, READ, Question, Route
from foretell.plugin.steps import DONE, go_on, steps_into

if TYPE_CHECKING:
    from litestar.handlers import ASGIRouteHandler
    from litestar.types import HTTPScope

    from foretell.http.core import Core
    from foretell.http.known import Known
    from foretell.http.lifecycle import Lifecycle
    from foretell.http.routes import Routing
    from foretell.prediction import Headers

__all__ = ["Adapter", "prediction_routes"]

_HTTP: Final = ScopeType.HTTP


class _ClientGoneError(Exception):
    """The client closed the connection before its request was whole."""


def prediction_routes(
    adapter: Adapter, routings: Mapping[str, Routing], *, prefix: str = ""
) -> list[ASGIRouteHandler]:
    """The handlers of the prediction protocols.

    Args:
        adapter: What answers.
        routings: The protocols, by the path where each begins.
        prefix: Where in another application the routes are, for messages.
    """
    return [_handler(adapter, path, prefix, routing) for path, routing in routings.items()]


def _handler(adapter: Adapter, begins: str, prefix: str, routing: Routing) -> ASGIRouteHandler:
    mount = routing.has_paths_below

    # A mount: Litestar 2.25 cannot route a request to an `@asgi` handler whose path has parameters.
    @asgi(begins, is_mount=mount, copy_scope=False, name=begins)
    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != _HTTP:
            await _close(send)
        elif mount:
            rest = scope["path"].rstrip("/")
            await adapter.handle(routing, prefix + begins + rest, rest, scope, receive, send)
        else:
            await adapter.handle(routing, scope["path"], "", scope, receive, send)

    return handle


class Adapter:
    """Between ASGI and the core.

    Args:
        core: What answers.
        lifecycle: Says when answers close their connections.
        known: Is told of the hosts that were asked.
        max_body_bytes: The greatest length of a body.

    Attributes:
        core: What answers.
        max_body_bytes: The greatest length of a body.
    """

    def __init__(self, core: Core, lifecycle: Lifecycle, known: Known, max_body_bytes: int) -> None:
        self.core = core
        self._pace = Pace(core)
        self._lifecycle = lifecycle
        self._known = known
        self.max_body_bytes = max_body_bytes

    async def handle(
        self, routing: Routing, path: str, rest: str, scope: HTTPScope, receive: Receive, send: Send
    ) -> None:
        """A request: a prediction, or a question of another kind."""
        headers, method = _headers(scope), scope["method"]
        try:
            route = routing.route(path, rest, headers)
        except NotFoundError as error:
            await self._refuse(Route(path, routing.protocol), scope, send, error)
            return
        if method not in route.methods:
            refusal = MethodNotAllowedError(method, ", ".join(route.methods))
            await self._refuse(route, scope, send, refusal)
        elif route.verb == PREDICT:
            self._known.add_host(headers)
            await self.predict(route, scope, receive, send)
        else:
            await self._answer(routing, route, headers, scope, receive, send)

    async def _answer(
        self, routing: Routing, route: Route, headers: Headers, scope: HTTPScope, receive: Receive, send: Send
    ) -> None:
        method = scope["method"]
        try:
            body = b"" if method in READ else await self._body(headers, receive)
        except RequestError as error:
            await self._refuse(route, scope, send, error)
        except _ClientGoneError:
            return
        else:
            question = Question(route, headers, method, body)
            answer = await self.core.tell(route, headers, method, lambda: routing.answer(question))
            await self.send(answer, scope, send)

    async def predict(self, route: Route, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """A prediction, whose route is known and has its method."""
        headers, context = _headers(scope), copy_context()
        try:
            body = await self._body(headers, receive)
        except RequestError as error:
            answer: Answer | Awaitable[Answer] = self.core.refuse(route, headers, "POST", error)
        except _ClientGoneError:
            return
        else:
            answer = await self._pace.predict(route, Head.of(headers), body)
        if type(answer) is Answer:  # most are there at once
            await self.send(answer, scope, send)
        else:
            # What plugins have set is not in the context where the caller is asked whether it is there.
            wanted = await _while_wanted(cast("Awaitable[Answer]", answer), receive, context)
            if wanted is not None:
                await self.send(wanted, scope, send)

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        limit = self.max_body_bytes
        for name, value in headers:
            if name == b"content-length" and value.isdigit() and int(value) > limit:
                raise TooLargeError(
                    f"the body has {int(value)} bytes; the limit is {limit} (limits.max_body_bytes)"
                )
        chunks: list[bytes] = []
        length = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise _ClientGoneError
            chunk = message.get("body", b"")
            length += len(chunk)
            if length > limit:
                raise TooLargeError(
                    f"the body has more than {limit} bytes, which is the limit (limits.max_body_bytes)"
                )
            if not message.get("more_body", False):
                return b"".join((*chunks, chunk)) if chunks else chunk
            chunks.append(chunk)

    async def _refuse(self, route: Route, scope: HTTPScope, send: Send, error: Exception) -> None:
        await self.send(self.core.refuse(route, _headers(scope), scope["method"], error), scope, send)

    async def send(self, answer: Answer, scope: HTTPScope, send: Send) -> None:
        """Send an answer, and have its record observed."""
        headers = [*answer.headers, (b"content-length", str(len(answer.body)).encode())]
        if self._lifecycle.closing:
            headers += closes_connection(scope)
        body = b"" if scope["method"] == "HEAD" else answer.body
        try:
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            await send({"type": "http.response.body", "body": body, "more_body": False})
        finally:  # some servers raise where the client is gone: it was answered all the same
            self.core.observe(answer.record)


async def _while_wanted(predicting: Awaitable[Answer], receive: Receive, context: Context) -> Answer | None:
    """Wait for an answer as long as the client does; None if it went away, and its place was given up.

    Where the first step suffices, nobody is asked whether the client still waits.
    """
    answer: list[Answer] = []
    steps = steps_into(answer, predicting)
    waiting = next(steps, DONE)
    if waiting is DONE:
        return answer[0]
    task = asyncio.current_task()
    gone = False

    def leave(hearing: asyncio.Task[Any]) -> None:
        nonlocal gone
        if task is not None and not hearing.cancelled() and hearing.exception() is None and not answer:
            gone = True
            task.cancel()

    async def hear() -> object:
        return await receive()

    hearing = asyncio.get_running_loop().create_task(hear(), context=context)
    hearing.add_done_callback(leave)
    try:
        await go_on(steps, waiting)
    except asyncio.CancelledError:
        if not gone or task is None or task.uncancel() > 0:
            raise
        return None
    finally:
        hearing.cancel()
    return answer[0]


async def _close(send: Send) -> None:
    """Refuse a WebSocket: these paths have none."""
    await send({"type": "websocket.close", "code": 1000, "reason": "there is no WebSocket here"})


def _headers(scope: HTTPScope) -> Headers:
    """The headers of a request: ASGI asks for an iterable, and every server gives a list."""
    return cast("Headers", scope["headers"])
