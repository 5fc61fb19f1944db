"""Waiting for an answer, but not for ever, and without the cost of a timer where nothing waits."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from foretell.errors import DeadlineError

if TYPE_CHECKING:
    from foretell.prediction import PredictRequest, PredictResponse

__all__ = ["Begin", "ask", "go_on"]

Begin = Callable[["PredictRequest"], Coroutine[Any, Any, "PredictResponse"]]
"""A prediction that can be gone through step by step, as all can that foretell hands to plugins."""


async def ask(predict: Begin, request: PredictRequest, limit_s: float | None, who: str) -> PredictResponse:
    """Make a prediction, and give it up after a while.

    Args:
        predict: What is asked.
        request: What is asked of it.
        limit_s: How long it may take, seconds; None means as long as it likes.
        who: Its name, for the message.

    Raises:
        DeadlineError: It took longer.
    """
    steps = predict(request)
    try:
        waiting = steps.send(None)
    except StopIteration as done:
        response: PredictResponse = done.value
        return response
    return await go_on(steps, waiting, limit_s, who)


async def go_on(
    steps: Coroutine[Any, Any, PredictResponse], waiting: Any, limit_s: float | None, who: str
) -> PredictResponse:
    """Go on with a prediction that has begun and waits, and give it up after a while; see `ask`.

    Args:
        steps: The prediction.
        waiting: What it waits for.
        limit_s: How long it may still take, seconds; None means as long as it likes.
        who: Its name, for the message.

    Raises:
        DeadlineError: It took longer.
    """
    timer = asyncio.timeout(limit_s)
    try:
        async with timer:
            return await _resume(steps, waiting)
    except TimeoutError as error:
        if not timer.expired() or limit_s is None:
            raise
        raise DeadlineError(
            f"{who} was given up after {max(limit_s, 0):.3g} s (plugins.fallback.give_up_s, limits.deadline_s)"
        ) from error


@types.coroutine
def _resume(
    steps: Coroutine[Any, Any, PredictResponse], waiting: Any
) -> Generator[Any, Any, PredictResponse]:
    while True:
        try:
            try:
                sent = yield waiting
            except BaseException as error:  # noqa: BLE001 - it is handed on
                waiting = steps.throw(error)
            else:
                waiting = steps.send(sent)
        except StopIteration as done:
            response: PredictResponse = done.value
            return response
