"""Waiting for an answer, but not for ever, and without the cost of a timer where nothing waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from foretell.errors import GivenUpError
from foretell.plugin.steps import DONE, go_on, steps_into

if TYPE_CHECKING:
    from foretell.prediction import Predict, PredictRequest, PredictResponse

__all__ = ["LIMITED_BY", "ask"]

LIMITED_BY: Final = "plugins.fallback.give_up_s, X-Request-Timeout or else limits.deadline_s"
"""What says how long something may take."""


async def ask(predict: Predict, request: PredictRequest, limit_s: float | None, who: str) -> PredictResponse:
    """Make a prediction, and give it up after a while.

    Args:
        predict: What is asked.
        request: What is asked of it.
        limit_s: How long it may take, seconds; None means as long as it likes.
        who: Its name, for the message.

    Raises:
        GivenUpError: It took longer.
    """
    answer: list[PredictResponse] = []
    steps = steps_into(answer, predict(request))
    waiting = next(steps, DONE)
    if waiting is not DONE:
        timer = asyncio.timeout(limit_s)
        try:
            async with timer:
                await go_on(steps, waiting)
        except TimeoutError as error:
            if not timer.expired() or limit_s is None:
                raise
            raise GivenUpError(who, limit_s, LIMITED_BY) from error
    return answer[0]
