"""Answers are shared through a real Redis, whose loss costs a miss and never an error or a stall."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
import structlog

from foretell.errors import MissingExtraError
from foretell.plugin import ModelInfo, PredictResponse
from foretell_plugins.cache.shared import Shared
from tests.plugin.chains import info
from tests.plugins.cache.conftest import RedisServer

KEY, OTHER = b"k" * 16, b"o" * 16
DEAR = info(run_us=1e6)


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def answer(value: float = 1.0) -> PredictResponse:
    return PredictResponse({"Y": np.array([value], dtype=np.float32)})


def with_shared(
    url: str, scenario: Callable[[Shared], Awaitable[None]], *, timeout_s: float = 5.0, **more: Any
) -> list[dict[str, Any]]:
    """Do something with a shared cache, and return what it logged."""
    events: list[dict[str, Any]] = []

    def keep(_: Any, __: str, event: Any) -> Any:
        events.append(dict(event))
        raise structlog.DropEvent

    async def whole() -> None:
        log = structlog.wrap_logger(structlog.PrintLogger(), processors=[keep])
        shared = Shared(url, timeout_s=timeout_s, log=log, **more)
        try:
            await scenario(shared)
        finally:
            await shared.close()

    asyncio.run(whole())
    return events


async def written(shared: Shared) -> None:
    """Wait until everything is written."""
    if shared._writer is not None:
        await shared._writer


def is_left_alone(shared: Shared) -> bool:
    """Whether Redis is not asked at the moment."""
    return not shared.available


async def get(shared: Shared, key: bytes = KEY, model: ModelInfo = DEAR) -> Any:
    found = await shared.get(model, key)
    return None if found is None else found.outputs["Y"].tolist()


def test_what_one_process_keeps_another_finds(redis_server: RedisServer) -> None:
    async def keep(shared: Shared) -> None:
        assert await get(shared) is None
        shared.put(DEAR, KEY, answer(7), 60)
        await written(shared)

    async def find(shared: Shared) -> None:
        assert await get(shared) == [7]
        assert await get(shared, OTHER) is None

    assert with_shared(redis_server.url, keep) == []
    assert with_shared(redis_server.url, find) == []


def test_nothing_is_kept_for_ever(redis_server: RedisServer) -> None:
    async def scenario(shared: Shared) -> None:
        shared.put(DEAR, KEY, answer(), 12.5)
        await written(shared)
        (name,) = [name async for name in shared._redis.scan_iter()]
        assert 0 < await shared._redis.pttl(name) <= 12_500

    with_shared(redis_server.url, scenario)


@pytest.mark.parametrize(
    "other", [info("n"), info(version=2), info(fingerprint="f2")], ids=["model", "version", "files"]
)
def test_another_version_does_not_find_it(redis_server: RedisServer, other: ModelInfo) -> None:
    async def scenario(shared: Shared) -> None:
        shared.put(DEAR, KEY, answer(), 60)
        await written(shared)
        assert await get(shared, model=other) is None

    with_shared(redis_server.url, scenario)


def test_what_others_left_there_is_a_miss(redis_server: RedisServer) -> None:
    async def scenario(shared: Shared) -> None:
        shared.put(DEAR, KEY, answer(), 60)
        await written(shared)
        (name,) = [name async for name in shared._redis.scan_iter()]
        await shared._redis.set(name, b"rubbish")
        assert await get(shared) is None
        await shared._redis.delete(name)
        await shared._redis.lpush(name, "a list")
        assert await get(shared) is None

    with_shared(redis_server.url, scenario)


def test_the_answers_of_one_model_can_be_dropped_and_no_others(redis_server: RedisServer) -> None:
    models = [info("a"), info("a*"), info("ab"), info("a", 2)]

    async def scenario(shared: Shared) -> None:
        for model in models:
            for number in range(600):
                await shared._redis.set(f"foretell:cache:1:{model.name}:{model.version}:{number}", b"")
        assert await shared.forget("a*") == 600
        assert await shared.forget("a") == 1200
        assert await shared.forget("a") == 0
        assert await shared._redis.dbsize() == 600

    with_shared(redis_server.url, scenario)


def test_a_redis_that_is_gone_costs_misses_and_is_left_alone_after_three(redis_server: RedisServer) -> None:
    redis_server.stop()
    clock = Clock()

    async def scenario(shared: Shared) -> None:
        for _ in range(3):
            assert not is_left_alone(shared)
            assert await get(shared) is None
        assert is_left_alone(shared)
        assert shared.failures == 3
        assert await get(shared) is None
        shared.put(DEAR, KEY, answer(), 60)
        assert shared.failures == 3  # it is not asked
        clock.now += 5.1
        assert not is_left_alone(shared)
        assert await get(shared) is None
        assert shared.failures == 4
        assert is_left_alone(shared)
        with pytest.raises(OSError, match="Redis cannot be reached"):
            await shared.forget("m")

    events = with_shared(redis_server.url, scenario, clock_s=clock)
    assert [event["event"] for event in events] == ["the shared cache is lost; models are asked instead"]


def test_a_redis_that_comes_back_is_used_again(redis_server: RedisServer) -> None:
    clock = Clock()

    async def scenario(shared: Shared) -> None:
        shared.put(DEAR, KEY, answer(), 60)
        await written(shared)
        redis_server.stop()
        for _ in range(3):
            assert await get(shared) is None
        redis_server.start()
        clock.now += 5.1
        assert await get(shared) is None  # it forgot, but it answers
        shared.put(DEAR, KEY, answer(9), 60)
        await written(shared)
        assert await get(shared) == [9]

    events = with_shared(redis_server.url, scenario, clock_s=clock)
    assert [event["event"] for event in events] == [
        "the shared cache is lost; models are asked instead",
        "the shared cache is back",
    ]


def test_a_redis_that_hangs_costs_no_more_than_its_time(redis_server: RedisServer) -> None:
    clock = Clock()

    async def scenario(shared: Shared) -> None:
        shared.put(DEAR, KEY, answer(), 60)
        await written(shared)
        assert await get(shared) == [1]
        redis_server.pause()
        for _ in range(3):
            assert await get(shared) is None
        assert is_left_alone(shared)
        redis_server.resume()
        clock.now += 5.1
        assert await get(shared) == [1]  # and not an answer to an earlier question

    with_shared(redis_server.url, scenario, timeout_s=0.05, clock_s=clock)


def test_answers_never_cross_when_calls_are_given_up(redis_server: RedisServer) -> None:
    """A connection whose answer was given up must not give it to the next who asks."""

    async def scenario(shared: Shared) -> None:
        keys = [bytes([number]) * 16 for number in range(32)]
        for number, key in enumerate(keys):
            shared.put(DEAR, key, answer(number), 60)
        await written(shared)
        for _ in range(5):
            shared._timeout_s = 0.0005  # many are given up in the middle
            await asyncio.gather(*(get(shared, key) for key in keys))
            shared._timeout_s = 5.0
            shared._closed_until_s = 0
            assert await asyncio.gather(*(get(shared, key) for key in keys)) == [
                [number] for number in range(32)
            ]

    with_shared(redis_server.url, scenario)


def test_too_many_waiting_answers_are_dropped(redis_server: RedisServer) -> None:
    async def scenario(shared: Shared) -> None:
        for number in range(300):
            shared.put(DEAR, number.to_bytes(16), answer(), 60)
        assert shared.dropped == 300 - 256
        await written(shared)
        assert await shared._redis.dbsize() == 256

    with_shared(redis_server.url, scenario)


def test_without_the_extra_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'foretell\[redis\]'"):
        Shared("redis://localhost", timeout_s=1, log=structlog.get_logger())
