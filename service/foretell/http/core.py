"""The core of serving: from a route, headers and a body to a status, headers and a body.

It knows neither ASGI nor a server; adapters are thin.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

import msgspec
import numpy as np

from foretell.errors import (
    AsleepError,
    InvalidInputError,
    NotFoundError,
    NotReadyError,
    Problem,
    TooLargeError,
)
from foretell.excerpts import shortened
from foretell.http.catalog import ModelDescription, ModelList, describe_model
from foretell.http.coding import coding_of, decompressed
from foretell.http.problems import PROBLEM_MEDIA_TYPE, problem_of
from foretell.http.v2 import ModelMetadata, model_metadata, model_readiness
from foretell.prediction import PredictResponse, RequestRecord, check_header
from foretell.protocols.deadlines import Deadlines
from foretell.protocols.endpoint import identity_headers
from foretell.store.layout import parse_version

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from foretell.engine.registry import Registry
    from foretell.engine.use import Use
    from foretell.http.catalog import PluginStatus
    from foretell.http.request_ids import RequestIds
    from foretell.http.routes import Route
    from foretell.plugin.faults import Faults
    from foretell.plugin.observers import Observers
    from foretell.prediction import CacheStatus, Choose, Headers
    from foretell.protocols.codec import Payload
    from foretell.protocols.endpoint import Endpoint
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
        registry: The models.
        default_model: The model of the simple protocol; None means the only one there is.
        request_ids: Gives requests their identity.
        observers: Are handed the records of requests after their answers were sent.
        faults: Where faults go that plugins leave in records; None if nobody asks.
        deadlines: How long callers wait for a model that is loaded when it is asked; for ever if None.
        plugin_status: What plugins tell of a version.
        prefix: Where in another application the routes are, for messages.
        clock_ns: The clock of `RequestRecord`, ns.
        max_body_bytes: The greatest length of a body when decompressed, bytes.

    Attributes:
        in_flight: How many predictions are going on now.
    """

    def __init__(
        self,
        registry: Registry[Endpoint],
        *,
        default_model: str | None,
        request_ids: RequestIds,
        observers: Observers,
        faults: Faults | None = None,
        deadlines: Deadlines | None = None,
        plugin_status: PluginStatus = lambda _, __: {},
        prefix: str = "",
        clock_ns: Callable[[], int] = time.perf_counter_ns,
        max_body_bytes: int = 16 * 1024**2,
    ) -> None:
        self._registry = registry
        self._default_model = default_model
        self._request_ids = request_ids
        self.in_flight = 0
        self._observers = observers
        self._faults = faults
        self._deadlines = deadlines or Deadlines()
        self._plugin_status = plugin_status
        self._prefix = prefix
        self._clock_ns = clock_ns
        self._max_body_bytes = max_body_bytes
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
                endpoint = self._endpoint(route)
            except AsleepError as asleep:
                waits_ns = self._deadlines.patience_ns(timeout)
                record.deadline_ns = started_ns + waits_ns if waits_ns else 0
                endpoint = await self._wake(asleep.model, route, record.deadline_ns)
            record.model = endpoint.info.name
            if endpoint.choose is not None and route.version is None and route.alias is None:
                endpoint = self._chosen(endpoint, endpoint.choose, record)
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
            payload = encode(request, response)
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
        headers_out = [(b"x-request-id", record.request_id.encode()), *answered]
        if type(payload) is bytes:
            headers_out.insert(0, _JSON)
        else:
            payload = cast("Payload", payload)
            headers_out += payload.headers
            payload = payload.body
        if record.cache is not None or record.answer_headers is not None:
            headers_out += self._added(record, record.answer_headers)
        record.finished_ns = self._clock_ns()
        return Answer(200, headers_out, payload, record)

    def describe(self, route: Route, headers: Headers, method: str) -> Answer:
        """Answer what is known of a model, of one of its versions, or which models there are."""
        return self.tell(route, headers, method, lambda: self._description(route))

    def describe_v2(self, route: Route, headers: Headers, method: str) -> Answer:
        """Answer what a model takes and gives."""

        def metadata() -> ModelMetadata:
            endpoint = self._endpoint(route)
            return model_metadata(self._registry.model(endpoint.info.name), endpoint)

        return self.tell(route, headers, method, metadata)

    def ready_v2(self, route: Route, headers: Headers, method: str) -> Answer:
        """Answer whether a model, or one of its versions, answers predictions."""
        return self.tell(route, headers, method, lambda: model_readiness(self._endpoint(route)))

    def tell(self, route: Route, headers: Headers, method: str, make: Callable[[], object]) -> Answer:
        """Answer with what is made for it; what is raised meanwhile becomes an answer too."""
        record = self._record(route, headers, method)
        try:
            payload = msgspec.json.encode(make())
        except Exception as error:  # noqa: BLE001 - the edge of the request: it is answered and logged
            return self._failed(error, route, record)
        record.status = 200
        record.finished_ns = self._clock_ns()
        return Answer(200, [_JSON, (b"x-request-id", record.request_id.encode())], payload, record)

    def refuse(self, route: Route, headers: Headers, method: str, error: Exception) -> Answer:
        """Answer a request that an adapter could not even read."""
        return self._failed(error, route, self._record(route, headers, method))

    def default_endpoint(self) -> Endpoint | None:
        """What answers the simple protocol at the moment; None if nothing does."""
        try:
            return self._registry.default(self._default_name())
        except (NotFoundError, NotReadyError):
            return None

    def observe(self, record: RequestRecord) -> None:
        """Hand the record of an answered request to the observers."""
        self._observers.add(record)

    async def _decompressed(self, body: bytes, coding: bytes) -> bytes:
        """A body as it was before it was compressed; what may be large is made in a thread."""
        with suppress(TooLargeError):
            return decompressed(body, coding, max_bytes=min(_LARGE_BYTES, self._max_body_bytes))
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

    def _description(self, route: Route) -> ModelList | ModelDescription:
        if route.model is None:
            return ModelList(sorted(self._registry.models))
        model = self._registry.model(route.model)
        if route.version is None and route.alias is None:
            return describe_model(model, status=self._plugin_status)
        number = (
            model.config.aliases.get(route.alias)
            if route.alias is not None
            else parse_version(route.version or "")
        )
        if number not in model.failures and number not in model.unloaded:
            number = self._endpoint(route).info.version
        return describe_model(model, {number}, status=self._plugin_status)

    async def _wake(self, model: str, route: Route, deadline_ns: int) -> Endpoint:
        """What answers a route whose model is loaded when it is asked; a deadline of 0 means never.

        Raises:
            DeadlineError: That takes too long.
        """
        while True:
            left_ns = max(deadline_ns - self._clock_ns(), 0)
            await self._registry.wake(model, timeout_s=left_ns / 1e9 if deadline_ns else None)
            try:
                return self._endpoint(route)
            except AsleepError:  # it had to make room for others in the same moment
                continue

    def _endpoint(self, route: Route) -> Endpoint:
        name = route.model if route.model is not None else self._default_name()
        if route.version is None and route.alias is None:
            try:
                return self._registry.default(name)
            except NotFoundError as error:
                if route.model is None:
                    raise NotFoundError(f"{error}; the setting store.default_model names it") from error
                raise
        model = self._registry.model(name)
        if route.alias is not None:
            return model.alias(route.alias)
        number = parse_version(route.version or "")
        if number is None:
            raise NotFoundError(
                f"{shortened(route.version or '')!r} is not a version: versions are positive whole numbers"
            )
        return model.version(number)

    def _chosen(self, default: Endpoint, choose: Choose, record: RequestRecord) -> Endpoint:
        """What plugins choose in place of the default; the default where that does not serve."""
        record.version = default.info.version
        number = choose(record)
        if number == default.info.version:
            return default
        return self._registry.model(default.info.name).versions.get(number, default)

    def _default_name(self) -> str:
        if self._default_model is not None:
            return self._default_model
        models = self._registry.models
        if len(models) == 1:
            return next(iter(models))
        raise NotFoundError(
            "there is no default model: set store.default_model, or name the model: POST /v1/models/<model>:predict"
        )


def _sound(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """What in place of headers is headers."""
    sound: list[tuple[bytes, bytes]] = []
    for header in headers:
        with suppress(Exception):  # whatever it is, it is no header
            name, value = header
            check_header(name, value)
            sound.append((name, value))
    return sound
