"""loadtests/bench/results.py and statistic.py"""

from __future__ import annotations

import pytest

from loadtests.bench.results import rows
from loadtests.bench.statistic import Spread
from tests.loadtests.bench_results import results, sample


def test_a_spread_is_the_median_between_the_least_and_the_greatest() -> None:
    assert Spread.of([3.0, 1.0, 10.0]) == Spread(3.0, 1.0, 10.0, 3)
    assert Spread.of([1.0, 2.0]) == Spread(1.5, 1.0, 2.0, 2)


def test_nothing_measured_has_no_spread() -> None:
    assert Spread.of([]) is None


def test_a_ratio_compares_with_the_floor_of_the_same_round() -> None:
    found = results(
        sample("nothing", 1, 1000),
        sample("foretell", 1, 500),
        sample("nothing", 2, 100),  # a round in which the machine was slow
        sample("foretell", 2, 60),
        sample("nothing", 3, 1000),
        sample("foretell", 3, 550),
    )
    floor, foretell = rows(found)
    assert foretell.figures["per_s"] == Spread(500, 60, 550, 3)
    ratio = foretell.ratios["per_s"]
    assert (ratio.median, ratio.least, ratio.greatest) == pytest.approx((0.55, 0.5, 0.6))
    assert foretell.ratios["cpu_us"].median == pytest.approx(1 / 0.55)
    assert floor.ratios["per_s"] == Spread(1, 1, 1, 3)


def test_a_round_without_a_floor_has_no_ratio() -> None:
    found = results(sample("nothing", 1, 1000), sample("foretell", 1, 500), sample("foretell", 2, 900))
    _, foretell = rows(found)
    assert foretell.figures["per_s"].count == 2
    assert foretell.ratios["per_s"] == Spread(0.5, 0.5, 0.5, 1)


def test_numbers_of_callers_are_compared_each_for_itself() -> None:
    found = results(
        sample("nothing", 1, 1000),
        sample("foretell", 1, 500),
        sample("nothing", 1, 4000, connections=16),
        sample("foretell", 1, 1000, connections=16),
    )
    told = [
        (row.connections, row.contender, row.ratios["per_s"].median)
        for row in rows(found)
        if row.contender == "foretell"
    ]
    assert told == [(1, "foretell", 0.5), (16, "foretell", 0.25)]


def test_whoever_was_not_measured_has_no_row() -> None:
    assert [row.contender for row in rows(results(sample("foretell", 1, 10)))] == ["foretell"]
