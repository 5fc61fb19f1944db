"""The core of serving: from a route, a head and a body to a status, headers and a body.

It knows neither ASGI nor a server; adapters are thin.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import msgspec
import numpy as np

from foretell.errors import AsleepError, TooLargeError
from foretell.http.added_headers import AddedHeaders
from foretell.http.answer import Answer
from foretell.http.coding import accepted_coding, coding_of, compressed, decompressed
from foretell.http.going import Going
from foretell.http.problems import PROBLEM_MEDIA_TYPE, problem_of
from foretell.http.routes import PREDICT
from foretell.http.shared_run import rest_of
from foretell.prediction import PredictResponse, RequestRecord
from foretell.protocols.deadlines import Deadlines
from foretell.protocols.endpoint import identity_headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from foretell.http.head import Head
    from foretell.http.lookup import Lookup
    from foretell.http.request_ids import RequestIds
    from foretell.http.routes import Route
    from foretell.plugin.faults import Faults
    from foretell.plugin.observers import Observers
    from foretell.plugin.staged import StagedChain
    from foretell.prediction import Headers, PredictRequest
    from foretell.protocols.codec import Payload
    from foretell.protocols.endpoint import Endpoint
    from foretell.tensors import Array

__all__ = ["CLIENT_GONE", "LARGE_BYTES", "Core"]

CLIENT_GONE: Final = 499
"""What is counted for a request whose caller went away before it was answered. Source: nginx, which has it so."""

LARGE_BYTES: Final = 256 * 1024
"""Longer bodies are decoded in a thread, so that other requests get their turn in between."""

_set_writeable: Final = cast("Callable[[Array, bool], None]", np.ndarray.setflags)

Content: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""The headers that say how a body is to be read."""

_JSON: Final = (b"content-type", b"application/json")
_JSON_CONTENT: Final[Content] = (_JSON,)
_VARY: Final = (b"vary", b"accept-encoding")
_PROBLEM: Final = (b"content-type", PROBLEM_MEDIA_TYPE.encode())


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
        self._deadlines = deadlines or Deadlines()
        self._prefix = prefix
        self._clock_ns = clock_ns
        self._max_body_bytes = max_body_bytes
        self._compress_from = compress_min_bytes or math.inf
        self._large = asyncio.Lock()
        self._added = AddedHeaders(faults)

    def predict(self, route: Route, head: Head, body: bytes) -> Answer | Awaitable[Answer]:
        """Answer a prediction: at once, or with something to be awaited where there is something to wait for.

        Whatever goes wrong becomes an answer too, but for cancellation. Call it on the event loop.
        """
        going = self.begin(route, head, body)
        self.run(going)
        return self.end(going)

    def begin(self, route: Route, head: Head, body: bytes) -> Going:
        """Begin a prediction: look up what answers it, and decode it. `run` and `end` are to follow."""
        record = RequestRecord(
            self._request_ids.of(head.request_id),
            route.protocol,
            self._clock_ns(),
            route.template,
            head.headers,
            path=route.path,
        )
        going = Going(route, head, record)
        self.in_flight += 1
        try:
            try:
                endpoint = self._take_up(going, self._lookup.endpoint(route))
            except AsleepError as asleep:
                going.outcome = self._guarded(going, self._wake(going, asleep.model, body))
                return going
            if head.content_encoding is not None or len(body) > LARGE_BYTES:
                going.outcome = self._guarded(going, self._take_time(going, endpoint, body))
                return going
            codec = endpoint.codec(route.protocol, head.content_type)
            going.request, going.encode = codec.decode(body, record)
            record.decoded_ns = self._clock_ns()
            if endpoint.staged is not None:
                self._enter(going, endpoint.staged)
        except Exception as error:  # noqa: BLE001 - the edge of the request: it is answered and logged
            self._fail(going, error)
        except BaseException:
            self._leave(going)
            raise
        return going

    def run(self, going: Going) -> None:
        """Hand a prediction to the plugins and the model; most have their response then."""
        if going.outcome is not None or going.response is not None:
            return
        try:
            is_plain = going.passed is None and going.ran is None
            self._take(going, self._ask(going.endpoint, going.request) if is_plain else rest_of(going))
        except Exception as error:  # noqa: BLE001 - the edge of the request: it is answered and logged
            self._fail(going, error)
        except BaseException:
            self._leave(going)
            raise

    def end(self, going: Going) -> Answer | Awaitable[Answer]:
        """The answer to a prediction, or what is to be awaited for it."""
        if going.outcome is not None:
            return going.outcome
        try:
            payload, content = _parted(going.encode(going.request, going.response))
            if len(payload) >= self._compress_from:
                return self._guarded(going, self._pack(going, going.response, payload, content))
            answer = self._answer(going, going.response, payload, content)
        except Exception as error:  # noqa: BLE001 - the edge of the request: it is answered and logged
            return self._fail(going, error)
        except BaseException:
            self._leave(going)
            raise
        self._leave(going)
        return answer

    def abandon(self, going: Going) -> None:
        """End a prediction that has begun and whose caller waits no longer; nothing is to follow."""
        if going.passed:
            with suppress(asyncio.CancelledError):
                going.endpoint.staged.fail(going.request, going.passed, asyncio.CancelledError())
        self.count_as_gone(going)
        self._leave(going)

    def count_as_gone(self, going: Going) -> None:
        """Have a prediction observed as one whose caller has gone away before it was answered."""
        going.record.status = CLIENT_GONE
        going.record.finished_ns = self._clock_ns()
        self._observers.add(going.record)

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

    def _take_up(self, going: Going, endpoint: Endpoint) -> Endpoint:
        """Begin to use what answers; in the step of the look-up, so that nothing is closed in between."""
        route, record = going.route, going.record
        record.model = endpoint.info.name
        if endpoint.choose is not None and route.version is None and route.alias is None:
            endpoint = self._lookup.chosen(endpoint, endpoint.choose, record)
        endpoint.use.enter(record.started_ns)
        going.endpoint = endpoint
        record.version = endpoint.info.version
        patience_ns = endpoint.deadlines.patience_ns(going.head.timeout)
        record.deadline_ns = record.started_ns + patience_ns if patience_ns else 0
        return endpoint

    def _enter(self, going: Going, chain: StagedChain) -> None:
        """Take a prediction through the plugins, down to the model."""
        request, passed = going.request, list[Any]()
        request.record.rows = request.rows
        for tensor in request.inputs.values():
            _set_writeable(tensor, False)
        answer = chain.enter(request, passed)
        if answer is None:
            going.passed = passed
        else:
            self._take(going, answer)

    def _take(self, going: Going, answer: PredictResponse | Awaitable[PredictResponse]) -> None:
        """Go on with a response, or with what is to be awaited for it."""
        if type(answer) is PredictResponse:
            going.response = answer
            going.record.predicted_ns = self._clock_ns()
        else:
            waiting = cast("Awaitable[PredictResponse]", answer)
            going.outcome = self._guarded(going, self._outwait(going, waiting))

    def _ask(
        self, endpoint: Endpoint, request: PredictRequest
    ) -> PredictResponse | Awaitable[PredictResponse]:
        """Hand a request to the plugins and the model."""
        request.record.rows = request.rows
        if endpoint.chain.wrapped:
            for tensor in request.inputs.values():
                _set_writeable(tensor, False)
        return endpoint.respond(request)

    async def _guarded(self, going: Going, steps: Coroutine[Any, Any, Answer]) -> Answer:
        """The rest of a prediction that has to wait for something."""
        try:
            return await steps
        except Exception as error:  # noqa: BLE001 - the edge of the request: it is answered and logged
            return self._failed(error, going.route, going.record)
        except asyncio.CancelledError:
            self.count_as_gone(going)
            raise
        finally:
            self._leave(going)

    async def _wake(self, going: Going, model: str, body: bytes) -> Answer:
        """Go on when a model is loaded that was asleep."""
        record = going.record
        waits_ns = self._deadlines.patience_ns(going.head.timeout)
        record.deadline_ns = record.started_ns + waits_ns if waits_ns else 0
        endpoint = await self._lookup.wake(model, going.route, record.deadline_ns)
        return await self._take_time(going, self._take_up(going, endpoint), body)

    async def _take_time(self, going: Going, endpoint: Endpoint, body: bytes) -> Answer:
        """Go on with a body that may be compressed, or large."""
        encoding = going.head.content_encoding
        coding = None if encoding is None else coding_of(encoding)
        codec = endpoint.codec(going.route.protocol, going.head.content_type)
        if coding is not None:
            body = await self._decompressed(body, coding)
        going.large = len(body) > LARGE_BYTES
        if not going.large:
            going.request, going.encode = codec.decode(body, going.record)
        else:  # one at a time: what is made of them takes many times their memory
            async with self._large:
                going.request, going.encode = await asyncio.to_thread(codec.decode, body, going.record)
        going.record.decoded_ns = self._clock_ns()
        response = self._ask(endpoint, going.request)
        if type(response) is not PredictResponse:
            return await self._outwait(going, cast("Awaitable[PredictResponse]", response))
        return await self._write(going, response)

    async def _outwait(self, going: Going, waiting: Awaitable[PredictResponse]) -> Answer:
        """Go on when a response is there that has to be waited for."""
        return await self._write(going, await waiting)

    async def _write(self, going: Going, response: PredictResponse) -> Answer:
        going.record.predicted_ns = self._clock_ns()
        if going.large:
            payload, content = _parted(await asyncio.to_thread(going.encode, going.request, response))
        else:
            payload, content = _parted(going.encode(going.request, response))
        return await self._pack(going, response, payload, content)

    async def _pack(
        self, going: Going, response: PredictResponse, payload: bytes, content: Content
    ) -> Answer:
        """Compress what is long for callers who accept that; what is large in a thread."""
        if len(payload) >= self._compress_from:
            content = (*content, _VARY)
            accepts = b",".join(value for name, value in going.head.headers if name == b"accept-encoding")
            coding = accepted_coding(accepts)
            if coding is not None and len(payload) <= LARGE_BYTES:
                payload = compressed(payload, coding)
            elif coding is not None:
                payload = await asyncio.to_thread(compressed, payload, coding)
            if coding is not None:
                content = (*content, (b"content-encoding", coding))
        return self._answer(going, response, payload, content)

    def _answer(self, going: Going, response: PredictResponse, payload: bytes, content: Content) -> Answer:
        record = going.record
        record.status = 200
        answered = going.endpoint.headers
        if response.degraded is not None:
            record.degraded = response.degraded
            record.served_by = response.served_by
            if response.source is not None:
                answered = identity_headers(response.source)
        headers = [*content, (b"x-request-id", record.request_id.encode()), *answered]
        if record.cache is not None or record.answer_headers is not None:
            headers += self._added.of(record)
        record.finished_ns = self._clock_ns()
        return Answer(200, headers, payload, record)

    def _fail(self, going: Going, error: Exception) -> Answer:
        """Answer what went wrong."""
        try:
            answer = going.outcome = self._failed(error, going.route, going.record)
        finally:
            self._leave(going)
        return answer

    def _leave(self, going: Going) -> None:
        self.in_flight -= 1
        if going.endpoint is not None:
            going.endpoint.use.leave()

    async def _decompressed(self, body: bytes, coding: bytes) -> bytes:
        """A body as it was before it was compressed; what may be large is made in a thread."""
        with suppress(TooLargeError):
            return decompressed(body, coding, max_bytes=min(LARGE_BYTES, self._max_body_bytes))
        async with self._large:
            return await asyncio.to_thread(decompressed, body, coding, max_bytes=self._max_body_bytes)

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
            headers += self._added.of(record)
        return Answer(problem.status, headers, problem.encode(), record)


def _parted(written: bytes | Payload) -> tuple[bytes, Content]:
    """The body of an answer, and the headers that say how to read it."""
    if type(written) is bytes:
        return written, _JSON_CONTENT
    written = cast("Payload", written)
    return written.body, written.headers
