"""One loaded version behind the cache: looks up, waits for equal questions, asks, keeps."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from foretell.errors import DeadlineError
from foretell.plugin import CacheStatus, PredictRequest, PredictResponse, RequestRecord, others_time
from foretell_plugins.cache.flights import Flights, land, wait_for
from foretell_plugins.cache.keys import Keys

if TYPE_CHECKING:
    from foretell.plugin import ModelInfo, Predict
    from foretell_plugins.cache.config import CacheConfig
    from foretell_plugins.cache.memory import Memory, MemoryKey
    from foretell_plugins.cache.shared import Shared

__all__ = ["CachedVersion"]

_HEADER: Final = b"x-foretell-cache"
_STATUSES: Final[tuple[CacheStatus, ...]] = ("hit", "miss", "coalesced", "bypass")
_HEADERS: Final = {status: (_HEADER, status.encode()) for status in _STATUSES}
_MISS: Final = _HEADERS["miss"]

_WAITS: Final = 2
"""How often a question waits for an equal one that ends without an outcome; then it is asked beside it."""


class CachedVersion:
    """Answers the predictions of one loaded version.

    Args:
        call_next: What answers the questions to which no answer is kept.
        model: The version.
        config: The cache's configuration for it.
        memory: Where answers are kept.
        shared: Where other processes find them too; None if they do not.
        owner: A number that no other version's answers bear.
    """

    def __init__(
        self,
        call_next: Predict,
        model: ModelInfo,
        config: CacheConfig,
        *,
        memory: Memory,
        shared: Shared | None,
        owner: int,
    ) -> None:
        self._call_next = call_next
        self._model = model
        self._config = config
        self._memory = memory
        self._shared = shared
        self._keys = Keys(model, owner)
        self._flights: Flights = {}

    @property
    def owner(self) -> bytes:
        """What the keys of its answers begin with."""
        return self._keys.owner

    def begin_anew(self, owner: int) -> None:
        """From now on neither what was kept nor what is being answered is given again or kept."""
        self._keys.begin_anew(owner)

    async def predict(self, request: PredictRequest) -> PredictResponse:
        """Answer a question. One method for all of the usual way: each further one costs every miss."""
        record = request.record
        for name, value in record.headers:
            # Source: RFC 9111, section 5.2.1.5.
            if name == b"cache-control" and b"no-store" in value.lower():
                _mark(record, "bypass")
                return await self._call_next(request)
        started_ns = 0 if record.span_id is None else time.perf_counter_ns()
        keys, memory, flights = self._keys, self._memory, self._flights
        owner = keys.owner
        key = keys.of(request)
        if key is None:
            key = await asyncio.to_thread(keys.of_large, request)
        kept = memory.get(key)
        if kept is None and flights and key in flights:
            answer = await self._join(key, request, started_ns)
            if answer is not None:
                return answer
            kept = memory.get(key)
        if kept is not None:
            _mark(record, "hit")
            if started_ns:
                record.add_step("cache look-up", started_ns, time.perf_counter_ns())
            return PredictResponse(kept)
        leads = key not in flights
        if leads:
            flights[key] = None
        try:
            found = None if self._shared is None else await self._find(key, request)
            if started_ns:
                record.add_step("cache look-up", started_ns, time.perf_counter_ns())
            if found is None:
                record.cache = "miss"
                if record.answer_headers is None:
                    record.answer_headers = [_MISS]
                else:
                    record.add_header(*_MISS)
                response = await self._call_next(request)
                # As those of a hit are: what changes answers in place further out then fails at its first request.
                for array in response.outputs.values():
                    array.setflags(write=False)
                # What is being answered while answers are dropped is not kept.
                if response.degraded is None and keys.owner is owner:
                    config = self._config
                    memory.keep(key, response, ttl_s=config.ttl_s, max_bytes=config.max_entry_bytes)
                    if self._shared is not None:
                        self._share(key, request, response)
            else:
                _mark(record, "hit")
                response = found
        except BaseException as error:
            if leads:
                land(flights.pop(key), error)
            raise
        if leads:
            landing = flights.pop(key)
            if landing is not None:
                land(landing, response)
        return response

    async def _join(self, key: MemoryKey, request: PredictRequest, started_ns: int) -> PredictResponse | None:
        """The answer to an equal question; None if the question must be asked by this caller.

        Where the first has no outcome one of those who wait takes over, and the others wait once more; then all go on
        by themselves, lest they stand in line.
        """
        record = request.record
        for _ in range(_WAITS):
            if key not in self._flights:
                break
            # Before it waits: if that fails, it is the other's run that failed.
            _mark(record, "coalesced")
            response = await self._wait(key, request)
            if response is not None:
                if started_ns:
                    record.add_step("cache wait", started_ns, time.perf_counter_ns())
                return response
        return None

    async def _wait(self, key: MemoryKey, request: PredictRequest) -> PredictResponse | None:
        """Wait for the answer to an equal question; that is not the cache's own time, but the deadline counts."""
        deadline_ns = request.record.deadline_ns
        patience_s = (deadline_ns - time.perf_counter_ns()) / 1e9 if deadline_ns else None
        timer = asyncio.timeout(patience_s)
        try:
            with others_time(request):
                async with timer:
                    return await wait_for(self._flights, key)
        except TimeoutError:
            if not timer.expired():
                raise
            raise DeadlineError("an equal request was not answered before the deadline") from None

    async def _find(self, key: MemoryKey, request: PredictRequest) -> PredictResponse | None:
        """The answer that another process has left, kept here for the rest of its life."""
        if self._shared is None:
            return None
        found = await self._shared.get(
            self._model, self._keys.digest(key), request, max_bytes=self._config.max_entry_bytes
        )
        if found is None or not key.startswith(self._keys.owner):
            return None
        response = PredictResponse(found.outputs)
        self._memory.keep(
            key,
            response,
            # The clocks of two hosts may differ.
            ttl_s=min(found.left_s, self._config.ttl_s),
            max_bytes=self._config.max_entry_bytes,
        )
        return response

    def _share(self, key: MemoryKey, request: PredictRequest, response: PredictResponse) -> None:
        if self._shared is not None:
            self._shared.put(
                self._model,
                self._keys.digest(key),
                request,
                response.outputs,
                ttl_s=self._config.ttl_s,
                max_bytes=self._config.max_entry_bytes,
            )


def _mark(record: RequestRecord, status: CacheStatus) -> None:
    record.cache = status
    if record.answer_headers is None:
        record.answer_headers = [_HEADERS[status]]
    else:
        record.add_header(*_HEADERS[status])
