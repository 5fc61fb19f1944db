"""The threads that run models: no more than there may be, in fair turns, whatever one model does."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from foretell.engine.lane import LaneRules
from foretell.engine.pool import Pool
from foretell.engine.warm_up import Cost
from foretell.errors import DeadlineError
from tests.engine.lanes import Graph, Options, ask, make_lane, until
from tests.servers import ROOT


@pytest.mark.parametrize("threads", [1, 3])
def test_no_more_runs_go_on_at_once_than_there_are_threads(threads: int) -> None:
    pool, graph = Pool(threads), Graph(takes_s=0.002)
    lanes = [make_lane(graph, pool, model=name) for name in "abc"]

    async def scenario() -> None:
        await asyncio.gather(*(lane.run(ask(number)) for number in range(10) for lane in lanes))

    asyncio.run(scenario())
    assert graph.most <= threads
    assert pool._alive <= threads
    pool.close()


def test_a_flood_on_one_model_does_not_starve_another() -> None:
    pool, order = Pool(1), list[str]()

    class Noted(Graph):
        def __init__(self, name: str) -> None:
            super().__init__(takes_s=0.002)
            self.name = name

        def new_options(self) -> Options:
            order.append(self.name)
            return super().new_options()

    flooded, quiet = make_lane(Noted("flooded"), pool, model="a"), make_lane(Noted("quiet"), pool, model="b")

    async def scenario() -> None:
        flood = [asyncio.ensure_future(flooded.run(ask(number))) for number in range(60)]
        await until(lambda: len(order) > 5)
        for number in range(5):
            await quiet.run(ask(number))
        assert len(order) < 40  # they had their turns long before the flood was over
        await asyncio.gather(*flood)

    asyncio.run(scenario())
    pool.close()


def test_versions_of_one_model_share_its_turns() -> None:
    pool = Pool(1)
    one, other = make_lane(Graph(), pool, model="a"), make_lane(Graph(), pool, model="a")
    assert one.share is other.share
    assert one.share is not make_lane(Graph(), pool, model="b").share


def test_a_model_that_hangs_does_not_keep_another_waiting() -> None:
    pool, endless = Pool(1), Graph(held=True)
    hanging = make_lane(endless, pool, model="a", rules=LaneRules(runs=1), cost=Cost(10, 0))
    sound = make_lane(Graph(), pool, model="b")

    async def scenario() -> None:
        stuck = asyncio.ensure_future(hanging.run(ask(1)))
        await until(lambda: len(endless.runs) == 1)
        async with asyncio.timeout(10):
            assert (await sound.run(ask(2)))["Y"].tolist() == [4]
            assert (await sound.run(ask(3)))["Y"].tolist() == [6]
        assert not stuck.done()
        endless.go.set()
        assert (await stuck)["Y"].tolist() == [2]
        await until(lambda: pool._lent == 0)
        assert (await sound.run(ask(4)))["Y"].tolist() == [8]

    asyncio.run(scenario())
    assert pool._alive == 1  # the thread that was lent has ended
    pool.close()


def test_what_comes_at_the_same_time_wakes_a_thread_each() -> None:
    pool, endless = Pool(2), Graph(held=True)
    hanging = make_lane(endless, pool, model="a", cost=Cost(1e9, 0))
    sound = make_lane(Graph(), pool, model="b")

    async def scenario() -> None:
        assert (await sound.run(ask(1)))["Y"].tolist() == [2]
        await until(lambda: pool._idle == 1)
        stuck = asyncio.ensure_future(hanging.run(ask(1)))
        quick = asyncio.ensure_future(sound.run(ask(2)))  # before the thread that was woken is awake
        async with asyncio.timeout(10):
            assert (await quick)["Y"].tolist() == [4]
        assert not stuck.done()
        endless.go.set()
        await stuck

    asyncio.run(scenario())
    pool.close(waits_s=10)
    assert pool._alive == 0


@pytest.mark.parametrize("batch_wait_us", [0, 1000], ids=["at once", "gathering"])
def test_a_thread_that_cannot_be_started_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, batch_wait_us: float
) -> None:
    pool, really, refused = Pool(1), threading.Thread.start, list[threading.Thread]()
    lane = make_lane(Graph(), pool, rules=LaneRules(batch_rows=8, batch_wait_us=batch_wait_us))

    def start(thread: threading.Thread) -> None:
        if thread.name == "model run" and len(refused) < 2:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        really(thread)

    monkeypatch.setattr(threading.Thread, "start", start)

    async def scenario() -> None:
        async with asyncio.timeout(10):
            for number in range(3):
                assert (await lane.run(ask(number)))["Y"].tolist() == [2 * number]

    asyncio.run(scenario())
    assert (len(refused), pool._alive, lane.waiting_rows) == (2, 1, 0)
    pool.close(waits_s=10)
    assert pool._alive == 0


def test_who_waits_for_a_thread_that_never_starts_is_told_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = Pool(1)
    lane = make_lane(Graph(), pool)

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def scenario() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            with pytest.raises(DeadlineError):
                await lane.run(ask(1, deadline_s=0.01))
        assert (pool._alive, lane.waiting_rows) == (0, 0)
        assert (await lane.run(ask(2)))["Y"].tolist() == [4]

    asyncio.run(scenario())
    pool.close(waits_s=10)


def test_threads_end_when_they_are_told_to() -> None:
    pool = Pool(2)
    lane = make_lane(Graph(), pool)

    async def scenario() -> None:
        await asyncio.gather(*(lane.run(ask(number)) for number in range(4)))
        pool.close()
        await until(lambda: pool._alive == 0)

    asyncio.run(scenario())


ENDS = """
import asyncio
import subprocess
import sys
import numpy as np
from foretell.engine.lane import Lane, LaneRules
from foretell.engine.pool import Pool
from foretell.engine.session import Session
from foretell.errors import DeadlineError
from tests.engine.lanes import ask
from tests.models import steps_bytes

session, pool = Session(steps_bytes()), Pool(1)
lane = Lane("steps version 1", "steps", session, pool, rules=LaneRules(), cost=None)
request = ask(1, deadline_s=0.05)
request = request.replace(inputs={"X": np.array([2**60])})
try:
    asyncio.run(lane.run(request))
except DeadlineError:
    pool.close(waits_s=10)
    print("given up", pool._alive)
"""


def test_a_process_ends_in_good_order_although_a_run_had_to_be_given_up() -> None:
    for _ in range(3):
        ran = subprocess.run(
            [sys.executable, "-c", ENDS], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
        assert (ran.returncode, ran.stdout.split()) == (0, ["given", "up", "0"]), ran.stderr


def test_closing_waits_no_longer_than_it_is_told_to() -> None:
    pool, graph = Pool(1), Graph(held=True)
    lane = make_lane(graph, pool)

    async def scenario() -> None:
        task = asyncio.ensure_future(lane.run(ask(1)))
        await until(lambda: len(graph.runs) == 1)
        pool.close(waits_s=0.01)
        assert pool._alive == 1
        graph.go.set()
        assert (await task)["Y"].tolist() == [2]
        await until(lambda: pool._alive == 0)

    asyncio.run(scenario())
