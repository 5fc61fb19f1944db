"""The core of serving: from a route, headers and a body to a status, headers and a body.

It knows neither ASGI nor a server; adapters are thin.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

import msgspec
import numpy as np

from foretell.errors import AsleepError, InvalidInputError, Problem, TooLargeError
from foretell.http.coding import accepted_coding, coding_of, compressed, decompressed
from foretell.http.problems import PROBLEM_MEDIA_TYPE, problem_of
from foretell.http.routes import PREDICT
from foretell.prediction import PredictResponse, RequestRecord, check_header
from foretell.protocols.deadlines import Deadlines
from foretell.protocols.endpoint import identity_headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from foretell.engine.use import Use
    from foretell.http.lookup import Lookup
    from foretell.http.request_ids import RequestIds
    from foretell.http.routes import Route
    from foretell.plugin.faults import Faults
    from foretell.plugin.observers import Observers
    from foretell.prediction import CacheStatus, Headers
    from foretell.protocols.codec import Payload
    from foretell.tensors import Array

__all__ = ["CLIENT_GONE", "Answer", "Core"]

CLIENT_GONE: Final = 499
"""What is counted for a request whose caller went away before it was answered. Source: nginx, which has it so."""

_LARGE_BYTES: Final = 256 * 1024
"""Longer bodies are decoded in a thread, so that other requests get their turn in between."""

_SOUND: Final = 256
"""How many headers of plugins are remembered, so that they are not checked again."""

_set_writeable: Final = cast("Callable[[Array, bool], None]", np.ndarray.setflags)

_STATUSES: Final[tuple[CacheStatus, ...]] = ("hit", "miss", "coalesced", "bypass")
_CACHE_HEADER: Final = b"x-foretell-cache"
_CACHE: Final[dict[str, Headers]] = {status: ((_CACHE_HEADER, status.encode()),) for status in _STATUSES}
_JSON: Final = (b"content-type", b"application/json")
_JSON_CONTENT: Final[tuple[tuple[bytes, bytes], ...]] = (_JSON,)
_VARY: Final = (b"vary", b"accept-encoding")
_PROBLEM: Final = (b"content-type", PROBLEM_MEDIA_TYPE.encode())


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What is sent back.

    Attributes:
        status: The HTTP status.
        headers: Every header but the content length.
        body: The whole body.
        record: What is left of the request; hand it to `Core.observe` after the answer was sent.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    record: RequestRecord


class Core:
    """Answers the routes of the prediction protocols.

    Args:
        lookup: The models.
        request_ids: Gives requests their identity.
        observers: Are handed the records of requests after their answers were sent.
        faults: Where faults go that plugins leave in records; None if nobody asks.
        deadlines: How long callers wait for a model that is loaded when it is asked; for ever if None.
        prefix: Where in another application the routes are, for messages.
        clock_ns: The clock of `RequestRecord`, ns.
        max_body_bytes: The greatest length of a body when decompressed, bytes.
        compress_min_bytes: The length from which on answers are compressed for those who accept that, bytes; 0 for
            never.

    Attributes:
        in_flight: How many predictions are going on now.
    """

    def __init__(
        self,
        lookup: Lookup,
        *,
        request_ids: RequestIds,
        observers: Observers,
        faults: Faults | None = None,
        deadlines: Deadlines | None = None,
        prefix: str = "",
        clock_ns: Callable[[], int] = time.perf_counter_ns,
        max_body_bytes: int = 16 * 1024**2,
        compress_min_bytes: int = 0,
    ) -> None:
        self._lookup = lookup
        self._request_ids = request_ids
        self.in_flight = 0
        self._observers = observers
        self._faults = faults
        self._deadlines = deadlines or Deadlines()
        self._prefix = prefix
        self._clock_ns = clock_ns
        self._max_body_bytes = max_body_bytes
        self._compress_from = compress_min_bytes or math.inf
        self._large = asyncio.Lock()
        self._sound: set[tuple[bytes, bytes]] = set()  # the same few with every answer

    async def predict(self, route: Route, headers: Headers, body: bytes) -> Answer:
        """Answer a prediction. Whatever goes wrong becomes an answer too, but for cancellation."""
        request_id = content_type = content_encoding = timeout = None
        for name, value in headers:
            if name == b"content-type":
                content_type = value if content_type is None else content_type + b", " + value
            elif name == b"x-request-id":
                request_id = value
            elif name == b"content-encoding":
                content_encoding = value if content_encoding is None else content_encoding + b", " + value
            elif name == b"x-request-timeout":
                timeout = value
        started_ns = self._clock_ns()
        record = RequestRecord(
            self._request_ids.of(request_id),
            route.protocol,
            started_ns,
            route.template,
            headers,
            path=route.path,
        )
        self.in_flight += 1
        use: Use | None = None
        try:
            try:
                endpoint = self._lookup.endpoint(route)
            except AsleepError as asleep:
                waits_ns = self._deadlines.patience_ns(timeout)
                record.deadline_ns = started_ns + waits_ns if waits_ns else 0
                endpoint = await self._lookup.wake(asleep.model, route, record.deadline_ns)
            record.model = endpoint.info.name
            if endpoint.choose is not None and route.version is None and route.alias is None:
                endpoint = self._lookup.chosen(endpoint, endpoint.choose, record)
            use = endpoint.use  # entered in the step of the look-up: nothing is closed in between
            use.enter(started_ns)
            record.version = endpoint.info.version
            patience_ns = endpoint.deadlines.patience_ns(timeout)
            record.deadline_ns = started_ns + patience_ns if patience_ns else 0
            coding = None if content_encoding is None else coding_of(content_encoding)
            codec = endpoint.codecs.get(route.protocol)
            if codec is None:
                message = f"model {record.model!r} does not answer one row at a time; send `inputs` to /v1/models/{record.model}:predict"
                return self._failed(InvalidInputError(Problem("$", message)), route, record)
            codec.check_media(content_type)
            if coding is not None:
                body = await self._decompressed(body, coding)
            if len(body) <= _LARGE_BYTES:
                request, encode = codec.decode(body, record)
            else:  # one at a time: what is made of them takes many times their memory
                async with self._large:
                    request, encode = await asyncio.to_thread(codec.decode, body, record)
            record.rows = request.rows
            record.decoded_ns = self._clock_ns()
            if endpoint.chain.wrapped:
                for tensor in request.inputs.values():
                    _set_writeable(tensor, False)
            response = endpoint.respond(request)
            if type(response) is not PredictResponse:  # most answer at once
                response = await cast("Awaitable[PredictResponse]", response)
            record.predicted_ns = self._clock_ns()
            if len(body) <= _LARGE_BYTES:
                written = encode(request, response)
            else:
                written = await asyncio.to_thread(encode, request, response)
            if type(written) is bytes:
                payload, content = written, _JSON_CONTENT
            else:
                written = cast("Payload", written)
                payload, content = written.body, written.headers
            if len(payload) >= self._compress_from:
                payload, content = await self._compressed(payload, content, headers)
        except Exception as error:  # noqa: BLE001 - the edge of the request: it is answered and logged
            return self._failed(error, route, record)
        except asyncio.CancelledError:
            record.status = CLIENT_GONE
            record.finished_ns = self._clock_ns()
            self._observers.add(record)
            raise
        finally:
            self.in_flight -= 1
            if use is not None:
                use.leave()
        record.status = 200
        answered = endpoint.headers
        if response.degraded is not None:
            record.degraded = response.degraded
            record.served_by = response.served_by
            if response.source is not None:
                answered = identity_headers(response.source)
        headers_out = [*content, (b"x-request-id", record.request_id.encode()), *answered]
        if record.cache is not None or record.answer_headers is not None:
            headers_out += self._added(record, record.answer_headers)
        record.finished_ns = self._clock_ns()
        return Answer(200, headers_out, payload, record)

    async def tell(
        self, route: Route, headers: Headers, method: str, make: Callable[[], object | Awaitable[object]]
    ) -> Answer:
        """Answer with what is made for it; what is raised meanwhile becomes an answer too."""
        record = self._record(route, headers, method)
        try:
            made = make()
            if isinstance(made, Awaitable):
                made = await cast("Awaitable[object]", made)
            payload = msgspec.json.encode(made)
        except Exception as error:  # noqa: BLE001 - the edge of the request: it is answered and logged
            return self._failed(error, route, record)
        record.status = 200
        record.finished_ns = self._clock_ns()
        return Answer(200, [_JSON, (b"x-request-id", record.request_id.encode())], payload, record)

    def refuse(self, route: Route, headers: Headers, method: str, error: Exception) -> Answer:
        """Answer a request that an adapter could not even read."""
        return self._failed(error, route, self._record(route, headers, method))

    def observe(self, record: RequestRecord) -> None:
        """Hand the record of an answered request to the observers."""
        self._observers.add(record)

    async def _decompressed(self, body: bytes, coding: bytes) -> bytes:
        """A body as it was before it was compressed; what may be large is made in a thread."""
        with suppress(TooLargeError):
            return decompressed(body, coding, max_bytes=min(_LARGE_BYTES, self._max_body_bytes))
        async with self._large:
            return await asyncio.to_thread(decompressed, body, coding, max_bytes=self._max_body_bytes)

    async def _compressed(
        self, payload: bytes, content: tuple[tuple[bytes, bytes], ...], headers: Headers
    ) -> tuple[bytes, tuple[tuple[bytes, bytes], ...]]:
        """An answer as its caller wants it, and the headers that say so; what is large is compressed in a thread."""
        content = (*content, _VARY)
        coding = accepted_coding(b",".join(value for name, value in headers if name == b"accept-encoding"))
        if coding is None:
            return payload, content
        if len(payload) <= _LARGE_BYTES:
            payload = compressed(payload, coding)
        else:
            payload = await asyncio.to_thread(compressed, payload, coding)
        return payload, (*content, (b"content-encoding", coding))

    def _record(self, route: Route, headers: Headers, method: str) -> RequestRecord:
        request_id = next((value for name, value in headers if name == b"x-request-id"), None)
        return RequestRecord(
            self._request_ids.of(request_id),
            route.protocol,
            self._clock_ns(),
            route.template,
            headers,
            method,
            route.path,
            predicts=route.verb == PREDICT,
        )

    def _added(self, record: RequestRecord, given: list[tuple[bytes, bytes]] | None) -> Headers:
        """The headers that say what a cache did, and those that plugins gave the answer.

        A plugin may have left anything in either place: headers that would break the answer are left out, and counted.
        """
        cache: object = record.cache
        told = _CACHE.get(cache, ()) if type(cache) is str else ()
        if given is None:
            return told
        headers: list[tuple[bytes, bytes]] = []
        try:
            headers = list(given)  # what was checked is what is sent
            for header in headers:
                name, value = header
                known = type(name) is bytes and type(value) is bytes and (name, value) in self._sound
                if not known:
                    check_header(name, value)
                    if len(self._sound) < _SOUND:
                        self._sound.add((name, value))
        except Exception as error:  # noqa: BLE001 - the boundary of a plugin
            if self._faults is not None:
                self._faults.failed("unknown", "answer_headers", error, request_id=record.request_id)
            headers = _sound(headers)
        return headers if any(name == _CACHE_HEADER for name, _ in headers) else [*headers, *told]

    def _failed(self, error: Exception, route: Route, record: RequestRecord) -> Answer:
        problem, extra = problem_of(
            error,
            path=route.path,
            request_id=record.request_id,
            prefix=self._prefix,
            invalid=route.invalid,
        )
        record.status = problem.status
        record.failure = error
        record.finished_ns = self._clock_ns()
        headers = [_PROBLEM, (b"x-request-id", record.request_id.encode())]
        headers += [(name.encode(), value.encode()) for name, value in extra.items()]
        if record.cache is not None or record.answer_headers is not None:
            headers += self._added(record, record.answer_headers)
        return Answer(problem.status, headers, problem.encode(), record)


def _sound(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """What in place of headers is headers."""
    sound: list[tuple[bytes, bytes]] = []
    for header in headers:
        with suppress(Exception):  # whatever it is, it is no header
            name, value = header
            check_header(name, value)
            sound.append((name, value))
    return sound
