"""uvicorn's HTTP protocol, with a short way for predictions that need not wait.

A request that has come whole in one read, on a path that was asked before, is answered from the parser's callback: no
ASGI cycle is made for it, and no task. Everything else, and whatever turns out to have to wait, goes uvicorn's way.
"""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from foretell.http.answer import Answer
from foretell.http.head import Head

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable
    from contextvars import Context

    from foretell.http.hot_path import HotPath
    from foretell.http.routes import Route

__all__ = ["AcceleratedProtocol"]


class _NobodyWaits:
    """In place of the event that a request's application waits for."""

    def set(self) -> None:
        """Nothing: it has ended."""


class _Answered:
    """In place of uvicorn's cycle, for a request that was answered without one."""

    response_complete = True
    disconnected = False
    more_body = False
    keep_alive = True
    message_event = _NobodyWaits()


_ANSWERED: Final[Any] = _Answered()
_HEAD_IN_PART: Final[Any] = {}
_HEAD_WHOLE: Final[Any] = {"method": "POST"}
"""In place of scopes, for those who look whether a head has come."""


class AcceleratedProtocol(HttpToolsProtocol):
    """One connection.

    Args:
        hot_path: How predictions are answered that need not wait.
        arguments: uvicorn's own.
    """

    def __init__(self, hot_path: HotPath, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._hot_path = hot_path
        self._route: Route | None = None  # of a request whose way is not decided yet
        self._chunks: list[bytes] = []
        self._is_whole = False
        self._idle_since: float | None = None
        self._idle_timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._idle_since = None
        super().data_received(data)
        if self._route is not None:
            if self._is_whole:
                self._predict(self._route)
            else:
                self._take_the_ordinary_way()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._route is not None:  # the one before it came in the same read: they are pipelined
            self._take_the_ordinary_way()
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self.scope = _HEAD_IN_PART

    def on_headers_complete(self) -> None:
        """Its head is there."""
        route = self._hot_path.route(self.url, self.headers)
        if route is None or not self._is_plain():
            self._begin()
            super().on_headers_complete()
        else:
            self._route = route
            self._chunks = []
            self._is_whole = False

    def on_body(self, body: bytes) -> None:
        """A part of its body is there."""
        if self._route is None:
            super().on_body(body)
        else:
            self._chunks.append(body)

    def on_message_complete(self) -> None:
        """It is there whole."""
        if self._route is None:
            super().on_message_complete()
        else:
            self._is_whole = True

    def send_400_response(self, msg: str) -> None:
        """What follows is no HTTP."""
        if self._route is not None:
            self._take_the_ordinary_way()
        super().send_400_response(msg)

    def _is_plain(self) -> bool:
        """Whether the request is a POST of HTTP/1.1 on a connection that is free, and stays open."""
        parser: Any = self.parser
        cycle: Any = self.cycle
        return (
            parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and not self.expect_100_continue
            and (cycle is None or cycle.response_complete)
            and not self.flow.write_paused
            and self.limit_concurrency is None
            and not self.transport.is_closing()
        )

    def _predict(self, route: Route) -> None:
        """Answer at once, or have the request go on as a task."""
        self._route = None
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        context = copy_context()  # as a task would have one
        answer = context.run(self._hot_path.core.predict, route, Head.of(self.headers), body)
        if type(answer) is not Answer:
            self._wait(cast("Awaitable[Answer]", answer), context)
            return
        self.cycle = _ANSWERED
        self.scope = _HEAD_WHOLE
        self.transport.write(self._hot_path.wire.write(answer, self.server_state.default_headers))
        self.server_state.total_requests += 1
        self._be_idle()
        self._hot_path.core.observe(answer.record)

    def _wait(self, answer: Awaitable[Answer], context: Context) -> None:
        """Have uvicorn run an application that waits for an answer and sends it."""
        self._begin()
        application: Any = self.app
        self.app = cast("Any", self._hot_path.finishing(answer))
        try:
            context.run(super().on_headers_complete)
        finally:
            self.app = application
        self.cycle.more_body = False  # and whoever receives now hears of nothing but the end

    def _begin(self) -> None:
        """Begin a request, whose head is there, as uvicorn does."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)

    def _take_the_ordinary_way(self) -> None:
        self._route = None
        self._begin()
        super().on_headers_complete()
        for chunk in self._chunks:
            super().on_body(chunk)
        if self._is_whole:
            super().on_message_complete()

    def _be_idle(self) -> None:
        """Begin to wait for the next request; one timer does for many, since most requests come long before it ends."""
        self._idle_since = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._look_whether_idle)

    def _look_whether_idle(self) -> None:
        self._idle_timer = None
        if self._idle_since is None:
            return
        left_s = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left_s <= 0:
            self.timeout_keep_alive_handler()
        else:
            self._idle_timer = self.loop.call_later(left_s, self._look_whether_idle)
