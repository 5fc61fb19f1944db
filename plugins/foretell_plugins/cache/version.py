"""One loaded version behind the cache: looks up, waits for equal questions, asks, keeps."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from foretell.errors import DeadlineError
from foretell.plugin import PredictRequest, PredictResponse, Shortcut, others_time
from foretell_plugins.cache.flights import Flights, land, wait_for
from foretell_plugins.cache.keys import Keys

if TYPE_CHECKING:
    from foretell.plugin import ModelInfo, Predict
    from foretell_plugins.cache.config import CacheConfig
    from foretell_plugins.cache.memory import Memory, MemoryKey
    from foretell_plugins.cache.shared import Shared

__all__ = ["CachedVersion"]

_CACHE_CONTROL: Final = b"cache-control"

_WAITS: Final = 2
"""How often a question waits for an equal one that ends without an outcome; then it is asked beside it."""


class CachedVersion(Shortcut[bytes]):
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
        self._ttl_s = config.ttl_s
        self._max_entry_bytes = config.max_entry_bytes
        self._memory = memory
        self._find_kept = memory.find
        self._keep = memory.keep
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

    def begin(self, request: PredictRequest) -> MemoryKey | PredictResponse | None:
        """Look up where nothing has to be waited for, and nothing else is unusual about the request."""
        record = request.record
        for name, _ in record.headers:
            if name == _CACHE_CONTROL:
                return None
        if self._shared is not None or record.span_id is not None:
            return None
        key, flights = self._keys.of(request), self._flights
        if key is None or key in flights:
            return None
        if self._find_kept(key) is not None:
            kept = self._memory.get(key)
            if kept is not None:
                record.cache = "hit"
                return PredictResponse(kept)
        record.cache = "miss"
        flights[key] = None
        return key

    def end(self, request: PredictRequest, begun: MemoryKey, response: PredictResponse) -> None:
        """Keep the answer, and give it to those who wait for it."""
        del request
        landing = self._flights.pop(begun)
        if landing is not None:
            land(landing, response)
        # What is being answered while answers are dropped is not kept.
        if response.degraded is None and begun.startswith(self._keys.owner):
            self._keep(begun, response, self._ttl_s, self._max_entry_bytes)

    def failed(self, request: PredictRequest, begun: MemoryKey, error: BaseException) -> bool:
        """Tell those who wait for the answer."""
        del request
        land(self._flights.pop(begun), error)
        return False

    async def __call__(self, request: PredictRequest) -> PredictResponse:
        """Answer a question that may have to wait: for an equal one, for Redis, for a key that takes long to make."""
        record = request.record
        # Source: RFC 9111, section 5.2.1.5.
        for name, value in record.headers:
            if name == _CACHE_CONTROL and b"no-store" in value.lower():
                record.cache = "bypass"
                return await self._call_next(request)
        started_ns = 0 if record.span_id is None else time.perf_counter_ns()
        keys, memory, flights = self._keys, self._memory, self._flights
        key = keys.of(request)
        if key is None:
            key = await asyncio.to_thread(keys.of_large, request)
        kept = memory.get(key)
        if kept is None and key in flights:
            answer = await self._join(key, request, started_ns)
            if answer is not None:
                return answer
            kept = memory.get(key)
        if kept is not None:
            record.cache = "hit"
            if started_ns:
                record.add_step("cache look-up", started_ns, time.perf_counter_ns())
            return PredictResponse(kept)
        leads = key not in flights
        if leads:
            flights[key] = None
        try:
            response = None if self._shared is None else await self._find(key, request)
            if started_ns:
                record.add_step("cache look-up", started_ns, time.perf_counter_ns())
            record.cache = "miss" if response is None else "hit"
            if response is None:
                response = await self._call_next(request)
                # What is being answered while answers are dropped is not kept.
                if response.degraded is None and key.startswith(keys.owner):
                    memory.keep(key, response, self._ttl_s, self._max_entry_bytes)
                    self._share(key, request, response)
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
            record.cache = "coalesced"
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
            self._model, self._keys.digest(key), request, max_bytes=self._max_entry_bytes
        )
        if found is None or not key.startswith(self._keys.owner):
            return None
        response = PredictResponse(found.outputs)
        self._memory.keep(
            key,
            response,
            # The clocks of two hosts may differ.
            ttl_s=min(found.left_s, self._ttl_s),
            max_bytes=self._max_entry_bytes,
        )
        return response

    def _share(self, key: MemoryKey, request: PredictRequest, response: PredictResponse) -> None:
        if self._shared is not None:
            self._shared.put(
                self._model,
                self._keys.digest(key),
                request,
                response.outputs,
                ttl_s=self._ttl_s,
                max_bytes=self._max_entry_bytes,
            )
