"""Who uses something is counted, and told when nobody does."""

from __future__ import annotations

from foretell.engine.use import Use


def test_what_nobody_uses_is_idle_at_once() -> None:
    called: list[int] = []
    Use().when_idle(lambda: called.append(1))
    assert called == [1]


def test_the_last_to_leave_makes_it_idle_once() -> None:
    called: list[int] = []
    use = Use()
    use.enter(5)
    use.enter(7)
    use.when_idle(lambda: called.append(1))
    use.leave()
    assert (called, use.going_on, use.asked_ns) == ([], 1, 7)
    use.leave()
    use.enter(9)
    use.leave()
    assert called == [1]
