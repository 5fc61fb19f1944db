"""Waiting for an answer, but not for ever, and without the cost of a timer where nothing waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from foretell.plugin.patience import give_up_after
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
        await give_up_after(limit_s, go_on(steps, waiting), who, LIMITED_BY)
    return answer[0]
