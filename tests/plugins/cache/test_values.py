"""What is written for others is read back the same, or not at all."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from foretell.tensors import DTYPES
from foretell_plugins.cache.values import Value, decode, encode

QUESTION = b"q" * 16


def written(outputs: dict[str, Any]) -> bytes:
    return encode(outputs, fingerprint="f1", question=QUESTION, expires_s=12.5)


def read(raw: bytes) -> Value | None:
    return decode(raw, fingerprint="f1", question=QUESTION)


_numbers = st.sampled_from([dtype.numpy for dtype in DTYPES.values() if dtype.kind != "string"])
_tensors = st.one_of(
    arrays.arrays(_numbers, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)),
    arrays.arrays(
        np.dtype(object),
        arrays.array_shapes(min_dims=0, max_dims=2, max_side=3),
        elements=st.text(max_size=3),
    ),
)


@given(st.dictionaries(st.text(max_size=5), _tensors, max_size=3))
def test_an_answer_comes_back_as_it_was(outputs: dict[str, Any]) -> None:
    found = read(written(outputs))
    assert found is not None
    assert found.expires_s == 12.5
    assert list(found.outputs) == list(outputs)
    for name, array in outputs.items():
        other = found.outputs[name]
        assert (other.dtype, other.shape) == (array.dtype, array.shape)
        assert other.flags.writeable
        if array.dtype.hasobject:
            assert other.tolist() == array.tolist()
        else:
            assert other.tobytes() == array.tobytes()


ANSWER = {"Y": np.array([[1, 2]], dtype=np.float32), "L": np.array(["a"], dtype=object)}
RAW = written(ANSWER)


def test_the_answer_of_other_files_is_not_taken() -> None:
    assert decode(RAW, fingerprint="f2", question=QUESTION) is None


def test_the_answer_to_another_question_is_not_taken() -> None:
    assert decode(RAW, fingerprint="f1", question=b"p" * 16) is None


def test_another_form_is_not_read() -> None:
    value = msgspec.msgpack.decode(RAW)
    assert read(msgspec.msgpack.encode([value[0] + 1, *value[1:]])) is None


@given(st.integers(0, len(RAW) - 1), st.integers(0, 255))
def test_a_damaged_answer_is_none_or_of_the_same_form(place: int, byte: int) -> None:
    damaged = bytearray(RAW)
    damaged[place] = byte
    found = read(bytes(damaged))
    assert found is None or len(found.outputs) >= 1


@pytest.mark.parametrize("length", range(0, len(RAW), 7), ids=str)
def test_a_truncated_answer_is_none(length: int) -> None:
    assert read(RAW[:length]) is None


def test_a_length_that_is_made_up_is_none() -> None:
    value = msgspec.msgpack.decode(RAW)
    head = b"\x95" + b"".join(msgspec.msgpack.encode(part) for part in value[:-1])
    assert read(head + b"\xdd\xff\xff\xff\xff") is None


@pytest.mark.parametrize(
    "arrays",
    [
        [["Y", "O", [1], b"12345678"]],
        [["Y", "<f4", [3], b"12345678"]],
        [["Y", "<f4", [1], b"12345678"]],
        [["Y", "<f4", [1], ["a"]]],
        [["Y", "O", [2], ["a"]]],
        [["Y", "no dtype", [1], b"1234"]],
        [["Y", "<M8[s]", [1], b"12345678"]],
        [["Y", "<U1", [1], b"1234"]],
        [["Y", "<f4", [-1, -1], b"1234"]],
        [["Y", "<f4", [-1], b"1234"]],
        [["Y", "<f4", [2**63], b"1234"]],
        [["Y", "<f4", [2**63, 0], b""]],
        [["Y", "<f4", [1] * 100, b"1234"]],
        [["Y", "<f4", [1], b"1234"], ["Y", "<f4", [1], b"1234"]],
    ],
    ids=[
        "objects from bytes",
        "too short",
        "too long",
        "texts as numbers",
        "too few texts",
        "unknown dtype",
        "dates",
        "fixed texts",
        "impossible shape",
        "open shape",
        "huge axis",
        "huge axis of nothing",
        "many axes",
        "a name twice",
    ],
)
def test_nonsense_is_none(arrays: list[Any]) -> None:
    value = msgspec.msgpack.decode(RAW)
    assert read(msgspec.msgpack.encode([*value[:-1], arrays])) is None


@pytest.mark.parametrize("expires_s", [float("nan"), float("inf")], ids=str)
def test_an_answer_that_never_ends_is_none(expires_s: float) -> None:
    assert read(encode(ANSWER, fingerprint="f1", question=QUESTION, expires_s=expires_s)) is None
