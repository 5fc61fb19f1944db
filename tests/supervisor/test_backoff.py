from __future__ import annotations

from foretell.supervisor.backoff import Backoff


def test_the_first_is_at_once_and_waits_double_up_to_half_a_minute() -> None:
    backoff = Backoff()
    assert [backoff.after(1.0) for _ in range(9)] == [0, 0.5, 1, 2, 4, 8, 16, 30, 30]


def test_who_has_lived_for_a_minute_is_replaced_at_once() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.after(1.0)
    assert [backoff.after(60.0), backoff.after(1.0)] == [0, 0.5]
