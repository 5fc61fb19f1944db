"""The cache as a plugin: around each version, its look-up."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import numpy as np

from foretell.errors import DeadlineError, PluginError
from foretell.plugin import (
    CacheStatus,
    Instrument,
    ModelInfo,
    Plugin,
    PredictRequest,
    PredictResponse,
    RequestRecord,
    Stage,
    others_time,
)
from foretell.signature import BATCH, Signature, Tensor
from foretell.tensors import Array
from foretell_plugins.cache.config import OF_THE_SERVER, CacheConfig
from foretell_plugins.cache.flights import Flights
from foretell_plugins.cache.keys import Keys
from foretell_plugins.cache.memory import Memory, size_of
from foretell_plugins.cache.routes import drop_route
from foretell_plugins.cache.shared import Shared

if TYPE_CHECKING:
    from litestar import Litestar
    from litestar.config.app import AppConfig

    from foretell.plugin import Headers, Host, Predict
    from foretell_plugins.cache.flights import Flight

__all__ = ["Cache"]

_HEADER: Final = b"x-foretell-cache"
_TRIALS: Final = 200


class Cache(Plugin[CacheConfig]):
    """Gives an answer again while it is young, and lets equal questions at the same time be answered by one run.

    Errors and degraded answers are never kept. A model whose run costs less than a look-up is left alone.
    """

    stage = Stage.CACHE

    def __init__(self, config: CacheConfig) -> None:
        super().__init__(config)
        self.memory = Memory(config.max_bytes)
        self.shared: Shared | None = None
        self._flights = Flights()
        self._loads = itertools.count(1)
        self._owners: dict[str, set[int]] = {}
        self._look_up_us = _measure_look_up()
        self._host: Host | None = None

    def configure_model(self, model: str, config: CacheConfig) -> None:
        """Take the configuration of one model."""
        for key in OF_THE_SERVER:
            if getattr(config, key) != getattr(self.config, key):
                raise PluginError(
                    f"{model}: plugins.cache.{key} is for all models: set plugins.config.cache.{key}"
                )
        super().configure_model(model, config)

    def on_start(self, host: Host) -> None:
        """Take the view of the server."""
        self._host = host

    @asynccontextmanager
    async def lifespan(self, app: Litestar) -> AsyncGenerator[None]:
        """Keep the connections to Redis, if there is one to be used."""
        del app
        if self.config.redis_url is None or self._host is None:
            yield
            return
        self.shared = Shared(self.config.redis_url, timeout_s=self.config.redis_timeout_s, log=self._host.log)
        try:
            yield
        finally:
            await self.shared.close()

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the route that drops a model's answers."""
        if self._host is not None:
            app_config.route_handlers.append(drop_route(self._host, self.forget))
        return app_config

    def why_not(self, model: ModelInfo) -> str | None:
        """Why a version is not cached."""
        config = self.config_for(model.name)
        if not config.deterministic:
            return "its settings say that it is not deterministic"
        if model.run_us is not None and model.run_us < self._look_up_us and not config.force:
            return (
                f"a run costs {model.run_us:.1f} µs, a look-up {self._look_up_us:.1f} µs; "
                "plugins.cache.force = true caches it all the same"
            )
        return None

    def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
        """Look up before calling on."""
        config = self.config_for(model.name)
        # What an earlier load of the same version left is not answered again, though it may be the same.
        load = next(self._loads)
        self._owners.setdefault(model.name, set()).add(load)
        keys = Keys(model)
        memory, flights = self.memory, self._flights

        async def predict(request: PredictRequest) -> PredictResponse:
            record = request.record
            if _refuses(record.headers):
                _mark(record, "bypass")
                return await call_next(request)
            traced = record.span_id is not None
            started_ns = time.perf_counter_ns() if traced else 0
            own = keys.of(request)
            key = (load, own)
            while True:
                kept = memory.get(key)
                if kept is not None:
                    _mark(record, "hit")
                    if traced:
                        record.add_step("cache look-up", started_ns, time.perf_counter_ns())
                    return kept
                flight = flights.find(key)
                if flight is None:
                    break
                response = await _wait(flight, request)
                if response is not None:
                    _mark(record, "coalesced")
                    if traced:
                        record.add_step("cache wait", started_ns, time.perf_counter_ns())
                    return response
            flights.start(key)
            outcome: PredictResponse | BaseException | None = None
            shared = None if self.shared is None else self._shared_for(model)
            try:
                kept = None if shared is None else await shared.get(model, keys.digest(own))
                if traced:
                    record.add_step("cache look-up", started_ns, time.perf_counter_ns())
                if kept is not None:
                    outcome = kept
                    _mark(record, "hit")
                    self._keep(key, kept, config)
                    return kept
                _mark(record, "miss")
                outcome = await call_next(request)
                if outcome.degraded is None:
                    outcome = _copied(outcome)
                    self._keep(key, outcome, config)
                    if shared is not None:
                        shared.put(model, keys.digest(own), outcome, config.ttl_s)
            except BaseException as error:
                outcome = error
                raise
            else:
                return outcome
            finally:
                flights.end(key, outcome)

        return predict

    def instruments(self) -> Iterable[Instrument]:
        """What is kept, and what had to go."""
        evictions, size = self.memory.evictions, self.memory.size_bytes
        yield Instrument(
            "foretell_cache_evictions_total",
            "counter",
            "Answers dropped for want of room.",
            [({}, evictions)],
        )
        yield Instrument("foretell_cache_bytes", "gauge", "What the kept answers take, bytes.", [({}, size)])

    async def forget(self, model: str) -> int:
        """Drop every answer of a model, in this process and in Redis; returns how many there were.

        Raises:
            OSError: Redis cannot be reached, so that its answers may still be given.
        """
        count = sum(self.memory.forget(load) for load in self._owners.get(model, ()))
        return count if self.shared is None else count + await self.shared.forget(model)

    def _keep(self, key: tuple[int, bytes], response: PredictResponse, config: CacheConfig) -> None:
        size_bytes = len(key[1]) + size_of(response)
        if size_bytes <= config.max_entry_bytes:
            self.memory.put(key, response, size_bytes, config.ttl_s)

    def _shared_for(self, model: ModelInfo) -> Shared | None:
        worth = model.run_us is None or model.run_us >= self.config.redis_min_run_us
        return self.shared if worth else None


def _copied(response: PredictResponse) -> PredictResponse:
    """An answer in memory of its own: ONNX Runtime's arena is not for keeping."""
    outputs: dict[str, Array] = {}
    for name, array in response.outputs.items():
        outputs[name] = own = array if array.base is None else array.copy()
        own.setflags(write=False)
    return PredictResponse(outputs)


async def _wait(flight: Flight, request: PredictRequest) -> PredictResponse | None:
    """Wait for the answer to an equal question; that is not the cache's own time, but the deadline counts."""
    deadline_ns = request.record.deadline_ns
    patience_s = (deadline_ns - time.perf_counter_ns()) / 1e9 if deadline_ns else None
    timer = asyncio.timeout(patience_s)
    try:
        with others_time(request):
            async with timer:
                return await flight.wait()
    except TimeoutError:
        if not timer.expired():
            raise
        raise DeadlineError("an equal request was not answered before the deadline") from None


def _refuses(headers: Headers) -> bool:
    """Whether the caller wants nothing kept. Source: RFC 9111, section 5.2.1.5."""
    for name, value in headers:  # noqa: SIM110 - `any` costs four times as much, on every request
        if name == b"cache-control" and b"no-store" in value.lower():
            return True
    return False


def _mark(record: RequestRecord, status: CacheStatus) -> None:
    record.cache = status
    record.add_header(_HEADER, status.encode())


def _measure_look_up() -> float:
    """What a look-up costs here, µs: the least of some, since everything else only adds to it."""
    signature = Signature((Tensor("X", "float32", (BATCH, 16)),), (Tensor("Y", "float32", (BATCH,)),))
    keys, memory = Keys(ModelInfo("", 0, "", "", signature)), Memory(1024)
    least = float("inf")
    for _ in range(_TRIALS):
        record = RequestRecord("", "native", 0)
        request = PredictRequest({"X": np.zeros((1, 16), dtype=np.float32)}, 1, record)
        began = time.perf_counter_ns()
        memory.get((1, keys.of(request)))
        _mark(record, "hit")
        least = min(least, time.perf_counter_ns() - began)
    return least / 1000
