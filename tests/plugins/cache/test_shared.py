"""Answers are shared through a real Redis, whose loss costs a miss and never an error or a stall."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
import structlog

from foretell.errors import MissingExtraError, PluginError
from foretell.plugin import ModelInfo
from foretell_plugins.cache.shared import Shared
from foretell_plugins.cache.values import FORMAT
from tests.plugin.chains import ask, info
from tests.plugins.cache.conftest import RedisServer

KEY, OTHER = b"k" * 16, b"o" * 16
DEAR = info(run_us=1e6)


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def answer(value: float = 1.0, rows: int = 1) -> dict[str, Any]:
    return {"Y": np.array([value] * rows, dtype=np.float32)}


def put(
    shared: Shared,
    outputs: dict[str, Any] | None = None,
    key: bytes = KEY,
    *,
    model: ModelInfo = DEAR,
    ttl_s: float = 60,
    max_bytes: int = 1024**2,
    rows: int = 1,
) -> None:
    """Keep an answer to a question with one row, or more."""
    question = ask(*[[1.0, 2.0]] * rows)
    shared.put(model, key, question, outputs or answer(), ttl_s=ttl_s, max_bytes=max_bytes)


async def the_name(shared: Shared) -> bytes:
    """The name of the only value in Redis."""
    (name,) = [name async for name in shared._redis.scan_iter()]
    assert isinstance(name, bytes)
    return name


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


async def get(shared: Shared, key: bytes = KEY, model: ModelInfo = DEAR, max_bytes: int = 1024**2) -> Any:
    found = await shared.get(model, key, ask([1, 2]), max_bytes=max_bytes)
    return None if found is None else found.outputs["Y"].tolist()


def test_what_one_process_keeps_another_finds(redis_server: RedisServer) -> None:
    async def keep(shared: Shared) -> None:
        assert await get(shared) is None
        put(shared, answer(7))
        await written(shared)

    async def find(shared: Shared) -> None:
        assert await get(shared) == [7]
        assert await get(shared, OTHER) is None

    assert with_shared(redis_server.url, keep) == []
    assert with_shared(redis_server.url, find) == []


def test_nothing_is_kept_for_ever(redis_server: RedisServer) -> None:
    async def scenario(shared: Shared) -> None:
        put(shared, ttl_s=12.5)
        await written(shared)
        name = await the_name(shared)
        assert 0 < await shared._redis.pttl(name) <= 12_500

    with_shared(redis_server.url, scenario)


@pytest.mark.parametrize(
    "other", [info("n"), info(version=2), info(fingerprint="f2")], ids=["model", "version", "files"]
)
def test_another_version_does_not_find_it(redis_server: RedisServer, other: ModelInfo) -> None:
    async def scenario(shared: Shared) -> None:
        put(shared)
        await written(shared)
        assert await get(shared, model=other) is None

    with_shared(redis_server.url, scenario)


def test_what_others_left_there_is_a_miss(redis_server: RedisServer) -> None:
    async def scenario(shared: Shared) -> None:
        put(shared)
        await written(shared)
        name = await the_name(shared)
        await shared._redis.set(name, b"rubbish")
        assert await get(shared) is None
        assert shared.failures == 1
        await shared._redis.delete(name)
        await shared._redis.lpush(name, "a list")
        assert await get(shared) is None
        assert shared.failures == 2

    with_shared(redis_server.url, scenario)


def test_the_answers_of_one_model_can_be_dropped_and_no_others(redis_server: RedisServer) -> None:
    models = [info("a"), info("a*"), info("ab"), info("a", 2)]

    async def scenario(shared: Shared) -> None:
        for model in models:
            for number in range(600):
                await shared._redis.set(f"foretell:cache:{FORMAT}:{model.name}:{model.version}:{number}", b"")
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
        put(shared)
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
        put(shared)
        await written(shared)
        redis_server.stop()
        for _ in range(3):
            assert await get(shared) is None
        redis_server.start()
        clock.now += 5.1
        assert await get(shared) is None  # it forgot, but it answers
        put(shared, answer(9))
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
        put(shared)
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
            put(shared, answer(number), key)
        await written(shared)
        for _ in range(5):
            shared._timeout_s = 0.0005  # many are given up in the middle
            await asyncio.gather(*(get(shared, key) for key in keys))
            shared._timeout_s = 5.0
            shared._outage._until_s = 0
            assert await asyncio.gather(*(get(shared, key) for key in keys)) == [
                [number] for number in range(32)
            ]

    with_shared(redis_server.url, scenario)


def test_too_many_waiting_answers_are_dropped(redis_server: RedisServer) -> None:
    async def scenario(shared: Shared) -> None:
        for number in range(300):
            put(shared, key=number.to_bytes(16))
        assert shared.dropped == 300 - 256
        await written(shared)
        assert await shared._redis.dbsize() == 256

    with_shared(redis_server.url, scenario)


def test_without_the_extra_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'foretell\[redis\]'"):
        Shared("redis://localhost", timeout_s=1, log=structlog.get_logger())


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://localhost?db=0&no_such_option=1", "no_such_option"),
        ("redis://localhost?port=x", "invalid literal"),
    ],
    ids=["unknown option", "wrong option"],
)
def test_a_url_that_redis_cannot_use_is_refused(url: str, reason: str) -> None:
    with pytest.raises(PluginError, match=rf"redis_url cannot be used: .*{reason}"):
        Shared(url, timeout_s=1, log=structlog.get_logger())


# ------------------------------------------------------------------ how long an answer lives


def test_an_answer_is_found_for_the_rest_of_its_life(redis_server: RedisServer) -> None:
    clock = Clock()

    async def scenario(shared: Shared) -> None:
        put(shared, ttl_s=60)
        clock.now += 20  # it waits for its turn
        await written(shared)
        assert 0 < await shared._redis.pttl(await the_name(shared)) <= 40_000
        clock.now += 30
        found = await shared.get(DEAR, KEY, ask([1, 2]), max_bytes=1000)
        assert found is not None
        assert found.left_s == pytest.approx(10)
        clock.now += 10
        assert await get(shared) is None
        assert shared.failures == 0

    with_shared(redis_server.url, scenario, today_s=clock)


def test_an_answer_that_grew_too_old_while_it_waited_is_not_written(redis_server: RedisServer) -> None:
    clock = Clock()

    async def scenario(shared: Shared) -> None:
        put(shared, ttl_s=5)
        clock.now += 5
        await written(shared)
        assert await shared._redis.dbsize() == 0

    with_shared(redis_server.url, scenario, today_s=clock)


# ------------------------------------------------------------------ what is too big


def test_an_answer_that_is_too_big_is_neither_written_nor_read(redis_server: RedisServer) -> None:
    async def scenario(shared: Shared) -> None:
        many = answer(rows=1000)
        put(shared, many, rows=1000, max_bytes=4010)  # its numbers fit, and it does not
        put(shared, many, rows=1000, max_bytes=100)
        await written(shared)
        assert await shared._redis.dbsize() == 0
        put(shared)
        await written(shared)
        size = await shared._redis.strlen(await the_name(shared))
        assert await get(shared, max_bytes=size) == [1]
        assert await get(shared, max_bytes=size - 1) is None
        assert shared.failures == 1

    with_shared(redis_server.url, scenario)


def test_no_more_is_read_than_an_answer_may_take(redis_server: RedisServer) -> None:
    async def scenario(shared: Shared) -> None:
        put(shared)
        await written(shared)
        await shared._redis.set(await the_name(shared), bytes(50_000_000))
        before = await shared._redis.info("stats")
        assert await get(shared, max_bytes=1000) is None
        after = await shared._redis.info("stats")
        assert after["total_net_output_bytes"] - before["total_net_output_bytes"] < 100_000

    with_shared(redis_server.url, scenario)


def test_answers_that_wait_are_bounded_in_bytes(redis_server: RedisServer) -> None:
    async def scenario(shared: Shared) -> None:
        rows, kept = 250_000, 16  # 1 MB each, of 16 MiB
        for number in range(kept + 4):
            put(shared, answer(rows=rows), number.to_bytes(16), rows=rows)
        assert shared.dropped == 4
        await written(shared)
        assert await shared._redis.dbsize() == kept
        put(shared, answer(rows=rows), b"l" * 16, rows=rows)
        await written(shared)
        assert await shared._redis.dbsize() == kept + 1

    with_shared(redis_server.url, scenario)


# ------------------------------------------------------------------ what cannot be the answer


def test_what_cannot_be_the_answer_is_neither_written_nor_taken(redis_server: RedisServer) -> None:
    async def scenario(shared: Shared) -> None:
        put(shared, answer(rows=2))
        await written(shared)
        assert await shared._redis.dbsize() == 0
        assert shared.dropped == 1
        put(shared, answer(rows=2), rows=2)
        await written(shared)
        assert await get(shared) is None  # asks with one row
        assert shared.failures == 1

    with_shared(redis_server.url, scenario)


def test_the_answer_to_another_question_is_not_taken(redis_server: RedisServer) -> None:
    async def scenario(shared: Shared) -> None:
        put(shared)
        await written(shared)
        name = await the_name(shared)
        await shared._redis.rename(name, name.replace(KEY.hex().encode(), OTHER.hex().encode()))
        assert await get(shared, OTHER) is None
        assert shared.failures == 1
        assert shared.available

    with_shared(redis_server.url, scenario)


# ------------------------------------------------------------------ dropping


def test_what_waits_to_be_written_is_dropped_too(redis_server: RedisServer) -> None:
    async def scenario(shared: Shared) -> None:
        for number in range(100):
            put(shared, key=number.to_bytes(16))
            put(shared, key=number.to_bytes(16), model=info("n"))
        for _ in range(3):  # some of them are on their way
            await asyncio.sleep(0)
        await shared.forget("m")
        await written(shared)
        assert await shared._redis.dbsize() == 100
        put(shared)
        await written(shared)
        assert await shared._redis.dbsize() == 101

    with_shared(redis_server.url, scenario)


# ------------------------------------------------------------------ the start, and what is told


def test_at_the_start_it_is_told_if_it_is_not_there(redis_server: RedisServer) -> None:
    async def greet(shared: Shared) -> None:
        await shared.greet()

    assert with_shared(redis_server.url, greet) == []
    redis_server.stop()
    (event,) = with_shared(redis_server.url, greet)
    assert event["event"] == "the shared cache is lost; models are asked instead"
    assert "Connection" in event["reason"]


def test_the_reason_of_a_time_limit_is_its_length(redis_server: RedisServer) -> None:
    async def greet(shared: Shared) -> None:
        redis_server.pause()
        await shared.greet()
        assert not shared.up
        with pytest.raises(OSError, match=r"no answer within 0\.02 s"):
            await shared.forget("m")
        redis_server.resume()

    (event,) = with_shared(redis_server.url, greet, timeout_s=0.02)
    assert event["reason"] == "no answer within 0.02 s"
