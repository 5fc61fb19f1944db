"""The queue of a version: everybody gets the answer to their own question, in time or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.engine import pool
from foretell.engine.lane import Lane, LaneRules
from foretell.engine.pool import Pool
from foretell.engine.warm_up import Cost
from foretell.errors import DeadlineError, QueueFullError, RunError
from tests.engine.lanes import Graph, ask, make_lane, until

TOGETHER = LaneRules(batch_rows=8)


def start(lane: Lane, *values: float, **options: Any) -> asyncio.Task[Any]:
    return asyncio.ensure_future(lane.run(ask(*values, **options)))


async def answers(*tasks: asyncio.Task[Any]) -> list[Any]:
    return [outputs["Y"].tolist() for outputs in await asyncio.gather(*tasks)]


async def occupied(lane: Lane, graph: Graph) -> asyncio.Task[Any]:
    """A request whose run has begun and waits."""
    task = start(lane, 0)
    await until(lambda: len(graph.runs) == 1)
    return task


def test_requests_gather_while_the_threads_are_busy_and_each_gets_its_own_answer() -> None:
    graph = Graph(held=True)
    lane = make_lane(graph, rules=TOGETHER)

    async def scenario() -> None:
        first = await occupied(lane, graph)
        others = [start(lane, 1), start(lane, 2, 3), start(lane, 4)]
        await asyncio.sleep(0)
        graph.go.set()
        assert await answers(first, *others) == [[0], [2], [4, 6], [8]]

    asyncio.run(scenario())
    assert graph.runs == [[0], [1, 2, 3, 4]]


def test_one_caller_alone_never_waits_for_others() -> None:
    graph = Graph()
    lane = make_lane(graph, rules=TOGETHER)

    async def scenario() -> None:
        for number in range(3):
            assert await answers(start(lane, number)) == [[number * 2]]

    asyncio.run(scenario())
    assert graph.runs == [[0], [1], [2]]


def test_requests_wait_for_others_if_they_are_told_to() -> None:
    graph = Graph()
    lane = make_lane(graph, rules=LaneRules(batch_rows=3, batch_wait_us=3600e6))

    async def scenario() -> None:
        async with asyncio.timeout(60):
            for run in range(2):
                tasks = [start(lane, 3 * run + number) for number in range(3)]  # the third makes the run full
                assert await answers(*tasks) == [[6 * run], [6 * run + 2], [6 * run + 4]]

    asyncio.run(scenario())
    assert graph.runs == [[0, 1, 2], [3, 4, 5]]


def test_waiting_for_others_ends() -> None:
    graph = Graph()
    lane = make_lane(graph, rules=LaneRules(batch_rows=3, batch_wait_us=1000))

    async def scenario() -> None:
        assert await answers(start(lane, 1), start(lane, 2)) == [[2], [4]]

    asyncio.run(scenario())
    assert graph.runs == [[1, 2]]


@pytest.mark.parametrize(
    ("batch_rows", "batch_wait_us"), [(8, 1000), (2, 3600e6)], ids=["the time is over", "a run is full"]
)
def test_those_who_have_gathered_for_several_runs_wake_a_thread_each(
    batch_rows: int, batch_wait_us: float
) -> None:
    graph, pool = Graph(held=True), Pool(3)
    lane = make_lane(graph, pool, rules=LaneRules(batch_rows=batch_rows, batch_wait_us=batch_wait_us))

    async def scenario() -> None:
        tasks = [start(lane, 1), start(lane, 2, outputs=("Y",))]
        try:
            await until(lambda: len(graph.runs) == 2)  # they go on at the same time
        finally:
            graph.go.set()
        assert await answers(*tasks) == [[2], [4]]

    asyncio.run(scenario())
    assert pool._alive == 2
    pool.close(waits_s=10)
    assert pool._alive == 0


def test_a_run_takes_no_more_rows_than_fit_and_keeps_the_order() -> None:
    graph = Graph(held=True)
    lane = make_lane(graph, rules=LaneRules(batch_rows=4))

    async def scenario() -> None:
        first = await occupied(lane, graph)
        others = [start(lane, *[number] * rows) for number, rows in enumerate([3, 2, 1, 4, 9], start=1)]
        await asyncio.sleep(0)
        graph.go.set()
        await asyncio.gather(first, *others)

    asyncio.run(scenario())
    assert graph.runs == [[0], [1, 1, 1, 3], [2, 2], [4, 4, 4, 4], [5] * 9]


def test_only_requests_of_one_form_go_together() -> None:
    graph = Graph(held=True)
    lane = make_lane(graph, rules=TOGETHER)

    async def scenario() -> None:
        first = await occupied(lane, graph)
        both, only_y = start(lane, 1), start(lane, 2, outputs=("Y",))
        both_again, only_z = start(lane, 3), start(lane, 4, outputs=("Z",))
        await asyncio.sleep(0)
        graph.go.set()
        await first
        assert sorted(await both) == sorted(await both_again) == ["Y", "Z"]
        assert {name: array.tolist() for name, array in (await only_y).items()} == {"Y": [4]}
        assert {name: array.tolist() for name, array in (await only_z).items()} == {"Z": [12]}

    asyncio.run(scenario())
    assert graph.runs == [[0], [1, 3], [2], [4]]


def test_a_row_that_fails_harms_no_other() -> None:
    graph = Graph(held=True)
    lane = make_lane(graph, rules=TOGETHER)

    async def scenario() -> None:
        first = await occupied(lane, graph)
        others = [start(lane, value) for value in (1, 2, -3, 4, 5)]
        await asyncio.sleep(0)
        graph.go.set()
        await first
        found: list[Any] = await asyncio.gather(*others, return_exceptions=True)
        assert isinstance(found.pop(2), RunError)
        assert [outputs["Y"].tolist() for outputs in found] == [[2], [4], [8], [10]]

    asyncio.run(scenario())


def test_an_output_without_a_row_for_each_row_is_not_shared() -> None:
    graph = Graph(held=True, loses_rows=True)
    lane = make_lane(graph, rules=TOGETHER)

    async def scenario() -> None:
        first = await occupied(lane, graph)
        others = [start(lane, 1), start(lane, 2)]
        await asyncio.sleep(0)
        graph.go.set()
        assert await answers(first, *others) == [[0], [2], [4]]

    asyncio.run(scenario())


def test_one_of_those_who_share_a_run_counts_its_rows() -> None:
    graph = Graph(held=True)
    lane = make_lane(graph, rules=TOGETHER)

    async def scenario() -> None:
        requests = [ask(0), ask(1), ask(2, 3)]
        tasks = [asyncio.ensure_future(lane.run(requests[0]))]
        await until(lambda: len(graph.runs) == 1)
        tasks += [asyncio.ensure_future(lane.run(request)) for request in requests[1:]]
        await asyncio.sleep(0)
        graph.go.set()
        await asyncio.gather(*tasks)
        records = [request.record for request in requests]
        assert [(record.run_rows, record.together) for record in records] == [(1, 1), (3, 2), (0, 2)]
        assert all(0 < record.run_started_ns <= record.run_ended_ns for record in records)

    asyncio.run(scenario())


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    graph = Graph(held=True)
    lane = make_lane(graph, rules=LaneRules(max_queue_rows=3), cost=Cost(0, 2e6))

    async def scenario() -> None:
        first = await occupied(lane, graph)
        waiting = [start(lane, 1, 2), start(lane, 3)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError, match="3 rows wait, and no more than 3 may") as refused:
            await lane.run(ask(4))
        assert refused.value.retry_after_s == 6  # three rows of two seconds each
        graph.go.set()
        assert await answers(first, *waiting) == [[0], [2, 4], [6]]

    asyncio.run(scenario())


def test_a_request_larger_than_the_queue_is_taken_where_nothing_waits() -> None:
    graph = Graph()
    lane = make_lane(graph, rules=LaneRules(max_queue_rows=1))
    assert asyncio.run(lane.run(ask(1, 2, 3)))["Y"].tolist() == [2, 4, 6]


@pytest.mark.parametrize(
    ("rules", "deadline_s", "reason"),
    [
        (LaneRules(max_queue_s=1), None, "no longer than 1 s is allowed"),
        (LaneRules(), 1.0, r"about 2 s and its run takes 2 s, which is more than the 1 s that are left"),
    ],
    ids=["too long", "longer than the caller waits"],
)
def test_who_would_wait_too_long_is_refused_at_once(
    rules: LaneRules, deadline_s: float | None, reason: str
) -> None:
    graph = Graph(held=True)
    lane = make_lane(graph, rules=rules, cost=Cost(0, 2e6))

    async def scenario() -> None:
        first = await occupied(lane, graph)
        second = start(lane, 1)
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError, match=reason):
            await lane.run(ask(2, deadline_s=deadline_s))
        graph.go.set()
        await asyncio.gather(first, second)

    asyncio.run(scenario())


def test_what_waits_past_its_deadline_costs_no_run() -> None:
    graph = Graph(held=True)
    lane = make_lane(graph)

    async def scenario() -> None:
        first = await occupied(lane, graph)
        late, patient = start(lane, 1, deadline_s=0.02), start(lane, 2)
        with pytest.raises(DeadlineError):
            await late
        graph.go.set()
        assert await answers(first, patient) == [[0], [4]]

    asyncio.run(scenario())
    assert graph.runs == [[0], [2]]


def test_a_thread_takes_up_nothing_whose_deadline_has_passed_though_the_loop_is_late() -> None:
    graph = Graph(held=True)
    lane = make_lane(graph)

    async def scenario() -> None:
        first = await occupied(lane, graph)
        late, patient = start(lane, 1, deadline_s=0.01), start(lane, 2)
        await asyncio.sleep(0)
        time.sleep(0.02)  # noqa: ASYNC251 - the event loop is busy
        graph.go.set()
        await until_runs(graph, 2)
        with pytest.raises(DeadlineError):
            await late
        assert await answers(first, patient) == [[0], [4]]

    asyncio.run(scenario())
    assert graph.runs == [[0], [2]]


def test_whose_deadline_it_was_is_said() -> None:
    graph = Graph(held=True)
    lane = make_lane(graph)

    async def scenario() -> None:
        request = ask(1, deadline_s=0.02)
        request.record.headers = ((b"x-request-timeout", b"0.02"),)
        with pytest.raises(DeadlineError, match=r"did not answer before the deadline \(X-Request-Timeout\)"):
            await lane.run(request)
        graph.go.set()

    asyncio.run(scenario())


async def until_runs(graph: Graph, count: int) -> None:
    await until(lambda: len(graph.runs) >= count)


def test_a_run_that_overshoots_is_ended_and_its_thread_comes_back() -> None:
    graph = Graph(held=True)
    lane = make_lane(graph)

    async def scenario() -> None:
        record = ask(1, deadline_s=0.02)
        with pytest.raises(DeadlineError, match=r"did not answer before the deadline \(limits.deadline_s\)"):
            await lane.run(record)
        await until(lambda: not lane._running)
        assert record.record.run_ended_ns == 0  # what comes after the answer leaves no trace in it
        graph.go.set()
        assert await answers(start(lane, 2)) == [[4]]

    asyncio.run(scenario())
    assert lane._pool._alive == 1


def test_a_caller_that_goes_away_frees_its_place_and_ends_its_run() -> None:
    graph = Graph(held=True)
    lane = make_lane(graph)

    async def scenario() -> None:
        first = await occupied(lane, graph)
        waiting = start(lane, 1)
        await asyncio.sleep(0)
        assert lane.waiting_rows == 1
        waiting.cancel()
        await asyncio.wait({waiting})
        assert lane.waiting_rows == 0
        first.cancel()
        await until(lambda: not lane._running)

    asyncio.run(scenario())
    assert graph.runs == [[0]]


def test_one_who_leaves_a_shared_run_does_not_end_it_for_the_others() -> None:
    graph = Graph(held=True)
    lane = make_lane(graph, rules=TOGETHER)

    async def scenario() -> None:
        first = await occupied(lane, graph)
        tasks = [start(lane, 1), start(lane, 2)]
        await asyncio.sleep(0)
        first.cancel()  # its run is ended, and the two begin theirs
        await until_runs(graph, 2)
        tasks[0].cancel()
        await asyncio.wait({tasks[0]})
        graph.go.set()
        assert await answers(tasks[1]) == [[4]]

    asyncio.run(scenario())
    assert graph.runs == [[0], [1, 2]]


def test_runs_of_one_version_at_once_are_bounded() -> None:
    graph = Graph(takes_s=0.002)
    lane = make_lane(graph, Pool(4), rules=LaneRules(runs=2))

    async def scenario() -> None:
        assert await answers(*(start(lane, number) for number in range(20))) == [
            [number * 2] for number in range(20)
        ]

    asyncio.run(scenario())
    assert graph.most <= 2


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(-1, 50), min_size=1, max_size=4),
            st.sampled_from([None, ("Y",), ("Z", "Y")]),
            st.sampled_from(["waits", "waits", "goes away", "is short of time"]),
            st.booleans(),
        ),
        min_size=1,
        max_size=30,
    ),
    st.integers(1, 3),
    st.integers(1, 8),
)
def test_whatever_comes_goes_and_fails_everybody_gets_their_own_answer(
    asked: list[tuple[list[int], tuple[str, ...] | None, str, bool]], threads: int, batch_rows: int
) -> None:
    graph = Graph(takes_s=0.0005)
    pool = Pool(threads)
    lane = make_lane(graph, pool, rules=LaneRules(batch_rows=batch_rows))

    async def one(values: list[int], outputs: tuple[str, ...] | None, how: str) -> None:
        request = ask(*values, outputs=outputs, deadline_s=0.001 if how == "is short of time" else None)
        task = asyncio.ensure_future(lane.run(request))
        if how == "goes away":
            await asyncio.sleep(0)
            task.cancel()
        try:
            found = await task
        except asyncio.CancelledError:
            assert how == "goes away"
        except (DeadlineError, QueueFullError):
            assert how == "is short of time"
        except RunError:
            assert min(values) < 0
        else:
            assert min(values) >= 0
            assert list(found) == list(outputs or ("Y", "Z"))
            assert found["Y"].tolist() == [2 * value for value in values]

    async def scenario() -> None:
        async with asyncio.timeout(30):
            tasks: list[asyncio.Task[None]] = []
            for values, outputs, how, pause in asked:
                tasks.append(asyncio.ensure_future(one(values, outputs, how)))
                if pause:
                    await asyncio.sleep(0)
            await asyncio.gather(*tasks)
            await until(lambda: not lane._running)

    asyncio.run(scenario())
    assert lane.waiting_rows == 0
    assert not lane._waiting
    assert not pool._ready
    assert lane.share.active == 0
    pool.close()


def test_requests_of_an_event_loop_that_has_ended_are_nobody_s() -> None:
    graph = Graph(held=True)
    lane = make_lane(graph)

    async def scenario() -> None:
        await occupied(lane, graph)

    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(scenario())
    graph.go.set()

    async def again() -> None:
        assert await answers(start(lane, 5)) == [[10]]

    asyncio.run(again())


def test_those_who_were_answered_together_and_ask_again_go_together_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # On a machine that is busy with other tests, the event loop may need longer than a run's callers are waited for.
    monkeypatch.setattr(pool, "_DELIVERY_S", 10)
    monkeypatch.setattr(pool, "_DELIVERY", 200)
    graph = Graph(takes_s=0.05)
    lane = make_lane(graph, rules=TOGETHER)

    async def caller(number: int) -> None:
        for round_ in range(4):
            assert await answers(start(lane, number + round_)) == [[2 * (number + round_)]]

    async def scenario() -> None:
        await asyncio.gather(*(caller(number) for number in range(8)))

    asyncio.run(scenario())
    assert sum(len(values) for values in graph.runs) == 32
    assert len(graph.runs) <= 6  # the first begins with the first who comes, the others have them all
