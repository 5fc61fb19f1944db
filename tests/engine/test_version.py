"""A loaded version: short runs on the event loop, long ones in its own threads."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import helper

from foretell.engine.batching import Batching
from foretell.engine.lane import Lane, LaneRules
from foretell.engine.pool import Pool
from foretell.engine.session import Session
from foretell.engine.shared_weights import Opened, Weights
from foretell.engine.version import Version
from foretell.engine.warm_up import Cost
from foretell.errors import InvalidInputError, RunError
from foretell.parser import Parser
from foretell.prediction import ModelInfo, PredictRequest, RequestRecord
from tests.models import (
    failing_model_bytes,
    gather_bytes,
    linear_model_bytes,
    model_bytes,
    open_width_bytes,
    signature_of,
    slow_model_bytes,
    value_info,
)

INLINE = Cost(0, 0, 5000)
MakeVersion = Callable[..., Version]


@pytest.fixture
def make_version(request: pytest.FixtureRequest) -> MakeVersion:
    """Makes versions, each with threads of its own, which end with the test."""

    def make(
        model: bytes, cost: Cost | None, *, inline_us: float = 100, threads: int = 2, loop_rows: int = 1
    ) -> Version:
        signature, session, pool = signature_of(model), Session(model), Pool(threads)
        version = Version(
            ModelInfo("m", 1, "", "", signature),
            Opened(session, Weights(0, shared=False, reason="a test")),
            Parser(signature, max_rows=100, name="m.1."),
            Lane("m version 1", "m", session, pool, rules=LaneRules(), cost=cost),
            cost=cost,
            batching=Batching(1, "a test", loop_rows),
            inline_us=inline_us,
        )
        request.addfinalizer(pool.close)
        return version

    return make


def ask(inputs: dict[str, Any], rows: int = 1) -> PredictRequest:
    return PredictRequest(inputs, rows, RequestRecord("test", "native", 0))


def rows_of(count: int, width: int = 2) -> PredictRequest:
    return ask({"X": np.ones((count, width), dtype=np.float32)}, count)


def threads_of(version: Version) -> int:
    """How many threads have been started for its runs."""
    return version._lane._pool._alive


def test_a_short_run_is_done_at_once_on_the_event_loop(make_version: MakeVersion) -> None:
    version = make_version(linear_model_bytes(weights=[2, 3]), INLINE)

    async def scenario() -> None:
        task = asyncio.ensure_future(version.predict(rows_of(1)))
        await asyncio.sleep(0)
        assert task.done()
        assert task.result().outputs["Y"].tolist() == [[5]]

    asyncio.run(scenario())
    assert threads_of(version) == 0


def test_a_long_run_leaves_the_event_loop_free(make_version: MakeVersion) -> None:
    version = make_version(slow_model_bytes(), None)

    async def scenario() -> None:
        task = asyncio.ensure_future(version.predict(rows_of(1, 256)))
        await asyncio.sleep(0)
        assert not task.done()
        assert (await task).outputs["Y"].shape == (1, 256)

    asyncio.run(scenario())
    assert threads_of(version) == 1


def test_runs_at_once_are_bounded_by_the_threads(make_version: MakeVersion) -> None:
    version = make_version(slow_model_bytes(64, 8), None, threads=2)

    async def scenario() -> None:
        answers = await asyncio.gather(*(version.predict(rows_of(rows, 64)) for rows in range(1, 9)))
        assert [len(answer.outputs["Y"]) for answer in answers] == list(range(1, 9))

    asyncio.run(scenario())
    assert 1 <= threads_of(version) <= 2


@pytest.mark.parametrize(
    ("cost", "rows", "inline"),
    [
        (Cost(10, 9, 64), 10, True),
        (Cost(10, 9, 64), 11, False),
        (Cost(10, 90, 64), 1, True),
        (Cost(10, 91, 64), 1, False),
        (Cost(0, 0, 5000), 5000, True),
        (Cost(0, 0, 5000), 5001, False),
        (Cost(101, 0), 1, False),
        (None, 1, False),
    ],
    ids=[
        "as long as allowed",
        "longer",
        "one row",
        "one row too long",
        "rows are free",
        "never tried",
        "slow",
        "unknown",
    ],
)
def test_the_expected_duration_decides(
    make_version: MakeVersion, cost: Cost | None, rows: int, inline: bool
) -> None:
    version = make_version(linear_model_bytes(), cost, inline_us=100)
    answer = asyncio.run(version.predict(rows_of(rows)))
    assert len(answer.outputs["Y"]) == rows
    assert threads_of(version) == (0 if inline else 1)


def test_nothing_runs_on_the_event_loop_if_nothing_may(make_version: MakeVersion) -> None:
    version = make_version(linear_model_bytes(), Cost(5, 0), inline_us=0)
    asyncio.run(version.predict(rows_of(1)))
    assert threads_of(version) == 1


@pytest.mark.parametrize("cost", [INLINE, None], ids=["event loop", "thread"])
def test_a_run_that_fails_is_a_run_error_and_the_version_goes_on(
    make_version: MakeVersion, cost: Cost | None
) -> None:
    version = make_version(failing_model_bytes(), cost)

    async def scenario() -> None:
        with pytest.raises(RunError):
            await version.predict(ask({"X": np.array([99])}))
        answer = await version.predict(ask({"X": np.array([1])}))
        assert answer.outputs["Y"].tolist() == [2]

    asyncio.run(scenario())


@pytest.mark.parametrize("cost", [INLINE, None], ids=["event loop", "thread"])
def test_a_run_that_fails_on_an_axis_of_undeclared_length_is_the_caller_s_error(
    make_version: MakeVersion, cost: Cost | None
) -> None:
    version = make_version(open_width_bytes(), cost)

    async def scenario() -> None:
        with pytest.raises(InvalidInputError) as refused:
            await version.predict(rows_of(1, 2))
        assert str(refused.value) == (
            "$: the model failed on this input: it does not declare how long axis 1 of 'X' must be, and got the "
            "length 2; send the length that it was made for"
        )
        assert isinstance(refused.value.__cause__, RunError)
        assert (await version.predict(rows_of(1, 4))).outputs["Y"].shape == (1, 3)

    asyncio.run(scenario())


def test_what_was_asked_is_answered_although_the_threads_are_to_end(make_version: MakeVersion) -> None:
    version = make_version(slow_model_bytes(), None)

    async def scenario() -> None:
        tasks = [asyncio.ensure_future(version.predict(rows_of(1, 256))) for _ in range(4)]
        await asyncio.sleep(0)
        version._lane._pool.close()
        assert [answer.outputs["Y"].shape for answer in await asyncio.gather(*tasks)] == [(1, 256)] * 4

    asyncio.run(scenario())


def test_what_was_answered_is_freed_without_the_garbage_collector(make_version: MakeVersion) -> None:
    version = make_version(linear_model_bytes(), None)
    kept: list[weakref.ref[Any]] = []

    async def ask_twice() -> None:
        for _ in range(2):
            request = rows_of(3)
            kept.append(weakref.ref(request.inputs["X"]))
            response = await version.predict(request)
            kept.append(weakref.ref(response.outputs["Y"]))
            del request, response
        await asyncio.sleep(0)

    gc.disable()
    try:
        asyncio.run(ask_twice())
        assert all(each() is None for each in kept)
    finally:
        gc.enable()


@pytest.mark.parametrize("cost", [INLINE, None], ids=["at once", "in a thread"])
def test_a_value_that_the_model_cannot_take_is_the_caller_s_mistake(
    make_version: MakeVersion, cost: Cost | None
) -> None:
    version = make_version(gather_bytes(), cost)
    data = np.arange(3, dtype=np.float32)

    async def taken(at: int) -> list[float]:
        answer = await version.predict(ask({"D": data, "I": np.array([0, at])}))
        return list(answer.outputs["Y"])

    assert asyncio.run(taken(2)) == [0, 2]
    with pytest.raises(InvalidInputError, match="a value is none that it can take"):
        asyncio.run(taken(9))


def some(
    *rows: list[float], outputs: tuple[str, ...] | None = None, dtype: Any = np.float32
) -> PredictRequest:
    record = RequestRecord("test", "native", 0)
    return PredictRequest({"X": np.array(rows, dtype)}, len(rows), record, outputs)


def answers_together(version: Version, *requests: PredictRequest) -> list[Any]:
    return [each and each.outputs["Y"].tolist() for each in version.respond_together(requests)]


def test_requests_that_share_a_run_get_their_own_rows_and_the_first_counts_it(
    make_version: MakeVersion,
) -> None:
    version = make_version(linear_model_bytes(weights=[2, 3]), INLINE, loop_rows=16)
    requests = [some([1, 0]), some([0, 1], [5, 5]), some([7, 7])]
    assert answers_together(version, *requests) == [[[2]], [[3], [25]], [[35]]]
    assert [request.record.run_rows for request in requests] == [4, 0, 0]
    assert {request.record.together for request in requests} == {3}
    for request in requests:
        assert 0 < request.record.queued_ns == request.record.run_started_ns <= request.record.run_ended_ns


def test_what_does_not_fit_into_a_run_shares_the_next_one(make_version: MakeVersion) -> None:
    version = make_version(linear_model_bytes(weights=[2, 3]), INLINE, loop_rows=4)
    requests = [some([number, 0]) for number in range(7)]
    assert answers_together(version, *requests) == [[[2 * number]] for number in range(7)]
    assert [request.record.run_rows for request in requests] == [4, 0, 0, 0, 3, 0, 0]
    assert [request.record.together for request in requests] == [4, 4, 4, 4, 3, 3, 3]


def test_who_finds_nobody_like_him_is_left_for_later(make_version: MakeVersion) -> None:
    version = make_version(linear_model_bytes(weights=[2, 3]), INLINE, loop_rows=3)
    large, wanted = some([0, 1], [5, 5], [6, 6]), some([1, 1], outputs=("Y",))
    found = answers_together(version, some([1, 0]), large, some([7, 7]), wanted, some([2, 2]))
    assert found == [[[2]], None, [[35]], None, [[10]]]
    assert answers_together(version, some([1, 1]), wanted) == [None, None]


def test_rows_of_different_lengths_share_no_run(make_version: MakeVersion) -> None:
    version = make_version(open_width_bytes(), INLINE, loop_rows=16)
    assert answers_together(version, rows_of(1, 4), rows_of(1, 5)) == [None, None]
    assert answers_together(version, rows_of(1, 4), rows_of(1, 5), rows_of(1, 4)) == [
        [[4] * 3],
        None,
        [[4] * 3],
    ]


def test_where_one_makes_a_shared_run_fail_each_is_left_to_run_alone(make_version: MakeVersion) -> None:
    nodes = [helper.make_node("Gather", ["table", "X"], ["Y"])]
    inputs, outputs = [value_info("X", "int64", ("batch", 1))], [value_info("Y", "float32", ("batch", 1))]
    model = model_bytes(nodes, inputs, outputs, {"table": np.arange(3, dtype=np.float32)})
    version = make_version(model, INLINE, loop_rows=16)
    first, bad, last = (some([index], dtype=np.int64) for index in (0, 10**6, 2))
    assert answers_together(version, first, bad, last) == [None, None, None]
    assert answers_together(version, first, last) == [[[0]], [[2]]]


def test_no_more_rows_share_a_run_than_may_run_on_the_event_loop(make_version: MakeVersion) -> None:
    assert make_version(linear_model_bytes(), Cost(0, 25, 5000), loop_rows=16).loop_rows == 4
    assert make_version(linear_model_bytes(), Cost(200, 0, 5000), loop_rows=16).loop_rows == 1
