"""The knee is the highest rate that meets the targets."""

from __future__ import annotations

import pytest

from foretell.errors import ForetellError
from foretell.loadtest.climb import Climb, climb
from foretell.loadtest.profiles import Stage
from foretell.loadtest.record import Record, Seen, Tick
from foretell.loadtest.run import Outcome
from foretell.loadtest.targets import Target


class Load:
    """A server that answers so many questions a second within a millisecond, and all of those beyond in ten."""

    def __init__(self, capacity: float, *, wrong_from: float = 1e9, lost_from: float = 1e9) -> None:
        self.rates: list[float] = []
        self._capacity = capacity
        self._wrong_from = wrong_from
        self._lost_from = lost_from

    def __call__(self, stage: Stage) -> Outcome:
        self.rates.append(stage.per_s)
        seen = Seen("native", "m", 1, wrong=int(stage.per_s >= self._wrong_from))
        asked = round(stage.per_s * stage.duration_s)
        for _ in range(asked if stage.per_s < self._lost_from else asked // 2):
            seen.latencies.add(1000.0 if stage.per_s <= self._capacity else 10_000.0)
        seen.in_time = seen.latencies.total
        second = len(self.rates)
        record = Record({"native m 1": seen}, {second: Tick(seen.latencies)}, took_s=stage.duration_s)
        return Outcome(record, stage.duration_s, False, [f"otherwise at {second}"] if second == 2 else [])


def climbed(load: Load, *targets: Target, per_s: float = 100) -> Climb:
    """What comes of looking for the knee."""
    return climb(load, per_s=per_s, step_s=2, targets=targets, alone_ms=1, told=lambda _rate, _missed: None)


@pytest.mark.parametrize("targets", [(), (Target(p99_ms=5),), (Target(errors=0),), (Target(p95_ratio=2),)])
def test_the_last_rate_that_meets_the_targets_is_the_knee(targets: tuple[Target, ...]) -> None:
    load = Load(200)
    found = climbed(load, *targets)
    assert load.rates == [100, 125, 156.25, 195.3125, 244.140625, 244.140625]
    assert found.per_s == 195.3125
    assert found.outcome.record.seen["native m 1"].latencies.total == round(195.3125 * 2)
    assert sorted(found.ticks) == [1, 2, 3, 4, 5, 6]
    assert found.differences == ["otherwise at 2"]


def test_a_wrong_answer_ends_it_where_there_may_be_none() -> None:
    assert climbed(Load(1000, wrong_from=150), Target(errors=0), Target(p99_ms=5)).per_s == 125


def test_a_server_that_does_not_keep_up_ends_it() -> None:
    assert climbed(Load(1000, lost_from=150), Target(p99_ms=5)).per_s == 125


def test_a_throughput_that_is_wanted_at_the_end_does_not_end_it_at_the_beginning() -> None:
    assert climbed(Load(130), Target(p99_ms=5, per_s=1000), Target(per_s=500)).per_s == 125


def test_it_is_told_where_not_even_the_first_rate_will_do() -> None:
    with pytest.raises(ForetellError, match=r"missed at 100 a second already: p99, ms: 10"):
        climbed(Load(50), Target(p99_ms=5))


def test_one_bad_moment_is_no_knee() -> None:
    load = Load(200)
    bad = iter([False, True, False, False, False, False, False])

    def disturbed(stage: Stage) -> Outcome:
        outcome = load(stage)
        if next(bad):
            outcome.record.seen["native m 1"].latencies.add(1e6)
            outcome.record.seen["native m 1"].wrong = 1
        return outcome

    found = climb(
        disturbed,
        per_s=100,
        step_s=2,
        targets=[Target(errors=0, p99_ms=5)],
        alone_ms=1,
        told=lambda _rate, _missed: None,
    )
    assert found.per_s == 195.3125
