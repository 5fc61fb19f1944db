"""Latencies are counted to within two hundredths, and counts of several processes add up."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from foretell.loadtest.histogram import Histogram

latencies = st.lists(st.floats(1, 1e8), min_size=1, max_size=200)


def of(values: list[float]) -> Histogram:
    """A histogram of some latencies."""
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@given(latencies, st.floats(0.1, 100))
def test_a_percentile_is_what_so_many_of_a_hundred_took_at_most(values: list[float], percent: float) -> None:
    exact = sorted(values)[math.ceil(len(values) * percent / 100) - 1]
    assert exact <= of(values).percentile(percent) * (1 + 1e-12) <= exact * 1.0160001


@given(latencies, latencies)
def test_what_two_processes_counted_is_what_one_would_have(one: list[float], other: list[float]) -> None:
    merged = of(one)
    merged.merge(of(other))
    whole = of(one + other)
    assert merged.counts == whole.counts
    assert (merged.total, merged.most_us) == (whole.total, whole.most_us)
    assert math.isclose(merged.sum_us, whole.sum_us)


def test_where_nothing_was_counted_nothing_is_known() -> None:
    assert math.isnan(Histogram().percentile(50))


def test_what_takes_no_time_counts_as_a_microsecond() -> None:
    assert of([0.0]).percentile(50) == 0
    assert of([0.0, 5.0]).percentile(1) <= 1.02
