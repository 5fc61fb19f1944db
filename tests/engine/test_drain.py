"""How fast a queue empties, and how that is forgotten."""

from __future__ import annotations

import pytest

from foretell.engine.drain import Drain

S = 1_000_000_000


def seen(drain: Drain, rows: int, took_ns: int, *, at_ns: int) -> None:
    drain.begin(at_ns - took_ns)
    drain.left(rows, at_ns, more=True)


def test_what_was_expected_counts_until_something_was_seen() -> None:
    drain = Drain(5.0)
    assert drain.wait_ns(3, 100 * S) == 15.0
    seen(drain, 10, S, at_ns=100 * S)
    assert drain.wait_ns(3, 100 * S) == pytest.approx(0.3 * S)


def test_what_was_seen_counts_for_less_with_time() -> None:
    drain = Drain(0.0)
    seen(drain, 10, S, at_ns=100 * S)
    assert drain.wait_ns(10, 101 * S) == pytest.approx(0.5 * S)
    assert drain.wait_ns(10, 110 * S) < 0.01 * S


def test_slow_rows_are_remembered_as_long_as_one_takes() -> None:
    drain = Drain(0.0)
    seen(drain, 1, 20 * S, at_ns=100 * S)
    assert drain.wait_ns(1, 120 * S) == pytest.approx(10 * S)


def test_one_pause_is_forgotten_over_what_comes_after() -> None:
    drain = Drain(0.0)
    for second in range(1, 11):
        seen(drain, 1000, S, at_ns=second * S)
    seen(drain, 10, 15 * S, at_ns=30 * S)
    assert drain.wait_ns(1, 30 * S) > 0.01 * S
    for second in range(31, 41):
        seen(drain, 1000, S, at_ns=second * S)
    assert drain.wait_ns(1, 40 * S) == pytest.approx(0.001 * S, rel=0.01)
