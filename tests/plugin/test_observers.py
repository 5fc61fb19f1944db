"""Records are handed on in batches after the answers, at once to those who want that, and faults harm nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from foretell.plugin.observers import Observer, Observers
from foretell.prediction import RequestRecord
from tests.plugin.chains import make_faults


def record(model: str = "m") -> RequestRecord:
    return RequestRecord("r", "native", 0, model=model)


class Seen:
    """Keeps the batches that it is handed."""

    def __init__(self) -> None:
        self.batches: list[list[RequestRecord]] = []
        self.arrived = asyncio.Event()

    def __call__(self, records: Sequence[RequestRecord]) -> None:
        self.batches.append(list(records))
        self.arrived.set()


def observer(observe: Any, **more: Any) -> Observer:
    return Observer("o", observe, 1e9, **more)


def test_records_are_handed_on_together_a_little_later() -> None:
    async def scenario() -> None:
        seen, observers = Seen(), Observers(make_faults())
        observers.take([observer(seen)])
        records = [record() for _ in range(5)]
        for each in records:
            observers.add(each)
        assert seen.batches == []
        await asyncio.wait_for(seen.arrived.wait(), 10)
        assert seen.batches == [records]
        seen.arrived.clear()
        observers.add(records[0])
        await asyncio.wait_for(seen.arrived.wait(), 10)
        assert seen.batches[1:] == [[records[0]]]

    asyncio.run(scenario())


def test_a_flush_hands_on_what_there_is_and_only_once() -> None:
    async def scenario() -> None:
        seen, observers = Seen(), Observers(make_faults())
        observers.take([observer(seen)])
        observers.add(record())
        observers.flush()
        observers.flush()
        assert [len(batch) for batch in seen.batches] == [1]
        await asyncio.sleep(0.05)
        assert [len(batch) for batch in seen.batches] == [1]

    asyncio.run(scenario())


def test_a_flood_does_not_wait_for_the_clock() -> None:
    """Nor does it hold up the event loop for long: a thousand records with traces took 8 ms."""

    async def scenario() -> None:
        seen, observers = Seen(), Observers(make_faults())
        observers.take([observer(seen)])
        for _ in range(80):
            observers.add(record())
        assert [len(batch) for batch in seen.batches] == [32, 32]

    asyncio.run(scenario())


def test_who_wants_each_record_at_once_gets_it_alone() -> None:
    async def scenario() -> None:
        at_once, later, observers = Seen(), Seen(), Observers(make_faults())
        observers.take([observer(at_once, at_once=True), observer(later)])
        first = record()
        observers.add(first)
        assert at_once.batches == [[first]]
        assert later.batches == []
        observers.flush()
        assert later.batches == [[first]]
        assert at_once.batches == [[first]]

    asyncio.run(scenario())


@pytest.mark.parametrize("at_once", [True, False])
def test_models_that_opted_out_are_not_seen(at_once: bool) -> None:
    async def scenario() -> None:
        seen, observers = Seen(), Observers(make_faults())
        opted_out: set[str] = set()
        observers.take([observer(seen, opted_out=opted_out, at_once=at_once)])
        opted_out.add("quiet")
        for model in ("quiet", "m", "quiet"):
            observers.add(record(model))
        observers.flush()
        assert [each.model for batch in seen.batches for each in batch] == ["m"]

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit, asyncio.CancelledError], ids=str)
def test_one_that_fails_is_counted_and_the_others_go_on(error: type[BaseException]) -> None:
    def fail(_: Any) -> None:
        raise error

    async def scenario() -> None:
        seen, faults = Seen(), make_faults()
        observers = Observers(faults)
        observers.take([Observer("bad", fail, 1e9), observer(seen)])
        observers.add(record())
        observers.flush()
        assert [len(batch) for batch in seen.batches] == [1]
        assert faults.errors == {"bad": 1}

    asyncio.run(scenario())


def test_a_slow_one_is_told_off() -> None:
    events: list[dict[str, Any]] = []

    def dawdle(records: Sequence[RequestRecord]) -> None:
        for _ in records:
            sum(range(20_000))

    async def scenario() -> None:
        observers = Observers(make_faults(events))
        observers.take([Observer("slow", dawdle, 1.0)])
        for _ in range(16):
            observers.add(record())
        observers.flush()

    asyncio.run(scenario())
    assert [(event["event"], event["plugin"], event["hook"]) for event in events] == [
        ("plugin over its budget", "slow", "observe")
    ]


def test_one_that_takes_records_away_takes_them_from_nobody() -> None:
    def eat(records: Any) -> None:
        while records:
            records.pop()

    async def scenario() -> None:
        seen, faults = Seen(), make_faults()
        observers = Observers(faults)
        observers.take([Observer("eats", eat, 1e9), observer(seen)])
        for _ in range(3):
            observers.add(record())
        observers.flush()
        assert [len(batch) for batch in seen.batches] == [3]
        assert faults.errors == {"eats": 1}

    asyncio.run(scenario())
