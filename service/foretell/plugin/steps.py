"""Going through something awaitable step by step: most predictions never wait, and then need no timer."""

from __future__ import annotations

import types
from collections.abc import Callable, Generator
from types import CoroutineType
from typing import Any, Final, Protocol, TypeAlias, cast

__all__ = ["DONE", "Steps", "go_on", "steps_into"]

Steps: TypeAlias = Generator[Any, Any, None]
"""Something that has begun. ``next(steps, DONE)`` takes its first step, and gives what it waits for, or `DONE`."""

DONE: Final = object()
"""What `next` gives where nothing is waited for any more."""


@types.coroutine
def _into(answer: list[Any], awaitable: Any) -> Steps:
    # A coroutine's `__await__` would only make one more object.
    steps: Any = awaitable
    if type(awaitable) is not CoroutineType:
        steps = awaitable.__await__()
    answer.append((yield from steps))


def _never() -> bool:
    return False


@types.coroutine
def _go_on(steps: Steps, waiting: Any, given_up: Callable[[], bool] = _never) -> Steps:
    while True:
        try:
            try:
                sent = yield waiting
            except BaseException as error:
                if given_up():
                    _close(steps)
                    raise
                waiting = steps.throw(error)
            else:
                waiting = steps.send(sent)
        except StopIteration:
            return


class _GoOn(Protocol):
    def __call__(
        self, steps: Steps, waiting: Any, given_up: Callable[[], bool] = ..., /
    ) -> CoroutineType[Any, Any, None]: ...


def _close(steps: Steps) -> None:
    try:
        steps.close()
    except RuntimeError:  # it ignores being closed: it is left where it waits, and nothing wakes it
        return


steps_into = cast("Callable[[list[Any], Any], Steps]", _into)
"""The steps of something awaitable, whose outcome they put into a list.

They give nothing themselves: what a generator gives comes as an exception, which costs more than all the rest.
"""

go_on = cast("_GoOn", _go_on)
"""Go on with what waits, until it is done; to be awaited.

Takes the steps, what they wait for, and what says whether they were given up, if they may be: then they are closed,
whether they like that or not, and the exception that came is raised.
"""
