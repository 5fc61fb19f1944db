"""What stands between a plugin and a prediction, so that a fault of the one is not a fault of the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from foretell.errors import ForetellError, PluginError
from foretell.plugin.answers import AnswerCheck
from foretell.plugin.call import CLOSED, NOTHING, Call
from foretell.plugin.contract import Stage
from foretell.plugin.steps import DONE, Steps, go_on, steps_into
from foretell.prediction import PredictRequest, PredictResponse

if TYPE_CHECKING:
    from foretell.plugin.faults import Faults
    from foretell.prediction import ModelInfo, Predict, RequestRecord

__all__ = ["Concerns", "Isolation"]

Concerns: TypeAlias = "Callable[[RequestRecord], object]"
"""Says whether a plugin goes around a request; a plugin's own, so it may give anything."""

_SAMPLED: Final = 64
"""One call in so many is timed: reading the clock costs as much as a good plugin."""


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
            call: Call | None = request.call
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
                call.response = NOTHING
                raise
            finally:
                call.inside -= 1
                if call.watched:
                    call.resume(paused_ns)
            if call.error is not None:
                call.error = None
            return response

        wrapped: Predict = wrap(tracked, model)
        if not callable(wrapped):
            raise TypeError(f"wrap_predict gave {wrapped!r}; it must give an async function")
        check = AnswerCheck(model.signature)

        async def guarded(request: PredictRequest) -> PredictResponse:
            call = Call()
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
            call.started = CLOSED
            if call.entered_ns:
                self._compare(call, request, timed=timed)
            return response

        return guarded

    def where_it_concerns(self, concerns: Concerns, layer: Predict, call_next: Predict) -> Predict:
        """The plugin's layer for the requests that concern it; the others do not enter it.

        Args:
            concerns: The plugin's `concerns`.
            layer: Its layer.
            call_next: The rest of the chain.
        """

        def asked(request: PredictRequest) -> Awaitable[PredictResponse]:
            try:
                concerned = concerns(request.record)
                if concerned is not True and concerned is not False:
                    raise self._no_answer(concerned)  # noqa: TRY301 - it takes the same way as what the plugin raises
            except BaseException as error:  # noqa: BLE001 - the boundary of a plugin: whatever it raises is judged
                return self._unasked(error, request, call_next)
            return layer(request) if concerned else call_next(request)

        return asked

    async def _drive(self, steps: Steps, waiting: Any, call: Call) -> None:
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
        self, error: BaseException, call: Call, request: PredictRequest, call_next: Predict
    ) -> PredictResponse:
        """After an exception: let it through, or go on without the plugin."""
        started, call.started = call.started, CLOSED
        if error is call.error and isinstance(error, Exception):
            raise error
        self._blame(error, "wrap_predict", request)
        if not started:
            return await call_next(request)
        if (
            call.inside
        ):  # it left its call to a task of its own: that one's outcome counts, there is no second run
            call.watched = True
            call.waiter = asyncio.get_running_loop().create_future()
            await call.waiter
        if call.response is not NOTHING:
            return call.response
        if isinstance(call.error, Exception):
            raise call.error
        raise PluginError(f"plugin {self._plugin!r} gave up the run of the model") from error

    async def _unasked(
        self, error: BaseException, request: PredictRequest, call_next: Predict
    ) -> PredictResponse:
        """After an exception of `concerns`: let it through, or go on without the plugin."""
        self._blame(error, "concerns", request)
        return await call_next(request)

    def _blame(self, error: BaseException, hook: str, request: PredictRequest) -> None:
        """Count an exception as the plugin's fault.

        Raises:
            BaseException: The exception itself, where it is no fault.
            PluginError: The prediction must not go on without the plugin.
        """
        if isinstance(error, (GeneratorExit, KeyboardInterrupt)):
            raise error
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise error
        if self._judges and isinstance(error, ForetellError) and not isinstance(error, PluginError):
            raise error  # no crash, but a verdict
        self._faults.failed(self._plugin, hook, error, request_id=request.record.request_id)
        if not self._open:
            raise PluginError(f"plugin {self._plugin!r} failed: {type(error).__name__}: {error}") from error

    def _no_answer(self, given: object) -> PluginError:
        """What is wrong with something else than True or False."""
        if isinstance(given, CoroutineType):
            given.close()  # nobody waits for it
        return PluginError(
            f"plugin {self._plugin!r}: concerns gave {given!r}; it must give True or False, and at once"
        )

    def _refusal(self, call: Call, request: PredictRequest) -> PluginError:
        """Why the plugin may not call on."""
        if call.started < CLOSED:
            return PluginError(f"plugin {self._plugin!r} called on twice for one request")
        error = PluginError(
            f"plugin {self._plugin!r} called on when it was done with the request; what it does later may ask "
            "host.models"
        )
        # Nobody else hears of it: it happens in a task of the plugin's own.
        self._faults.failed(self._plugin, "wrap_predict", error, request_id=request.record.request_id)
        return error

    def _compare(self, call: Call, request: PredictRequest, *, timed: bool) -> None:
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
