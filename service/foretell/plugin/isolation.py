"""What stands between a plugin and a prediction, so that a fault of the one is not a fault of the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from foretell.errors import ForetellError, PluginError
from foretell.plugin.answers import AnswerCheck
from foretell.plugin.contract import Stage
from foretell.plugin.steps import DONE, Steps, go_on, steps_into
from foretell.prediction import PredictRequest, PredictResponse

if TYPE_CHECKING:
    from foretell.plugin.faults import Faults
    from foretell.prediction import ModelInfo, Predict

__all__ = ["Isolation", "others_time"]

_SAMPLED: Final = 64
"""One call in so many is timed: reading the clock costs as much as a good plugin."""

_CLOSED: Final = 1 << 60
"""More calls on than any plugin may make: what it leaves running when it is done must not call on any more."""

_NOTHING: Final = PredictResponse({})
"""What a call on gave that gave nothing."""


class _Call(msgspec.Struct):
    """One request on its way through one plugin.

    Attributes:
        started: How often the plugin called on; `_CLOSED` when it is done.
        inside: How many calls of others it waits for now; its own time stands still meanwhile.
        watched: Whether anybody needs to know when its own time stands still.
        response: What the last call on gave; `_NOTHING` if it gave nothing.
        error: What the last call on raised.
        timer: Bounds the plugin's own time, once it waits.
        own_s: What is left of its own time when that stands still, seconds.
        entered_ns: When the plugin was called, if this call is timed, or when it first waited; else 0.
        inner_ns: How much of the time since then was not the plugin's own, ns.
        waiter: Resolved when no call is going on any more, if somebody waits for that.
    """

    started: int = 0
    inside: int = 0
    watched: bool = False
    response: PredictResponse = _NOTHING
    error: BaseException | None = None
    timer: asyncio.Timeout | None = None
    own_s: float = 0.0
    entered_ns: int = 0
    inner_ns: int = 0
    waiter: asyncio.Future[None] | None = None

    def pause(self) -> int:
        """From now on the time is not the plugin's own; returns when that was, if this call is timed."""
        if self.timer is not None and not self.inside and not self.timer.expired():
            when = self.timer.when()
            if when is not None:
                self.own_s = max(0.0, when - asyncio.get_running_loop().time())
                self.timer.reschedule(None)
        return time.perf_counter_ns() if self.entered_ns else 0

    def resume(self, paused_ns: int) -> None:
        """From now on the time is the plugin's own again, if nothing else is inside."""
        if self.entered_ns:  # what began before anybody watched is what was first waited for
            self.inner_ns += time.perf_counter_ns() - (paused_ns or self.entered_ns)
        if not self.inside:
            self.start_timer()
            if self.waiter is not None and not self.waiter.done():
                self.waiter.set_result(None)

    def start_timer(self) -> None:
        """Let the plugin's own time run, if it is bounded."""
        if self.timer is not None and not self.timer.expired():
            self.timer.reschedule(asyncio.get_running_loop().time() + self.own_s)


@contextmanager
def others_time(request: PredictRequest) -> Generator[None]:
    """Within this block, what a plugin waits for is not its own time: another request's run, another model.

    Calling on needs no such block, nor does asking `Models`.

    Args:
        request: The request that the plugin was given.
    """
    call = cast("_Call | None", request.call)
    if call is None:
        yield
        return
    paused_ns = call.pause()
    call.inside += 1
    try:
        yield
    finally:
        call.inside -= 1
        call.resume(paused_ns)


class Isolation:
    """Wraps what a plugin made of a chain.

    The plugin may call on once (at stage `FALLBACK`: as often as it likes). What it raises itself, as opposed to
    what it lets through, is counted and logged; then the prediction goes on without it, or ends, as its stage says.
    When it is done, whatever it has left running can call on no more. The time that it takes itself is bounded once it
    waits, and compared with its budget.

    Args:
        plugin: The plugin's name.
        stage: Its stage.
        faults: Where faults go.
        timeout_s: How long it may take, apart from what it calls on, seconds.
        budget_us: How long it should take at most, apart from what it calls on, µs.
    """

    def __init__(
        self, plugin: str, stage: Stage, faults: Faults, *, timeout_s: float, budget_us: float
    ) -> None:
        self._plugin = plugin
        self._open = stage.fails_open
        self._judges = stage not in {Stage.OBSERVE, Stage.SHADOW}
        self._calls_allowed = 1_000_000 if stage is Stage.FALLBACK else 1
        self._faults = faults
        self._timeout_s = timeout_s
        self._budget_us = budget_us
        self._untimed = 0
        self._own_us: float | None = None

    def between(self, wrap: Any, call_next: Predict, model: ModelInfo) -> Predict:
        """The plugin's layer for one version.

        Args:
            wrap: The plugin's `wrap_predict`.
            call_next: The rest of the chain.
            model: The version.

        Raises:
            BaseException: Whatever `wrap` raises.
            TypeError: It gives nothing that can be called.
        """

        async def tracked(request: PredictRequest) -> PredictResponse:
            call: _Call | None = request.call
            if call is None:
                raise PluginError(
                    f"plugin {self._plugin!r} called on with a request of its own making: make it with "
                    "request.replace(inputs=…)"
                )
            if call.started >= self._calls_allowed:
                raise self._refusal(call, request)
            call.started += 1
            paused_ns = call.pause() if call.watched else 0
            call.inside += 1
            try:
                call.response = response = await call_next(request)
            except BaseException as error:
                call.error = error
                call.response = _NOTHING
                raise
            finally:
                call.inside -= 1
                if call.watched:
                    call.resume(paused_ns)
            call.error = None
            return response

        wrapped: Predict = wrap(tracked, model)
        if not callable(wrapped):
            raise TypeError(f"wrap_predict gave {wrapped!r}; it must give an async function")
        check = AnswerCheck(model.signature)

        async def guarded(request: PredictRequest) -> PredictResponse:
            call = _Call()
            timed = self._untimed == 0
            if timed:
                self._untimed = _SAMPLED
                call.watched = True
                call.entered_ns = time.perf_counter_ns()
            self._untimed -= 1
            try:
                asked = PredictRequest(request.inputs, request.rows, request.record, request.outputs, call)
                answer: list[Any] = []
                steps = steps_into(answer, wrapped(asked))
                waiting = next(steps, DONE)
                if waiting is not DONE:
                    await self._drive(steps, waiting, call)
                response: PredictResponse = answer[0]
                if response is not call.response:
                    complaint = check.complaint(response, request)
                    if complaint is not None:
                        raise PluginError(  # noqa: TRY301 - it takes the same way as what the plugin raises
                            f"plugin {self._plugin!r} {complaint}"
                        )
            except BaseException as error:  # noqa: BLE001 - the boundary of a plugin: whatever it raises is judged
                return await self._judge(error, call, request, call_next)
            call.started = _CLOSED
            if call.entered_ns:
                self._compare(call, request, timed=timed)
            return response

        return guarded

    async def _drive(self, steps: Steps, waiting: Any, call: _Call) -> None:
        """Go on with a plugin that waits, for as long as it may."""
        call.own_s = self._timeout_s
        call.watched = True
        call.entered_ns = call.entered_ns or time.perf_counter_ns()
        timer = asyncio.timeout(None)
        try:
            async with timer:
                call.timer = timer
                if not call.inside:
                    call.start_timer()
                await go_on(steps, waiting, timer.expired)
        except TimeoutError as error:
            if timer.expired():
                raise PluginError(
                    f"plugin {self._plugin!r} did not return within {self._timeout_s:g} s"
                ) from error
            raise
        finally:
            call.timer = None

    async def _judge(
        self, error: BaseException, call: _Call, request: PredictRequest, call_next: Predict
    ) -> PredictResponse:
        """After an exception: let it through, or go on without the plugin."""
        started, call.started = call.started, _CLOSED
        if error is call.error and isinstance(error, Exception):
            raise error
        task = asyncio.current_task()
        if isinstance(error, (GeneratorExit, KeyboardInterrupt)) or (
            isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling()
        ):
            raise error
        if self._judges and isinstance(error, ForetellError) and not isinstance(error, PluginError):
            raise error  # no crash, but a verdict
        self._faults.failed(self._plugin, "wrap_predict", error, request_id=request.record.request_id)
        if not self._open:
            raise PluginError(f"plugin {self._plugin!r} failed: {type(error).__name__}: {error}") from error
        if not started:
            return await call_next(request)
        if (
            call.inside
        ):  # it left its call to a task of its own: that one's outcome counts, there is no second run
            call.watched = True
            call.waiter = asyncio.get_running_loop().create_future()
            await call.waiter
        if call.response is not _NOTHING:
            return call.response
        if isinstance(call.error, Exception):
            raise call.error
        raise PluginError(f"plugin {self._plugin!r} gave up the run of the model") from error

    def _refusal(self, call: _Call, request: PredictRequest) -> PluginError:
        """Why the plugin may not call on."""
        if call.started < _CLOSED:
            return PluginError(f"plugin {self._plugin!r} called on twice for one request")
        error = PluginError(
            f"plugin {self._plugin!r} called on when it was done with the request; what it does later may ask "
            "host.models"
        )
        # Nobody else hears of it: it happens in a task of the plugin's own.
        self._faults.failed(self._plugin, "wrap_predict", error, request_id=request.record.request_id)
        return error

    def _compare(self, call: _Call, request: PredictRequest, *, timed: bool) -> None:
        """Compare the plugin's own time with what it may take, and with its budget, smoothed over the timed calls."""
        own_us = (time.perf_counter_ns() - call.entered_ns - call.inner_ns) / 1000
        if own_us > self._timeout_s * 1e6:
            self._untimed = 0  # the next one is timed too
            error = PluginError(
                f"plugin {self._plugin!r} took {own_us / 1e6:.3g} s of its own for one request; timeout_s is "
                f"{self._timeout_s:g}. While it computes, every other request waits: use asyncio.to_thread"
            )
            self._faults.failed(self._plugin, "wrap_predict", error, request_id=request.record.request_id)
        elif timed:
            known = self._own_us
            self._own_us = own_us if known is None else known + (own_us - known) / 8
            if self._own_us > self._budget_us:
                self._faults.slow(
                    self._plugin, "wrap_predict", own_us=self._own_us, budget_us=self._budget_us
                )
