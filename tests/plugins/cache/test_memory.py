"""Answers are kept for a while and in a bounded room."""

from __future__ import annotations

import numpy as np

from foretell.plugin import PredictResponse
from foretell_plugins.cache.memory import Memory, size_of


class Clock:
    """A clock that stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def answer(value: float = 1.0) -> PredictResponse:
    return PredictResponse({"Y": np.array([value], dtype=np.float32)})


def test_an_answer_is_kept_until_it_is_too_old() -> None:
    clock = Clock()
    memory = Memory(1000, clock_s=clock)
    kept = answer()
    memory.put((1, b"k"), kept, 100, 5.0)
    clock.now = 4.999
    assert memory.get((1, b"k")) is kept
    clock.now = 5.0
    assert memory.get((1, b"k")) is None
    assert memory.size_bytes == 0


def test_what_was_not_asked_for_longest_goes_first() -> None:
    memory = Memory(300)
    for key in (b"a", b"b", b"c"):
        memory.put((1, key), answer(), 100, 60)
    memory.get((1, b"a"))
    memory.put((1, b"d"), answer(), 100, 60)
    assert [memory.get((1, key)) is not None for key in (b"a", b"b", b"c", b"d")] == [True, False, True, True]
    assert memory.evictions == 1
    assert memory.size_bytes == 300


def test_a_big_answer_takes_the_room_of_several() -> None:
    memory = Memory(300)
    for key in (b"a", b"b", b"c"):
        memory.put((1, key), answer(), 100, 60)
    memory.put((1, b"big"), answer(), 250, 60)
    assert memory.evictions == 3
    assert memory.size_bytes == 250


def test_an_answer_that_never_fits_drives_out_nothing() -> None:
    memory = Memory(300)
    memory.put((1, b"a"), answer(), 100, 60)
    memory.put((1, b"huge"), answer(), 301, 60)
    assert memory.get((1, b"a")) is not None
    assert memory.get((1, b"huge")) is None
    assert memory.evictions == 0


def test_keeping_again_replaces() -> None:
    memory = Memory(300)
    memory.put((1, b"a"), answer(1), 100, 60)
    newer = answer(2)
    memory.put((1, b"a"), newer, 100, 60)
    assert memory.get((1, b"a")) is newer
    assert (memory.size_bytes, memory.evictions) == (100, 0)


def test_the_answers_of_one_load_can_be_dropped() -> None:
    memory = Memory(1000)
    for load in (1, 2):
        for key in (b"a", b"b"):
            memory.put((load, key), answer(), 100, 60)
    assert memory.forget(1) == 2
    assert memory.forget(1) == 0
    assert memory.get((1, b"a")) is None
    assert memory.get((2, b"a")) is not None


def test_texts_count_by_their_length() -> None:
    short = PredictResponse({"Y": np.array(["a"], dtype=object)})
    long = PredictResponse({"Y": np.array(["a" * 10_000], dtype=object)})
    assert size_of(long) - size_of(short) == 9_999
    assert size_of(answer()) >= 4
