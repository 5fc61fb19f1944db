"""What stands around one version: its breaker, and the chain that answers where it cannot."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from foretell.errors import GivenUpError, NotReadyError
from foretell.plugin import PredictResponse, Shortcut
from foretell_plugins.fallback.judge import CALLERS, NOT_ASKED
from foretell_plugins.fallback.patience import LIMITED_BY, ask
from foretell_plugins.fallback.targets import ModelTarget

if TYPE_CHECKING:
    from foretell.plugin import ModelInfo, Models, Predict, PredictRequest, RequestRecord
    from foretell.prediction import CacheStatus
    from foretell_plugins.fallback.judge import Judge
    from foretell_plugins.fallback.static import StaticAnswer

__all__ = ["HEADER", "Guard"]

HEADER: Final = b"x-foretell-degraded"

_HALF: Final = 0.5
_MOST: Final = 0.9


class Guard(Shortcut[int]):
    """Goes around the predictions of one version.

    Args:
        info: The version.
        call_next: The rest of its chain.
        judge: Says what its failures mean, and has its breaker.
        models: The models of the server.
        targets: What is asked in its place, in this order.
        value: What answers last; None if nothing does.
        give_up_s: How long each of them may take, seconds; None for a part of what is left of the deadline.
    """

    limited_by = LIMITED_BY

    def __init__(
        self,
        info: ModelInfo,
        call_next: Predict,
        *,
        judge: Judge,
        models: Models,
        targets: Sequence[ModelTarget],
        value: StaticAnswer | None,
        give_up_s: float | None,
    ) -> None:
        self.info = info
        self.breaker = judge.breaker
        self.targets = tuple(targets)
        self.value = value
        self._judge = judge
        self._call_next = call_next
        self._models = models
        self._give_up_s = give_up_s
        self._name = _name(info)

    async def __call__(self, request: PredictRequest) -> PredictResponse:
        """Go around a prediction while the breaker is not closed: ask whether it may be a probe."""
        ticket = self.breaker.admit()
        if not ticket:
            return await self._fall_back(request, "breaker", None)
        limit_s = self.limit_s(request)
        try:
            response = await ask(self._call_next, request, limit_s, self._name)
        except BaseException as error:
            if not self.failed(request, ticket, error) or not isinstance(error, Exception):
                raise
            failure = error
        else:
            self.end(request, ticket, response)
            return response
        return await self.recover(request, ticket, failure)

    def begin(self, request: PredictRequest) -> int | None:
        """Ask the breaker; it is nearly always closed."""
        del request
        return self.breaker.ticket or None

    def end(self, request: PredictRequest, begun: int, response: PredictResponse) -> None:
        """Tell the breaker that the version has answered, if it was the version."""
        del response
        cache = request.record.cache
        if cache is not None and cache in NOT_ASKED:
            self.breaker.released(begun)
            return
        self.breaker.succeeded(begun)
        if self._judge.unproven:
            self._judge.learn(request)

    def failed(self, request: PredictRequest, begun: int, error: BaseException) -> bool:
        """Whatever keeps the version from answering, something else may; but for the caller's own mistakes."""
        del request
        if isinstance(error, Exception) and not isinstance(error, CALLERS):
            return True
        self.breaker.released(begun)
        return False

    async def recover(self, request: PredictRequest, begun: int, error: Exception) -> PredictResponse:
        """Tell the breaker, and ask what is to answer in its place."""
        record = request.record
        limit_s = error.limit_s if isinstance(error, GivenUpError) else None
        hurried = _is_hurried(record, limit_s, self._give_up_s)
        reason = await self._judge.failed(begun, error, record.cache, hurried=hurried)
        _note(
            record,
            record.decoded_ns or time.perf_counter_ns(),
            f"{self.info.name}/{self.info.version}",
            reason,
        )
        return await self._fall_back(request, reason, error)

    def limit_s(self, request: PredictRequest) -> float | None:
        """How long the version may take: what comes after it must still find time before the deadline."""
        return self._share_s(request.record, 0, self._give_up_s)

    async def _fall_back(
        self, request: PredictRequest, reason: str, failure: Exception | None
    ) -> PredictResponse:
        record = request.record
        for place, target in enumerate(self.targets, start=1):
            started_ns = time.perf_counter_ns()
            response, name, outcome = await self._attempt(target, request, place, reason)
            _note(record, started_ns, name, outcome)
            if response is not None:
                record.add_header(HEADER, reason.encode())
                return response
        if self.value is not None:
            started_ns = time.perf_counter_ns()
            outputs = self.value.outputs(request)
            _note(record, started_ns, "value", "ok")
            record.add_header(HEADER, reason.encode())
            return PredictResponse(outputs, reason)
        if failure is not None:
            raise failure
        raise NotReadyError(
            f"{self._name} is not asked for now, because too many of its last predictions failed, and "
            f"nothing in its fallback chain answers; see GET /v1/models/{self.info.name}",
            retry_after_s=1,
        )

    async def _attempt(
        self, target: ModelTarget, request: PredictRequest, place: int, reason: str
    ) -> tuple[PredictResponse | None, str, str]:
        """Ask one target.

        Returns:
            Its answer, if it gave one; what was asked; and what came of it.
        """
        found = target.find()
        if found is None:
            return None, str(target), "absent"
        if found.fit is None:
            return None, found.name, "unlike"
        give_up_s = target.give_up_s or self._give_up_s
        limit_s = self._share_s(request.record, place, give_up_s)
        if limit_s is not None and limit_s <= 0:
            return None, found.name, "no-time"
        judge, record = found.judge, request.record
        breaker = judge.breaker
        ticket = breaker.admit()
        if not ticket:
            return None, found.name, "breaker"
        info = found.info

        async def predict(asked: PredictRequest) -> PredictResponse:
            return await self._models.predict(info.name, info.version, asked)

        before = _take_cache(record)  # what a cache did for the version before says nothing of this one
        try:
            asked = found.translate(request)
            response = await ask(predict, asked, limit_s, _name(info))
            outputs = found.translate_back(request, response.outputs)
        except CALLERS:  # the next one may be less strict
            breaker.released(ticket)
            return None, found.name, "refused"
        except Exception as error:  # noqa: BLE001 - the next one is asked
            hurried = _is_hurried(record, limit_s, give_up_s)
            return None, found.name, await judge.failed(ticket, error, record.cache, hurried=hurried)
        except BaseException:
            breaker.released(ticket)
            raise
        finally:
            cache = _take_cache(record)
            record.cache = cache or before
        if cache in NOT_ASKED:
            breaker.released(ticket)
        else:
            breaker.succeeded(ticket)
            judge.learn(asked)
        return PredictResponse(outputs, reason, info), found.name, "ok"

    def _share_s(self, record: RequestRecord, place: int, give_up_s: float | None) -> float | None:
        """How long an attempt may take: what comes after it must still find time before the deadline.

        Args:
            record: The request's record.
            place: 0 for the version itself, then the targets.
            give_up_s: What the team set, seconds.
        """
        if not record.deadline_ns:
            return give_up_s
        left_s = (record.deadline_ns - time.perf_counter_ns()) / 1e9
        if place < len(self.targets):
            left_s *= _HALF
        elif self.value is not None:
            left_s *= _MOST
        return left_s if give_up_s is None else min(left_s, give_up_s)


def _take_cache(record: RequestRecord) -> CacheStatus | None:
    cache, record.cache = record.cache, None
    return cache


def _is_hurried(record: RequestRecord, limit_s: float | None, give_up_s: float | None) -> bool:
    """Whether the caller has set how long an attempt could take, and neither the model's team nor its deadline.

    Args:
        record: The request's record.
        limit_s: How long it could take, seconds.
        give_up_s: What the team set, seconds.
    """
    if give_up_s is not None and limit_s is not None and limit_s >= give_up_s:
        return False
    return record.sets_deadline


def _name(info: ModelInfo) -> str:
    return f"{info.name} version {info.version}"


def _note(record: RequestRecord, started_ns: int, target: str, outcome: str) -> None:
    record.add_step("fallback", started_ns, time.perf_counter_ns(), {"target": target, "outcome": outcome})
