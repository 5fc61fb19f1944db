"""When Python looks for garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from foretell.garbage import everything_stays


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_nothing_is_collected_meanwhile_and_what_is_there_stays() -> None:
    frozen = gc.get_freeze_count()
    with everything_stays():
        assert not gc.isenabled()
        made: list[object] = [[]]
    assert gc.isenabled()
    assert gc.get_freeze_count() > frozen
    assert not any(each is made for each in gc.get_objects())


def test_what_comes_later_is_collected_even_where_it_failed() -> None:
    with pytest.raises(ZeroDivisionError), everything_stays():
        _ = 1 // 0
    later: list[object] = []
    later.append(later)
    assert gc.isenabled()
    assert any(each is later for each in gc.get_objects())
    del later
    assert gc.collect() >= 1
