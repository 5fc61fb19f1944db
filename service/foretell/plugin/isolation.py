"""What stands between a plugin and a prediction, so that a fault of the one is not a fault of the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, cast

from foretell.errors import PluginError
from foretell.plugin.answers import AnswerCheck
from foretell.plugin.call import CLOSED, NOTHING, Call
from foretell.plugin.contract import Stage
from foretell.plugin.steps import DONE, Steps, go_on, steps_into
from foretell.prediction import PredictRequest, PredictResponse, answered

if TYPE_CHECKING:
    from foretell.plugin.blame import Blame
    from foretell.prediction import ModelInfo, Predict, Respond

__all__ = ["SAMPLED", "Isolation"]

SAMPLED: Final = 64
"""One call in so many is timed: reading the clock costs as much as a good plugin."""


class Isolation:
    """Stands around what a plugin makes of the chain of one version.

    The plugin may call on once (at stage `FALLBACK`: as often as it likes). What it raises itself, as opposed to
    what it lets through, is counted and logged; then the prediction goes on without it, or ends, as its stage says.
    When it is done, whatever it has left running can call on no more. The time that it takes itself is bounded once it
    waits, and compared with its budget.

    Args:
        stage: The plugin's stage.
        blame: Judges what it does.
        model: The version.
        call_next: The rest of the chain.
    """

    def __init__(self, stage: Stage, blame: Blame, model: ModelInfo, call_next: Respond) -> None:
        self._calls_allowed = 1_000_000 if stage is Stage.FALLBACK else 1
        self._blame = blame
        self._plugin = blame.plugin
        self._timeout_s = blame.timeout_s
        self._call_next = call_next
        self._check = AnswerCheck(model.signature)
        self._untimed = 0

    async def call_on(self, request: PredictRequest) -> PredictResponse:
        """The rest of the chain, as it is handed to the plugin."""
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
            response = self._call_next(request)
            if type(response) is not PredictResponse:
                response = await cast("Awaitable[PredictResponse]", response)
            call.response = response
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

    def around(self, wrapped: Predict) -> Respond:
        """The plugin's layer.

        Args:
            wrapped: What the plugin made of `call_on`.
        """
        return lambda request: self._guard(request, wrapped, Call(), timed=self._is_sampled())

    def complaint(self, response: object, request: PredictRequest) -> PluginError | None:
        """What is wrong with an answer that the plugin gave by itself; None if nothing is."""
        complaint = self._check.complaint(response, request)
        return None if complaint is None else PluginError(f"plugin {self._plugin!r} {complaint}")

    async def mended(
        self,
        request: PredictRequest,
        recover: Callable[[PredictRequest], Awaitable[PredictResponse]],
        failure: Exception,
    ) -> PredictResponse:
        """What the plugin gives in place of a failure of what it stands around.

        Raises:
            Exception: The failure, or what the plugin decides to raise.
        """
        call = Call(started=1, error=failure)
        return await self._guard(request, recover, call, timed=False)

    def _is_sampled(self) -> bool:
        """Whether this call is timed."""
        if self._untimed:
            self._untimed -= 1
            return False
        self._untimed = SAMPLED - 1
        return True

    async def _guard(
        self, request: PredictRequest, wrapped: Predict, call: Call, *, timed: bool
    ) -> PredictResponse:
        if timed:
            call.watched = True
            call.entered_ns = time.perf_counter_ns()
        try:
            asked = PredictRequest(request.inputs, request.rows, request.record, request.outputs, call)
            answer: list[Any] = []
            steps = steps_into(answer, wrapped(asked))
            waiting = next(steps, DONE)
            if waiting is not DONE:
                await self._drive(steps, waiting, call)
            response: PredictResponse = answer[0]
            if response is not call.response:
                complaint = self.complaint(response, request)
                if complaint is not None:
                    raise complaint  # noqa: TRY301 - it takes the same way as what the plugin raises
        except BaseException as error:  # noqa: BLE001 - the boundary of a plugin: whatever it raises is judged
            return await self._judge(error, call, request)
        call.started = CLOSED
        if call.entered_ns:
            own_us = (time.perf_counter_ns() - call.entered_ns - call.inner_ns) / 1000
            if not self._blame.compare(own_us, "wrap_predict", request, sampled=timed):
                self._untimed = 0  # the next one is timed too
        return response

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

    async def _judge(self, error: BaseException, call: Call, request: PredictRequest) -> PredictResponse:
        """After an exception: let it through, or go on without the plugin."""
        started, call.started = call.started, CLOSED
        if error is call.error and isinstance(error, Exception):
            raise error
        self._blame.judge(error, "wrap_predict", request)
        if not started:
            return await answered(self._call_next(request))
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

    def _refusal(self, call: Call, request: PredictRequest) -> PluginError:
        """Why the plugin may not call on."""
        if call.started < CLOSED:
            return PluginError(f"plugin {self._plugin!r} called on twice for one request")
        error = PluginError(
            f"plugin {self._plugin!r} called on when it was done with the request; what it does later may ask "
            "host.models"
        )
        # Nobody else hears of it: it happens in a task of the plugin's own.
        self._blame.count(error, "wrap_predict", request)
        return error
