"""What stands around one version: it notes what the version answered, and asks another the same afterwards."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Final

import msgspec

from foretell.plugin import PredictRequest, PredictResponse, RequestRecord
from foretell_plugins.shadow.comparison import Comparison, compare

if TYPE_CHECKING:
    from foretell.plugin import ModelInfo, Models, Predict
    from foretell.tensors import Array
    from foretell_plugins.canary.counterpart import Counterpart
    from foretell_plugins.shadow.config import ShadowConfig
    from foretell_plugins.shadow.report import Report
    from foretell_plugins.shadow.tallies import Tallies, Tally

__all__ = ["Mirror"]

_UNCACHED: Final = ((b"cache-control", b"no-store"),)
"""A mirrored request is to be run, and must not take the place of callers' answers in a cache."""

_PAUSE_S: Final = 0.005
"""How long the first of several mirrored requests waits, seconds: who asks again right after an answer, as callers
in a loop do, would otherwise find the event loop busy each time."""

_GRACE_S: Final = 0.1
"""How long a run that was given up has to come back at the end, seconds: it does between two of its operators, and a
process that ends with a thread inside of ONNX Runtime may abort."""

_LARGE: Final = 64 * 1024
"""Answers of more elements are compared in a thread."""


class _Pending(msgspec.Struct, frozen=True):
    """A request that was answered and is to be asked again.

    Attributes:
        inputs: What to ask.
        caller: What was asked before.
        outputs: What its caller got.
        took_s: How long that took, seconds.
        target: What to ask.
        tally: Where it is counted.
        size_bytes: How much memory it takes.
    """

    inputs: dict[str, Array]
    caller: PredictRequest
    outputs: dict[str, Array]
    took_s: float
    target: ModelInfo
    tally: Tally
    size_bytes: int

    def again(self, started_ns: int) -> PredictRequest:
        """The same to ask of the target, with a record of its own."""
        caller, target = self.caller, self.target
        record = RequestRecord(
            caller.record.request_id,
            caller.record.protocol,
            started_ns,
            caller.record.route,
            _UNCACHED,
            path=caller.record.path,
            model=target.name,
            version=target.version,
            rows=caller.rows,
        )
        return PredictRequest(self.inputs, caller.rows, record, caller.outputs)


class Mirror:
    """Goes around the predictions of one version.

    A mirrored request waits in a queue until its caller has had its answer, and then takes its turn: no more than
    `max_running` are asked at once. It has a record, a deadline and a context of its own, so that nothing of it shows
    in the caller's.

    Args:
        info: The version.
        call_next: The rest of its chain.
        config: What is set for its model.
        counterpart: What is asked the same.
        models: The models of the server.
        tallies: Where outcomes are counted.
        report: What tells the log.
        chance: A random source that gives numbers from 0 up to 1.
    """

    def __init__(
        self,
        info: ModelInfo,
        call_next: Predict,
        *,
        config: ShadowConfig,
        counterpart: Counterpart,
        models: Models,
        tallies: Tallies,
        report: Report,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.info = info
        self.counterpart = counterpart
        self._call_next = call_next
        self._config = config
        self._models = models
        self._tallies = tallies
        self._report = report
        self._chance = chance
        signature = info.signature
        self._decisive = config.outputs or (signature.prediction or signature.outputs[0].name,)
        self._pending: deque[_Pending] = deque()
        self._pending_bytes = 0
        self._workers: set[asyncio.Task[None]] = set()
        self._working = 0
        self._closed = False

    @property
    def pending(self) -> int:
        """How many mirrored requests wait."""
        return len(self._pending)

    async def predict(self, request: PredictRequest) -> PredictResponse:
        """Call on, and leave the request to be mirrored."""
        if self._chance() >= self._config.fraction:
            return await self._call_next(request)
        started_ns = time.perf_counter_ns()
        response = await self._call_next(request)
        took_s = (time.perf_counter_ns() - started_ns) / 1e9
        if response.degraded is None and request.record.cache not in {"hit", "coalesced"}:
            self._mirror(request, response, took_s)
        return response

    async def close(self) -> None:
        """Give up what waits and what is being asked."""
        self._closed = True
        for each in self._pending:
            each.tally.dropped += 1
        self._pending.clear()
        workers = list(self._workers)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        if workers:
            await asyncio.sleep(_GRACE_S)

    def _mirror(self, request: PredictRequest, response: PredictResponse, took_s: float) -> None:
        """Let a request that was answered wait for its turn, if there is room."""
        target = self.counterpart.find()
        if target is None or self.counterpart.is_own:
            return
        config = self._config
        tally = self._tallies.of(self.info, target)
        size_bytes = sum(_bytes_of(array) for array in (*request.inputs.values(), *response.outputs.values()))
        if (
            self._closed
            or len(self._pending) >= config.max_pending
            or self._pending_bytes + size_bytes > config.max_pending_bytes
        ):
            tally.dropped += 1
            return
        self._pending_bytes += size_bytes
        inputs, outputs = _kept(request.inputs), _kept(response.outputs)
        self._pending.append(_Pending(inputs, request, outputs, took_s, target, tally, size_bytes))
        if self._working < config.max_running:
            self._working += 1
            # In an empty context: what the caller's request set there, its span for instance, is not this one's.
            worker = asyncio.get_running_loop().create_task(self._work(), context=Context())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def _work(self) -> None:
        """Ask what waits, one after the other, until nothing does."""
        try:
            await asyncio.sleep(_PAUSE_S)
            while self._pending:
                await self._try(self._pending.popleft())
                await asyncio.sleep(0)  # callers get their turn in between, also where nothing had to wait
        finally:
            self._working -= 1

    async def _try(self, each: _Pending) -> None:
        try:
            await self._ask(each)
        except Exception as error:  # noqa: BLE001 - whatever comes of it, no caller is told
            each.tally.failed += 1
            reason = f"{type(error).__name__}: {error}"
            self._report.failed(each.target, reason, each.caller.record.request_id)
        finally:
            self._pending_bytes -= each.size_bytes

    async def _ask(self, each: _Pending) -> None:
        target, limit_s = each.target, self._config.deadline_s
        started_ns = time.perf_counter_ns()
        request = each.again(started_ns)
        # Not as the record's deadline: this impatience is no failure that the target's breaker should count.
        timer = asyncio.timeout(limit_s)
        try:
            async with timer:
                response = await self._models.predict(target.name, target.version, request)
        except TimeoutError as error:
            if not timer.expired():
                raise
            raise TimeoutError(
                f"it did not answer within {limit_s:g} s (plugins.shadow.deadline_s)"
            ) from error
        took_s = (time.perf_counter_ns() - started_ns) / 1e9
        request_id = request.record.request_id
        if response.degraded is not None:
            each.tally.failed += 1
            reason = f"{response.served_by} answered in its place: {response.degraded}"
            self._report.failed(target, reason, request_id)
            return
        comparison = await self._compare(each, response)
        each.tally.add(comparison, caller_s=each.took_s, shadow_s=took_s)
        if comparison.agreed < comparison.rows:
            self._report.differed(target, comparison, request_id)

    async def _compare(self, each: _Pending, response: PredictResponse) -> Comparison:
        config = self._config
        # A caller who wants only other outputs has them compared.
        decisive = [name for name in self._decisive if name in each.outputs] or list(each.outputs)

        def compared() -> Comparison:
            return compare(
                each.outputs,
                response.outputs,
                each.caller.rows,
                decisive=decisive,
                rtol=config.rtol,
                atol=config.atol,
            )

        if sum(array.size for array in each.outputs.values()) <= _LARGE:
            return compared()
        return await asyncio.to_thread(compared)


def _kept(tensors: dict[str, Array]) -> dict[str, Array]:
    """Tensors that nobody changes while they wait, and that hold no memory of ONNX Runtime's."""
    return {name: array.copy() if array.flags.writeable else array for name, array in tensors.items()}


def _bytes_of(array: Array) -> int:
    """Roughly what a tensor takes, bytes; of texts, what their letters take."""
    return int(array.nbytes) + (sum(map(len, array.ravel().tolist())) if array.dtype.hasobject else 0)
