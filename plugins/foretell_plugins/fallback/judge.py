"""What the end of a call says of the version that was called: something, nothing, or that it has to be tried."""

from __future__ import annotations

import asyncio
import time
from contextvars import Context
from typing import TYPE_CHECKING, Final

from foretell.engine.trial_inputs import trial_inputs
from foretell.errors import (
    AccessDeniedError,
    DeadlineError,
    NotFoundError,
    NotReadyError,
    QueueFullError,
    QuotaExceededError,
    RequestError,
)
from foretell.parser import Parser
from foretell.plugin import PredictRequest, RequestRecord
from foretell_plugins.fallback.patience import ask

if TYPE_CHECKING:
    from foretell.parser import Tensors
    from foretell.plugin import ModelInfo, Models, PredictResponse
    from foretell.prediction import CacheStatus
    from foretell_plugins.fallback.breaker import Breaker

__all__ = ["CALLERS", "NOT_ASKED", "Judge"]

CALLERS: Final = (RequestError, QuotaExceededError, AccessDeniedError, NotFoundError)
"""What the caller has to mend: no other model would do better, and it says nothing about the one that was asked."""

NOT_ASKED: Final[tuple[CacheStatus | None, ...]] = ("hit", "coalesced")
"""What a cache says where it did not ask the version for this request, so that its end is no news of the version.

Compared and not looked up: a plugin may have left anything there."""

_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (DeadlineError, "timeout"),
    (TimeoutError, "timeout"),
    (QueueFullError, "queue-full"),
    (NotReadyError, "not-ready"),
)
"""What failures are called; every other is an ``error``."""

_TRIAL_S: Final = 10.0
_NO_STORE: Final = ((b"cache-control", b"no-store"),)


class Judge:
    """Tells the breaker of a version how calls of it failed.

    An error may be the fault of what was asked, and a timeout that of a caller who waits only for a moment: of these,
    one caller could send as many as open the breaker for all. So they open it only if the version fails on something
    that is known to be good as well: the example of its signature, what it was warmed up with, or else the first row
    that it answered. That is tried in a task of its own, once at a time, and when so many of them have come that they
    would open it.

    Args:
        info: The version.
        breaker: Its breaker.
        models: The models of the server.
        give_up_s: How long a trial may take, seconds; None for ten.

    Attributes:
        unproven: Whether nothing is known to be good yet.
    """

    def __init__(self, info: ModelInfo, breaker: Breaker, models: Models, *, give_up_s: float | None) -> None:
        self.breaker = breaker
        self.unproven = info.run_us is None and info.signature.example is None
        self._info = info
        self._models = models
        self._limit_s = _TRIAL_S if give_up_s is None else give_up_s
        self._good: Tensors | None = None
        self._trial: asyncio.Task[None] | None = None

    def learn(self, request: PredictRequest) -> None:
        """Keep the first row of something that was answered, if nothing is known to be good yet."""
        if self.unproven:
            rows = slice(1) if self._info.signature.batched else slice(None)
            self._good = {name: tensor[rows].copy() for name, tensor in request.inputs.items()}
            self.unproven = False

    async def failed(
        self, ticket: int, error: Exception, cache: CacheStatus | None, *, hurried: bool = False
    ) -> str:
        """A call failed, and not by its caller's mistake.

        Args:
            ticket: What the breaker gave.
            error: How.
            cache: What a cache did for it.
            hurried: Whether it was its caller who had set how long it may take.

        Returns:
            What the failure is called.
        """
        self.breaker.reason = f"{type(error).__name__}: {error}"
        reason = next((name for kind, name in _REASONS if isinstance(error, kind)), "error")
        hurried = hurried and isinstance(error, DeadlineError)
        breaker = self.breaker
        if (
            cache in NOT_ASKED or reason == "queue-full"
        ):  # it works as fast as it can, and refusing costs it nothing
            breaker.released(ticket)
        elif reason != "error" and not hurried:
            breaker.failed(ticket, given_up=reason == "timeout")
        elif breaker.suspected(ticket):
            if self._trial is not None or (hurried and self.unproven):
                breaker.released(ticket)
            elif self.unproven:
                breaker.confirmed(ticket)
            else:
                self._trial = asyncio.get_running_loop().create_task(self._try(ticket), context=Context())
                await asyncio.sleep(0)  # a run that is short is over then
        return reason

    async def _try(self, ticket: int) -> None:
        breaker, info = self.breaker, self._info
        try:
            await ask(self._predict, self._request(), self._limit_s, f"{info.name} version {info.version}")
        except QueueFullError:
            breaker.released(ticket)
        except Exception:  # noqa: BLE001 - whatever keeps it from answering, it is not what was asked
            breaker.confirmed(ticket)
        except BaseException:
            breaker.released(ticket)
            raise
        else:
            breaker.cleared(ticket)
        finally:
            self._trial = None

    async def _predict(self, request: PredictRequest) -> PredictResponse:
        return await self._models.predict(self._info.name, self._info.version, request)

    def _request(self) -> PredictRequest:
        """Something that is known to be good, asked so that no cache answers it."""
        if self._good is None:
            signature = self._info.signature
            self._good = trial_inputs(signature, Parser(signature, max_rows=1), 1)
            for tensor in self._good.values():
                tensor.flags.writeable = False
        record = RequestRecord("fallback-trial", "fallback", time.perf_counter_ns(), headers=_NO_STORE)
        return PredictRequest(self._good, 1, record)
