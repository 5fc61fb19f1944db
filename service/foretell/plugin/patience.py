"""Waiting for plugins, and for what they stand around, but not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, TypeVar, cast

from foretell.errors import GivenUpError, PluginError
from foretell.plugin.steps import DONE, go_on, steps_into

__all__ = ["give_up_after", "within"]

T = TypeVar("T")

_GRACE_S: Final = 1.0
"""How long what is cancelled may take to tidy up; then it is left where it waits."""


async def within(awaitable: Awaitable[T], limit_s: float, complaint: str) -> T:
    """Wait for something in the task that calls: what it opens may be closed only there.

    Args:
        awaitable: What is waited for.
        limit_s: How long, seconds; then it is cancelled.
        complaint: What to say of it then.

    Raises:
        PluginError: It took longer.
    """
    answer: list[Any] = []
    steps = steps_into(answer, awaitable)
    waiting = next(steps, DONE)
    if waiting is not DONE:
        await _go_on(steps, waiting, limit_s, complaint)
    result: T = answer[0]
    return result


async def give_up_after(limit_s: float | None, awaitable: Awaitable[T], who: str, limited_by: str) -> T:
    """Wait for something, and cancel it after a while.

    Args:
        limit_s: How long, seconds; None means as long as it likes.
        awaitable: What is waited for.
        who: Its name, for the message.
        limited_by: Where the limit comes from, for the message.

    Raises:
        GivenUpError: It took longer.
    """
    timer = asyncio.timeout(limit_s)
    try:
        async with timer:
            return await awaitable
    except TimeoutError as error:
        if not timer.expired() or limit_s is None:
            raise
        raise GivenUpError(who, limit_s, limited_by) from error


async def _go_on(steps: Any, waiting: Any, limit_s: float, complaint: str) -> None:
    loop, task = asyncio.get_running_loop(), cast("asyncio.Task[Any]", asyncio.current_task())
    cancelled = 0

    def cancel() -> None:
        nonlocal cancelled
        cancelled += 1
        task.cancel()

    timers = [loop.call_later(limit_s, cancel), loop.call_later(limit_s + _GRACE_S, cancel)]
    try:
        await go_on(steps, waiting, lambda: cancelled > 1)
    except asyncio.CancelledError as error:
        if cancelled and task.cancelling() == cancelled:  # and nobody else wants it to end
            raise PluginError(complaint) from error
        raise
    finally:
        for timer in timers:
            timer.cancel()
        for _ in range(cancelled):
            task.uncancel()
