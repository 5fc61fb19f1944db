"""uvicorn's HTTP protocol, with a short way for predictions that need not wait.

A request that has come whole in one read, on a path that was asked before, needs no ASGI cycle and no task: it is
answered with the others that came in the same turn of the event loop. What turns out to have to wait takes a task, and
everything else goes uvicorn's way.
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from foretell.http.cohort import Asked
from foretell.http.connection import Connection
from foretell.http.cycles import Answered, Waiting
from foretell.http.head import Head
from foretell.http.heads import END, LONGEST, KnownHead

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine

    from foretell.http.answer import Answer
    from foretell.http.hot_path import HotPath
    from foretell.http.routes import Route

__all__ = ["AcceleratedProtocol"]


_ANSWERED: Final[Any] = Answered()
_HEAD_IN_PART: Final[Any] = {}
_HEAD_WHOLE: Final[Any] = {"method": "POST"}
"""In place of scopes, for those who look whether a head has come."""


class AcceleratedProtocol(Connection):
    """One connection.

    Args:
        hot_path: How predictions are answered that need not wait.
        arguments: uvicorn's own.
    """

    def __init__(self, hot_path: HotPath, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._hot_path = hot_path
        self.url = b""  # uvicorn sets it when its parser has begun a request, and some need no parser
        self._is_between = True  # the parser has read nothing of the next request, nor anything odd before it
        self._last_head = b""
        self._route: Route | None = None  # of a request whose way is not decided yet
        self._chunks: list[bytes] = []
        self._is_whole = False
        self._is_asked = False
        self._idle_since: float | None = None
        self._idle_timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._is_asked:  # what was asked before is answered before
            self._hot_path.cohort.flush()
        self._idle_since = None
        if self._is_between:
            end = data.find(END) + len(END)
            known = self._hot_path.heads.get(data[:end])
            if known is not None and known.length == len(data) - end and self._is_free():
                self._unset_keepalive_if_required()
                self._predict(known.route, known.head, data[end:])
                return
        read = data if self._is_between else b""
        super().data_received(data)
        route = self._route
        if route is None:
            return
        if not self._is_whole:
            self._take_the_ordinary_way()
            return
        self._route = None
        chunks, self._chunks = self._chunks, []
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        head = Head.of(tuple(self.headers))
        self._remember(read[: len(read) - len(body)], KnownHead(route, head, len(body)))
        self._predict(route, head, body)

    def shutdown(self) -> None:
        """The server ends: what was asked is answered."""
        if self._is_asked:
            self._hot_path.cohort.flush()
        super().shutdown()

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
        self._is_between = False
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
            self._is_whole = self._is_between = True

    def send_400_response(self, msg: str) -> None:
        """What follows is no HTTP."""
        if self._route is not None:
            self._take_the_ordinary_way()
        super().send_400_response(msg)

    def _is_plain(self) -> bool:
        """Whether the request is a POST of HTTP/1.1 on a connection that is free, and stays open."""
        parser: Any = self.parser
        return (
            parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and not self.expect_100_continue
            and self._is_free()
        )

    def _is_free(self) -> bool:
        """Whether no other request is going on, and an answer can be written."""
        cycle: Any = self.cycle
        return (
            (cycle is None or cycle.response_complete)
            and not self.flow.write_paused
            and not self.transport.is_closing()
        )

    def _remember(self, written: bytes, known: KnownHead) -> None:
        """Remember the head that was just parsed, if the same came before on this connection.

        Args:
            written: The head; empty if it, or what came before it, was not read in one piece.
            known: What it says.
        """
        if written and written == self._last_head:
            self._hot_path.heads.add(written, known)
        self._last_head = written if len(written) <= LONGEST else b""

    def _predict(self, route: Route, head: Head, body: bytes) -> None:
        """Have a prediction answered: now, if nobody else is connected, or with the others of this turn of the loop."""
        cohort = self._hot_path.cohort
        asked = Asked(self, route, head, body, copy_context())
        if len(self.connections) == 1:
            cohort.answer(asked)
        else:
            self._is_asked = True
            cohort.add(asked, self.loop)

    def still_asks(self, asked: Asked) -> bool:
        """See `Asker`: uvicorn runs the application where the short way was closed meanwhile."""
        if self.transport.is_closing():
            return False
        if self._hot_path.is_open():
            return True
        self._run(asked, cast("Any", self.app))  # pyright: ignore[reportUnknownMemberType] # uvicorn leaves it open
        self.cycle.body += asked.body
        self.cycle.message_event.set()
        return False

    def write(self, answer: Answer) -> bytes:
        """See `Asker`."""
        return self._hot_path.wire.write(answer, self.server_state.default_headers)

    def send(self, answer: Answer, written: bytes) -> None:
        """See `Asker`."""
        self._is_asked = False
        self.cycle = _ANSWERED
        self.scope = _HEAD_WHOLE
        self.server_state.total_requests += 1
        self.transport.write(written)
        self._hot_path.core.observe(answer.record)
        self._be_idle()

    def wait(self, asked: Asked, answer: Awaitable[Answer]) -> None:
        """See `Asker`: a task waits, which ends when the client leaves."""
        self._is_asked = False
        self.scope = _HEAD_WHOLE
        waiting = Waiting()
        self.cycle = self.running = cast("Any", waiting)
        self._start(asked, self._finish(asked, answer, waiting))

    def fail(self, asked: Asked, error: BaseException) -> None:
        """See `Asker`: uvicorn runs an application that fails in the same way."""
        self._run(asked, _failing(error))

    async def _finish(self, asked: Asked, answering: Awaitable[Answer], waiting: Waiting) -> None:
        """Wait for an answer and send it."""
        waiting.begin(asyncio.current_task())
        hot_path = self._hot_path
        answer: Answer | None = None
        try:
            answer = await answering
            written = self.write(answer)
        except BaseException as error:  # noqa: BLE001 - as uvicorn does around each application
            if not waiting.disconnected:
                await self._cycle_in_place_of(waiting, asked).run_asgi(_failing(error))
            if answer is not None:
                hot_path.core.observe(answer.record)
            return
        if not waiting.keep_alive or not hot_path.is_open() or self.flow.write_paused:
            await self._cycle_in_place_of(waiting, asked).run_asgi(cast("Any", hot_path.sending(answer)))
            return
        waiting.end()
        self.running = None
        if not waiting.disconnected:
            self.transport.write(written)
        hot_path.core.observe(answer.record)
        if self.pipeline or self.transport.is_closing():
            self.on_response_complete()
        else:
            self.cycle = _ANSWERED
            self.server_state.total_requests += 1
            self.flow.resume_reading()
            self._be_idle()

    def _run(self, asked: Asked, app: Any) -> None:
        """Have uvicorn run an application for a request that has come whole."""
        self._is_asked = False
        self.scope = _HEAD_WHOLE
        self.cycle = self.running = self._new_cycle(asked)
        self._start(asked, self.cycle.run_asgi(app))

    def _start(self, asked: Asked, steps: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin a task for a request, in its context; uvicorn's own way would give it a copy of the context."""
        task = self.loop.create_task(steps, context=asked.context)
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)
        return task

    def _cycle_in_place_of(self, waiting: Waiting, asked: Asked) -> RequestResponseCycle:
        """A cycle of uvicorn's that goes on where a request waited."""
        cycle = self._new_cycle(asked)
        cycle.keep_alive, cycle.disconnected = waiting.keep_alive, waiting.disconnected
        if self.cycle is cast("Any", waiting):
            self.cycle = cycle
        self.running = cycle
        return cycle

    def _new_cycle(self, asked: Asked) -> RequestResponseCycle:
        """A cycle of uvicorn's for a request that has come whole. Another may be coming: what is known of it stays."""
        coming = self.url, self.expect_100_continue, self.headers, self.scope
        super().on_message_begin()
        self.headers.extend(asked.head.headers)
        path = asked.route.path
        scope: Any = self.scope
        scope.update(method="POST", path=path, raw_path=path.encode(), query_string=b"")
        self.url, self.expect_100_continue, self.headers, self.scope = coming
        cycle = RequestResponseCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=True,
            on_response=self.on_response_complete,
        )
        cycle.more_body = False
        return cycle

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
        chunks, self._chunks = self._chunks, []
        for chunk in chunks:
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


def _failing(error: BaseException) -> Any:
    """An application that fails."""

    async def fail(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive, send
        raise error

    return fail
