"""What is written for others is read back the same, or not at all."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from foretell.plugin import PredictResponse
from foretell.tensors import DTYPES
from foretell_plugins.cache.values import decode, encode

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
    found = decode(encode(PredictResponse(outputs), "f1"), "f1")
    assert found is not None
    assert list(found.outputs) == list(outputs)
    for name, array in outputs.items():
        other = found.outputs[name]
        assert (other.dtype, other.shape) == (array.dtype, array.shape)
        assert not other.flags.writeable
        if array.dtype.hasobject:
            assert other.tolist() == array.tolist()
        else:
            assert other.tobytes() == array.tobytes()


ANSWER = PredictResponse({"Y": np.array([[1, 2]], dtype=np.float32), "L": np.array(["a"], dtype=object)})
RAW = encode(ANSWER, "f1")


def test_the_answer_of_other_files_is_not_taken() -> None:
    assert decode(RAW, "f2") is None


def test_another_form_is_not_read() -> None:
    value = msgspec.msgpack.decode(RAW)
    assert decode(msgspec.msgpack.encode([value[0] + 1, *value[1:]]), "f1") is None


@given(st.integers(0, len(RAW) - 1), st.integers(0, 255))
def test_a_damaged_answer_is_none_or_of_the_same_form(place: int, byte: int) -> None:
    damaged = bytearray(RAW)
    damaged[place] = byte
    found = decode(bytes(damaged), "f1")
    assert found is None or len(found.outputs) >= 1


@pytest.mark.parametrize("length", range(0, len(RAW), 7), ids=str)
def test_a_truncated_answer_is_none(length: int) -> None:
    assert decode(RAW[:length], "f1") is None


@pytest.mark.parametrize(
    "array",
    [
        ["Y", "O", [1], b"12345678"],
        ["Y", "<f4", [3], b"12345678"],
        ["Y", "<f4", [1], ["a"]],
        ["Y", "no dtype", [1], b"1234"],
        ["Y", "<f4", [-1, -1], b"1234"],
    ],
    ids=["objects from bytes", "wrong length", "texts as numbers", "unknown dtype", "impossible shape"],
)
def test_nonsense_is_none(array: list[Any]) -> None:
    assert decode(msgspec.msgpack.encode([1, "f1", [array]]), "f1") is None
