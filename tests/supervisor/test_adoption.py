from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from foretell.supervisor.adoption import adopt


def only(*slots: int) -> frozenset[int]:
    return frozenset(slots)


def test_each_accepts_from_its_own_slot() -> None:
    assert adopt({0: only(0), 1: only(1)}, set()) == {0: only(0), 1: only(1)}


def test_the_slots_of_the_dead_are_spread() -> None:
    assert adopt({0: only(0), 2: only(2)}, {1, 3}) == {0: only(0, 1), 2: only(2, 3)}


def test_who_has_taken_a_slot_over_keeps_it_until_it_is_served() -> None:
    now = {0: only(0), 2: only(2, 1)}
    assert adopt(now, {1}) == now
    assert adopt(now, set()) == {0: only(0), 2: only(2)}


def test_nobody_is_left_nobody_takes_over() -> None:
    assert adopt({}, {0, 1}) == {}


@given(st.sets(st.integers(0, 9), min_size=1), st.sets(st.integers(10, 19)))
def test_every_orphan_is_taken_by_exactly_one(living: set[int], orphans: set[int]) -> None:
    wanted = adopt({own: only(own) for own in living}, orphans)
    taken = sorted(slot for slots in wanted.values() for slot in slots)
    assert taken == sorted(living | orphans)
    sizes = [len(slots) for slots in wanted.values()]
    assert max(sizes) - min(sizes) <= 1
