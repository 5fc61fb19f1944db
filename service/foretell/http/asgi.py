"""The routes of the prediction protocols as ASGI handlers of Litestar: read, hand to the core, send.

They are `@asgi` handlers, which cost half of what typed handlers do, and own every method of their paths.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, cast

from litestar import asgi
from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from foretell.errors import NotFoundError, NotReadyError, RequestError, TooLargeError
from foretell.excerpts import shortened
from foretell.http.lifecycle import closes_connection
from foretell.http.pages import Liveness, Readiness
from foretell.http.problems import MethodNotAllowedError
from foretell.http.routes import MODELS, Route, route_of_models
from foretell.http.v2 import V2_ROOT, route_of_v2, server_metadata
from foretell.plugin.steps import DONE, go_on, steps_into
from foretell.protocols.endpoint import NATIVE, SIMPLE, SIMPLE_BATCH, V2

if TYPE_CHECKING:
    from litestar.handlers import ASGIRouteHandler
    from litestar.types import HTTPScope

    from foretell.http.core import Answer, Core
    from foretell.http.lifecycle import Lifecycle
    from foretell.prediction import Headers

__all__ = ["prediction_routes"]

_HTTP: Final = ScopeType.HTTP


class _ClientGoneError(Exception):
    """The client closed the connection before its request was whole."""


def prediction_routes(
    core: Core, lifecycle: Lifecycle, *, max_body_bytes: int, prefix: str = ""
) -> list[ASGIRouteHandler]:
    """The handlers of the prediction protocols.

    Args:
        core: What answers.
        lifecycle: Says when answers close their connections.
        max_body_bytes: The greatest length of a body, bytes.
        prefix: Where in another application the routes are, for messages.
    """
    adapter = _Adapter(core, lifecycle, max_body_bytes, prefix)

    @asgi("/predict", copy_scope=False, name="predict")
    async def predict(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == _HTTP:
            await adapter.predict(Route(scope["path"], SIMPLE, template="/predict"), scope, receive, send)
        else:
            await _close(send)

    @asgi("/predict/batch", copy_scope=False, name="predict_batch")
    async def predict_batch(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == _HTTP:
            await adapter.predict(
                Route(scope["path"], SIMPLE_BATCH, template="/predict/batch"), scope, receive, send
            )
        else:
            await _close(send)

    # A mount: Litestar 2.25 cannot route a request to an `@asgi` handler whose path has parameters.
    @asgi(MODELS, is_mount=True, copy_scope=False, name="models")
    async def models(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == _HTTP:
            await adapter.models(scope, receive, send)
        else:
            await _close(send)

    @asgi(V2_ROOT, is_mount=True, copy_scope=False, name="v2")
    async def v2(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == _HTTP:
            await adapter.v2(scope, receive, send)
        else:
            await _close(send)

    return [predict, predict_batch, models, v2]


class _Adapter:
    """Between ASGI and the core."""

    def __init__(self, core: Core, lifecycle: Lifecycle, max_body_bytes: int, prefix: str) -> None:
        self._core = core
        self._lifecycle = lifecycle
        self._prefix = prefix
        self._max_body_bytes = max_body_bytes
        self._server_state: dict[str, Callable[[], object]] = {
            "server": server_metadata,
            "live": Liveness,
            "ready": self._check_readiness,
        }

    async def models(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """A path of the models: a prediction if it ends in a verb, a description if not."""
        rest = scope["path"]
        route = (
            Route(self._prefix + MODELS, NATIVE, verb=None, template=MODELS)
            if rest == "/"
            else route_of_models(rest, self._prefix)
        )
        if route is None:
            await self._refuse_path(Route(self._prefix + MODELS + rest.rstrip("/"), NATIVE), scope, send)
        elif route.verb == "predict":
            await self.predict(route, scope, receive, send)
        elif route.verb is not None:
            error = NotFoundError(f"there is no verb {shortened(route.verb)!r}; POST to …:predict")
            await self._send(self._core.refuse(route, _headers(scope), scope["method"], error), scope, send)
        elif scope["method"] in {"GET", "HEAD"}:
            await self._send(self._core.describe(route, _headers(scope), scope["method"]), scope, send)
        else:
            await self._refuse_method(route, "GET, HEAD", scope, send)

    async def v2(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """A path of the Open Inference Protocol."""
        rest = scope["path"]
        route = route_of_v2("" if rest == "/" else rest, self._prefix)
        if route is None:
            await self._refuse_path(Route(self._prefix + V2_ROOT + rest.rstrip("/"), V2), scope, send)
        elif route.verb == "model_infer":
            await self.predict(route, scope, receive, send)
        elif scope["method"] not in {"GET", "HEAD"}:
            await self._refuse_method(route, "GET, HEAD", scope, send)
        else:
            headers, method = _headers(scope), scope["method"]
            if route.verb == "metadata":
                answer = self._core.describe_v2(route, headers, method)
            elif route.verb == "model_ready":
                answer = self._core.ready_v2(route, headers, method)
            else:
                answer = self._core.tell(route, headers, method, self._server_state[route.verb or ""])
            await self._send(answer, scope, send)

    def _check_readiness(self) -> Readiness:
        if not self._lifecycle.ready:
            raise NotReadyError("the server is not ready; GET /health says why")
        return Readiness(ready=True)

    async def predict(self, route: Route, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """A prediction."""
        if scope["method"] != "POST":
            await self._refuse_method(route, "POST", scope, send)
            return
        headers = _headers(scope)
        try:
            body = await self._body(headers, receive)
        except RequestError as error:
            answer = self._core.refuse(route, headers, "POST", error)
        except _ClientGoneError:
            return
        else:
            wanted = await _while_wanted(self._core.predict(route, headers, body), receive)
            if wanted is None:
                return
            answer = wanted
        await self._send(answer, scope, send)

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        limit = self._max_body_bytes
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

    async def _refuse_path(self, route: Route, scope: HTTPScope, send: Send) -> None:
        error = NotFoundError(f"there is nothing at {shortened(route.path)}; GET / tells what there is")
        await self._send(self._core.refuse(route, _headers(scope), scope["method"], error), scope, send)

    async def _refuse_method(self, route: Route, allowed: str, scope: HTTPScope, send: Send) -> None:
        error = MethodNotAllowedError(scope["method"], allowed)
        await self._send(self._core.refuse(route, _headers(scope), scope["method"], error), scope, send)

    async def _send(self, answer: Answer, scope: HTTPScope, send: Send) -> None:
        headers = [*answer.headers, (b"content-length", str(len(answer.body)).encode())]
        if self._lifecycle.closing:
            headers += closes_connection(scope)
        body = b"" if scope["method"] == "HEAD" else answer.body
        try:
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            await send({"type": "http.response.body", "body": body, "more_body": False})
        finally:  # some servers raise where the client is gone: it was answered all the same
            self._core.observe(answer.record)


async def _while_wanted(predicting: Coroutine[Any, Any, Answer], receive: Receive) -> Answer | None:
    """Wait for an answer as long as the client does; None if it went away, and its place was given up.

    Most answers are there at once, and nobody is asked whether the client still waits.
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

    hearing = asyncio.ensure_future(receive())
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
