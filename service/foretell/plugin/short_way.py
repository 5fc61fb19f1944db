"""The layer of a plugin that has a shortcut: nothing waits there that does not have to."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from foretell.plugin.isolation import SAMPLED
from foretell.plugin.patience import give_up_after
from foretell.plugin.shortcut import Shortcut
from foretell.prediction import PredictResponse

if TYPE_CHECKING:
    from foretell.plugin.blame import Blame
    from foretell.plugin.isolation import Isolation
    from foretell.prediction import ModelInfo, PredictRequest, Respond

__all__ = ["Opened", "ShortWay"]

_FOR_EVER_S: Final = 1e7
"""More than that is no limit: event loops cannot count so far."""


class Opened(msgspec.Struct):
    """A request that a plugin has begun with, and not ended.

    Attributes:
        way: The plugin's layer.
        begun: What its `end` or `failed` is to be given.
        watch: What measures its own time; None if nothing does.
    """

    way: ShortWay
    begun: Any
    watch: Stopwatch | None


class ShortWay:
    """Goes around the predictions of one version by a plugin's shortcut.

    As on the long way, what the plugin raises itself is counted, and the prediction goes on without it or ends, as its
    stage says. That the model runs once, and that nothing calls on later, needs no looking after here.

    Args:
        shortcut: The plugin's.
        isolation: What stands around its long way.
        blame: Judges what it does.
        model: The version.
        call_next: The rest of the chain.

    Raises:
        TypeError: One of the plain functions is none, or one that must be there is not.
    """

    def __init__(
        self,
        shortcut: Shortcut[Any],
        isolation: Isolation,
        blame: Blame,
        model: ModelInfo,
        call_next: Respond,
    ) -> None:
        if "begin" not in {
            name for base in type(shortcut).__mro__ if base is not Shortcut for name in vars(base)
        }:
            raise TypeError("the shortcut has no begin, which says how a request goes on")
        for name in ("begin", "end", "failed", "limit_s"):
            if iscoroutinefunction(getattr(shortcut, name)):
                raise TypeError(f"{name} of the shortcut is async; what has to wait goes the long way")
        self._shortcut = shortcut
        self._begin = shortcut.begin
        # What was made for None may give anything.
        self._end: Callable[[PredictRequest, Any, PredictResponse], object] = shortcut.end
        self._isolation = isolation
        self._long_way = isolation.around(shortcut)
        self._blame = blame
        self._model = model
        self._call_next = call_next
        self._untimed = 0

    def respond(self, request: PredictRequest) -> PredictResponse | Awaitable[PredictResponse]:
        """Answer a request."""
        opened = self.open(request)
        if opened is None:
            return self._call_next(request)
        if type(opened) is not Opened:
            return cast("PredictResponse | Awaitable[PredictResponse]", opened)
        try:
            response = self._call_next(request)
        except BaseException as error:  # noqa: BLE001 - it is raised again, unless the plugin answers in its place
            return self.fail(request, opened, error)
        if type(response) is not PredictResponse:
            return self.wait(request, opened, cast("Awaitable[PredictResponse]", response))
        return self.end(request, opened, response)

    def open(self, request: PredictRequest) -> Opened | PredictResponse | Awaitable[PredictResponse] | None:
        """Let the plugin begin with a request.

        Returns:
            What `end`, `wait` or `fail` is to be given when the rest of the chain has answered, or not; an answer, or what is
            to be awaited for it; or None if the request goes on without the plugin.
        """
        watch = None
        if not self._untimed:
            self._untimed = SAMPLED
            watch = Stopwatch()
        self._untimed -= 1
        try:
            begun = self._begin(request)
            if type(begun) is PredictResponse:
                return self._given(begun, request, watch)
            if type(begun) is CoroutineType:
                raise self._blame.no_answer("begin", cast("object", begun), "what `end` is to be given")  # noqa: TRY301 - as above
        except BaseException as error:  # noqa: BLE001 - the boundary of a plugin: whatever it raises is judged
            self._blame.judge(error, "begin", request)
            return None
        if begun is None:
            return self._long_way(request)
        if watch is not None:
            watch.pause()
        return Opened(self, begun, watch)

    def end(self, request: PredictRequest, opened: Opened, response: PredictResponse) -> PredictResponse:
        """Tell the plugin of the answer of the rest of the chain, and give that on."""
        watch = opened.watch
        if watch is not None:
            watch.go_on()
        try:
            if (given := self._end(request, opened.begun, response)) is not None:
                raise self._blame.no_answer("end", given, "nothing")  # noqa: TRY301 - as what the plugin raises
        except BaseException as error:  # noqa: BLE001 - the boundary of a plugin: whatever it raises is judged
            self._blame.judge(error, "end", request)
        if watch is not None:
            watch.pause()
            self._compare(watch, request)
        return response

    def _given(
        self, response: PredictResponse, request: PredictRequest, watch: Stopwatch | None
    ) -> PredictResponse:
        """What the plugin answers by itself.

        Raises:
            PluginError: It is no answer of the version.
        """
        complaint = self._isolation.complaint(response, request)
        if complaint is not None:
            raise complaint
        if watch is not None:
            watch.pause()
            self._compare(watch, request)
        return response

    async def wait(
        self, request: PredictRequest, opened: Opened, answer: Awaitable[PredictResponse]
    ) -> PredictResponse:
        """Wait for the rest of the chain, for as long as the plugin says."""
        try:
            response = await self._within(request, answer)
        except BaseException as error:  # noqa: BLE001 - it is raised again, unless the plugin answers in its place
            return await self.fail(request, opened, error)
        return self.end(request, opened, response)

    async def _within(self, request: PredictRequest, answer: Awaitable[PredictResponse]) -> PredictResponse:
        refusal = None
        try:
            limit_s = self._limit_s(request)
        except Exception as error:  # noqa: BLE001 - it is raised when those further in, who have begun, are done
            limit_s, refusal = None, error
        if limit_s is None:
            response = await answer
            if refusal is not None:
                raise refusal
            return response
        who = f"{self._model.name} version {self._model.version}"
        return await give_up_after(limit_s, answer, who, self._shortcut.limited_by)

    def fail(
        self, request: PredictRequest, opened: Opened, error: BaseException
    ) -> Awaitable[PredictResponse]:
        """What the plugin gives in place of a failure of the rest of the chain.

        Raises:
            BaseException: The failure, if it gives nothing.
        """
        begun, recovers = opened.begun, False
        try:
            recovers = self._shortcut.failed(request, begun, error)
            if recovers is not True and recovers is not False:
                raise self._blame.no_answer("failed", recovers)  # noqa: TRY301 - as what the plugin raises
        except BaseException as fault:  # noqa: BLE001 - the boundary of a plugin: whatever it raises is judged
            recovers = False
            if isinstance(error, Exception):
                self._blame.judge(fault, "failed", request)
            else:  # the caller is gone, and there is nobody to refuse
                self._blame.count(fault, "failed", request)
        if recovers and isinstance(error, Exception):
            recover = self._shortcut.recover
            return self._isolation.mended(request, lambda asked: recover(asked, begun, error), error)
        raise error

    def _compare(self, watch: Stopwatch, request: PredictRequest) -> None:
        if not self._blame.compare(watch.own_ns / 1000, "wrap_predict", request, sampled=True):
            self._untimed = 0  # the next one is timed too

    def _limit_s(self, request: PredictRequest) -> float | None:
        try:
            limit_s = self._shortcut.limit_s(request)
            if limit_s is None:
                return None
            if not limit_s >= 0:
                raise ValueError(f"limit_s gave {limit_s}, which is no number of seconds")  # noqa: TRY301 - as what the plugin raises
            return None if limit_s > _FOR_EVER_S else float(limit_s)
        except BaseException as error:  # noqa: BLE001 - the boundary of a plugin: whatever it raises is judged
            self._blame.judge(error, "limit_s", request)
            return None


class Stopwatch:
    """The plugin's own time for one request.

    Attributes:
        own_ns: How long it ran, ns.
    """

    __slots__ = ("_went_on_ns", "own_ns")

    def __init__(self) -> None:
        self.own_ns = 0
        self._went_on_ns = time.perf_counter_ns()

    def pause(self) -> None:
        """What comes now is not the plugin's."""
        self.own_ns += time.perf_counter_ns() - self._went_on_ns

    def go_on(self) -> None:
        """What comes now is the plugin's."""
        self._went_on_ns = time.perf_counter_ns()
