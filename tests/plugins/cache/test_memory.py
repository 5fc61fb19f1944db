"""Answers are kept for a while and in a bounded room."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from foretell.plugin import PredictResponse
from foretell_plugins.cache.memory import Memory
from tests.servers import ROOT

if TYPE_CHECKING:
    from foretell.tensors import Array

OURS, OTHERS = b"owner 01", b"owner 02"


class Clock:
    """A clock that stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def answer(columns: int = 0) -> PredictResponse:
    return PredictResponse({"Y": np.ones((1, columns), dtype=np.float32)})


def key(name: str, owner: bytes = OURS) -> bytes:
    return owner + name.encode()


def keep(memory: Memory, name: str, response: PredictResponse | None = None, owner: bytes = OURS) -> None:
    memory.keep(key(name, owner), response or answer(), ttl_s=60, max_bytes=1_000_000)


def size_of(response: PredictResponse) -> int:
    """How much an answer is said to take."""
    memory = Memory(1_000_000)
    keep(memory, "k", response)
    return memory.size_bytes


ONE = size_of(answer())


def test_an_answer_is_kept_until_it_is_too_old() -> None:
    clock = Clock()
    memory = Memory(10_000, clock_s=clock)
    memory.keep(key("k"), answer(3), ttl_s=5.0, max_bytes=10_000)
    clock.now = 4.999
    kept = memory.get(key("k"))
    assert kept is not None
    assert kept["Y"].tolist() == [[1, 1, 1]]
    clock.now = 5.0
    assert memory.get(key("k")) is None
    assert (memory.size_bytes, memory.evictions) == (0, 0)


def test_what_was_not_asked_for_longest_goes_first() -> None:
    memory = Memory(3 * ONE)
    for name in "abc":
        keep(memory, name)
    memory.get(key("a"))
    keep(memory, "d")
    assert [memory.get(key(name)) is not None for name in "abcd"] == [True, False, True, True]
    assert memory.evictions == 1
    assert memory.size_bytes == 3 * ONE


def test_a_big_answer_takes_the_room_of_several() -> None:
    memory = Memory(3 * ONE)
    for name in "abc":
        keep(memory, name)
    keep(memory, "d", answer(ONE // 2))
    assert memory.evictions == 3
    assert memory.size_bytes == size_of(answer(ONE // 2)) <= 3 * ONE


def test_an_answer_that_never_fits_drives_out_nothing() -> None:
    memory = Memory(3 * ONE)
    keep(memory, "a")
    keep(memory, "b", answer(ONE))
    assert memory.get(key("a")) is not None
    assert memory.get(key("b")) is None
    assert (memory.size_bytes, memory.evictions) == (ONE, 0)


def test_an_answer_that_is_too_big_is_left_alone() -> None:
    memory, array = Memory(10_000), np.ones(1000)
    memory.keep(key("k"), PredictResponse({"Y": array}), ttl_s=60, max_bytes=999)
    assert memory.get(key("k")) is None
    assert array.flags.writeable
    assert memory.size_bytes == 0


def test_keeping_again_replaces() -> None:
    memory = Memory(3 * ONE)
    keep(memory, "a")
    keep(memory, "a", PredictResponse({"Y": np.full((1, 0), 2, dtype=np.float64)}))
    kept = memory.get(key("a"))
    assert kept is not None
    assert kept["Y"].dtype == np.float64
    assert (memory.size_bytes, memory.evictions) == (ONE, 0)


KINDS: dict[str, Array] = {
    "numbers": np.arange(6, dtype=np.float32).reshape(2, 3),
    "one number": np.array(1.5),
    "none": np.empty((2, 0), dtype=np.int64),
    "column by column": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "a part of others": np.arange(6)[::2],
    "another order of bytes": np.arange(3, dtype=">i4"),
    "yes and no": np.array([True, False]),
    "texts": np.array([["a", ""], ["\u00e4\0", "b"]], dtype=object),
    "one text": np.array("a", dtype=object),
    "no texts": np.empty((0, 2), dtype=object),
}


@pytest.mark.parametrize("array", KINDS.values(), ids=KINDS)
def test_what_was_kept_is_given_again_as_it_was(array: Array) -> None:
    memory = Memory(10_000)
    keep(memory, "k", PredictResponse({"Y": array, "Z": array}))
    kept = memory.get(key("k"))
    assert kept is not None
    assert list(kept) == ["Y", "Z"]
    for other in kept.values():
        assert (other.dtype, other.shape, other.tolist()) == (array.dtype, array.shape, array.tolist())


@pytest.mark.parametrize(
    "array",
    [np.ones(2), np.ones((2, 2))[0], np.array(["1", "1"], dtype=object)],
    ids=["own", "part", "texts"],
)
def test_whoever_has_an_answer_may_change_it_and_what_is_kept_stays(array: Array) -> None:
    memory, before = Memory(10_000), array.tolist()
    response = PredictResponse({"Y": array})
    memory.keep(key("a"), response, ttl_s=60, max_bytes=10_000)
    array[0] = 99
    response.outputs["more"] = array
    for _ in range(2):
        kept = memory.get(key("a"))
        assert kept is not None
        assert {name: each.tolist() for name, each in kept.items()} == {"Y": before}
        kept["Y"][0] = 99
        kept["Y"] = array


def test_the_answers_of_some_owners_can_be_dropped() -> None:
    memory = Memory(10_000_000)
    for owner in (OURS, OTHERS):
        for number in range(2500):
            keep(memory, str(number), owner=owner)
    size_bytes = memory.size_bytes
    assert asyncio.run(memory.forget({OURS})) == 2500
    assert asyncio.run(memory.forget({OURS})) == 0
    assert memory.get(key("1")) is None
    assert memory.get(key("1", OTHERS)) is not None
    assert memory.size_bytes == size_bytes // 2
    assert memory.evictions == 0


def test_others_go_on_while_answers_are_dropped() -> None:
    memory = Memory(10_000_000)
    for number in range(5000):
        keep(memory, str(number))

    async def scenario() -> int:
        turns = 0
        dropping = asyncio.ensure_future(memory.forget({OURS}))
        while not dropping.done():
            await asyncio.sleep(0)
            turns += 1
        return turns

    assert asyncio.run(scenario()) >= 5


# What is kept in so many answers, and how much more memory the process needs for them than it is said to.
MEASURE = """
import gc, sys
import numpy as np
from foretell.plugin import PredictResponse
from foretell_plugins.cache.memory import Memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

def answer(number):
    floats = np.full((4, 8), number, dtype=np.float32)
    return {
        "row": lambda: {"label": np.array([number]), "probabilities": floats[:1, :3]},
        "one number": lambda: {"Y": floats[0, :1]},
        "many rows": lambda: {"Y": np.full((64, 16), number, dtype=np.float32)[:]},
        "label": lambda: {"label": np.array([f"class number {number}"], dtype=object)},
        "texts": lambda: {"label": np.array([f"class {number + each}" for each in range(50)], dtype=object)},
        "four outputs": lambda: {name: floats[:1, :5] for name in "abcd"},
    }[sys.argv[1]]()

memory = Memory(1 << 40)

def keep(numbers):
    for number in numbers:
        key = number.to_bytes(8) * (int(sys.argv[2]) // 8)
        memory.keep(key, PredictResponse(answer(number)), ttl_s=60, max_bytes=1 << 30)
    gc.collect()

keep(range(2000))
before, told = resident(), memory.size_bytes
keep(range(2000, 2000 + int(sys.argv[3])))
print((resident() - before) / (memory.size_bytes - told))
"""


@pytest.mark.parametrize(
    ("kind", "key_bytes", "count"),
    [
        ("row", 64, 40_000),
        ("row", 512, 40_000),
        ("one number", 64, 40_000),
        ("many rows", 128, 8_000),
        ("label", 64, 40_000),
        ("texts", 128, 6_000),
        ("four outputs", 128, 30_000),
    ],
    ids=str,
)
def test_answers_take_about_as_much_memory_as_they_are_said_to(kind: str, key_bytes: int, count: int) -> None:
    command = [sys.executable, "-c", MEASURE, kind, str(key_bytes), str(count)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    assert 0.75 <= float(done.stdout) <= 1.25
