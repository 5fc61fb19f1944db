"""A middleware for the ordinary routes: their request id, and one log line each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from foretell.excerpts import shortened

if TYPE_CHECKING:
    from collections.abc import Callable

    from litestar.types import ASGIApp, Message, Receive, Scope, Send

    from foretell.http.request_ids import RequestIds
    from foretell.logs import Logger

__all__ = ["identity_middleware", "request_id_of"]

_KEY = "foretell.request_id"


def identity_middleware(request_ids: RequestIds, log: Logger) -> Callable[[ASGIApp], ASGIApp]:
    """A middleware that puts each request's identity into its answer's ``X-Request-ID`` and into a log line.

    It is a function and no object, because Litestar copies the objects that it is given, and a copy would give the
    same identities a second time.

    Args:
        request_ids: Gives requests their identity.
        log: Where the line goes.
    """

    def wrap(app: ASGIApp) -> ASGIApp:
        async def handle(scope: Scope, receive: Receive, send: Send) -> None:
            request_id = request_id_of(scope, request_ids)
            started = time.perf_counter_ns()
            status = 0

            async def send_with_id(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                    headers = [pair for pair in message["headers"] if pair[0] != b"x-request-id"]
                    message["headers"] = [*headers, (b"x-request-id", request_id.encode())]
                await send(message)

            await app(scope, receive, send_with_id)
            latency_ms = round((time.perf_counter_ns() - started) / 1e6, 3)
            if status < 400:  # what went wrong has left its line
                log.info(
                    "request",
                    request_id=request_id,
                    path=shortened(scope["path"], 200),
                    status=status,
                    latency_ms=latency_ms,
                )

        return handle

    return wrap


def request_id_of(scope: Scope, request_ids: RequestIds) -> str:
    """The identity of a request: given once, and the same whoever asks."""
    state = cast("dict[str, Any]", scope).setdefault("state", {})
    if _KEY not in state:
        header = next((value for name, value in scope["headers"] if name == b"x-request-id"), None)
        state[_KEY] = request_ids.of(header)
    found: str = state[_KEY]
    return found
