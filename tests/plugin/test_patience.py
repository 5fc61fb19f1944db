"""What never ends is cancelled, and left where it waits if it ignores that; what ends in time is not disturbed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from foretell.errors import PluginError
from foretell.plugin.patience import within

tidied: list[str] = []


async def wait_for_ever() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        tidied.append("yes")


async def tidy_up_slowly() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.01)
        tidied.append("yes")


async def ignore_everything() -> None:
    for _ in range(3):  # not for ever: the event loop is gone when it is thrown away
        with contextlib.suppress(BaseException):
            await asyncio.Event().wait()


async def wait_with_a_timeout_of_its_own() -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(60):
            await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("endless", "tidies"),
    [
        (wait_for_ever, True),
        (tidy_up_slowly, True),
        (ignore_everything, False),
        (wait_with_a_timeout_of_its_own, False),
    ],
)
def test_what_does_not_end_is_given_up(endless: Callable[[], Awaitable[None]], tidies: bool) -> None:
    tidied.clear()

    async def scenario() -> None:
        with pytest.raises(PluginError, match="it is late"):
            await within(endless(), 0.02, "it is late")
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0)  # the task goes on as if nothing had been

    asyncio.run(scenario())
    assert bool(tidied) is tidies


def test_what_ends_in_time_gives_what_it_gives() -> None:
    async def at_once() -> int:
        return 1

    async def soon() -> int:
        await asyncio.sleep(0.001)
        return 2

    async def scenario() -> None:
        assert await within(at_once(), 60, "late") == 1
        assert await within(soon(), 60, "late") == 2

    asyncio.run(scenario())


def test_a_timeout_of_its_own_is_its_own() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise TimeoutError("the database")

    async def scenario() -> None:
        with pytest.raises(TimeoutError, match="the database"):
            await within(fail(), 60, "late")

    asyncio.run(scenario())


def test_who_is_told_to_end_ends() -> None:
    tidied.clear()

    async def scenario() -> None:
        task = asyncio.ensure_future(within(wait_for_ever(), 60, "late"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert tidied == ["yes"]
