"""Answers as JSON: no digit too many, no value lost."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.protocols.encoding import encode, json_row, json_rows, json_values
from foretell.tensors import DTYPES, Array, DTypeName


def written(value: Any) -> Any:
    """What a caller reads of a value."""
    return json.loads(encode({"value": value}), parse_constant=pytest.fail)["value"]


def spelled(value: float) -> Any:
    """A number as the answer has it."""
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(str(value), value)


def digits(value: np.floating[Any]) -> Any:
    """The fewest digits that tell a number of its type apart."""
    return spelled(float(str(value)))


def test_a_float32_has_the_fewest_digits_that_tell_it_apart() -> None:
    tensor = np.array([0.1, 1 / 3, 16777216.0, 3.4028235e38, 1e-45, -0.0], dtype=np.float32)
    assert encode({"value": json_values(tensor)}) == (
        b'{"value":[0.1,0.33333334,16777216.0,3.4028235e+38,1e-45,-0.0]}'
    )


@pytest.mark.parametrize(
    "shape", [(), (1,), (1, 1), (1, 1, 1)], ids=["scalar", "vector", "matrix", "rank three"]
)
def test_a_float32_has_them_at_every_rank(shape: tuple[int, ...]) -> None:
    text = encode({"value": json_values(np.full(shape, 0.1, dtype=np.float32))})
    assert text == b'{"value":%s0.1%s}' % (b"[" * len(shape), b"]" * len(shape))
    if shape:
        rows = encode({"value": json_rows(np.full(shape, 0.1, dtype=np.float32))})
        assert rows == text


@given(values=st.lists(st.floats(width=32), min_size=1, max_size=8))
@settings(deadline=None)
def test_any_float32_is_read_back_as_what_it_was(values: list[float]) -> None:
    tensor = np.array(values, dtype=np.float32)
    expected = [digits(value) for value in tensor]
    assert written(json_values(tensor)) == expected
    assert written(json_rows(tensor)) == expected
    assert written(json_rows(tensor[:, None])) == [[value] for value in expected]
    assert np.array_equal(np.array([float(value) for value in expected], np.float32), tensor, equal_nan=True)


@given(values=st.lists(st.floats(), min_size=1, max_size=8))
@settings(deadline=None)
def test_any_float64_is_read_back_as_what_it_was(values: list[float]) -> None:
    tensor = np.array(values)
    assert written(json_values(tensor)) == [spelled(value) for value in values]
    assert written(json_rows(tensor)) == [spelled(value) for value in values]


@given(values=st.lists(st.floats(width=16), min_size=1, max_size=8))
@settings(deadline=None)
def test_any_float16_is_read_back_as_what_it_was(values: list[float]) -> None:
    tensor = np.array(values, dtype=np.float16)
    for given_back in (written(json_values(tensor)), written(json_rows(tensor))):
        read = np.array([float(value) for value in given_back], dtype=np.float16)
        assert np.array_equal(read, tensor, equal_nan=True)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_what_json_has_no_number_for_is_spelled_out_wherever_it_stands(dtype: DTypeName) -> None:
    tensor = np.array([[1, np.nan], [np.inf, -np.inf]], dtype=dtype)
    expected = [[1.0, "NaN"], ["Infinity", "-Infinity"]]
    assert written(json_values(tensor)) == expected
    assert written(json_rows(tensor)) == expected
    assert written(json_values(tensor[0])) == expected[0]
    assert written(json_rows(tensor[1])) == expected[1]
    assert written(json_values(tensor[0, 1:].reshape(()))) == "NaN"
    assert written([{"a": {"b": json_rows(tensor[1])}}, tensor[0, 0]]) == [{"a": {"b": expected[1]}}, 1.0]
    assert written(tensor[1, 1]) == "-Infinity"
    assert written(float("nan")) == "NaN"


def test_digits_stay_the_fewest_beside_what_json_has_no_number_for() -> None:
    tensor = np.array([[0.1, np.nan], [0.2, 0.3]], dtype=np.float32)
    assert encode({"value": json_values(tensor)}) == b'{"value":[[0.1,"NaN"],[0.2,0.3]]}'


@pytest.mark.parametrize(
    "answer",
    [
        {"value": "null"},
        {"value": ["a null b", None, True, 1]},
        {"null": {"null": [1.5, "null"]}},
    ],
    ids=["text", "list", "keys"],
)
def test_the_word_null_in_an_answer_changes_nothing(answer: dict[str, Any]) -> None:
    beside = {**answer, "tensor": np.array([[1, 2]]), "floats": json_values(np.array([0.1], np.float32))}
    assert json.loads(encode(beside)) == {**answer, "tensor": [[1, 2]], "floats": [0.1]}


@pytest.mark.parametrize("code", "?bBhHiIlLqQ")
def test_every_kind_of_integer_that_the_runtime_returns_is_written(code: str) -> None:
    tensor = np.array([[0, 1], [1, 0]], dtype=np.dtype(code))
    expected = [[False, True], [True, False]] if code == "?" else [[0, 1], [1, 0]]
    assert written(json_values(tensor)) == expected
    assert written(json_rows(tensor)) == expected
    assert written(json_values(tensor[0])) == expected[0]
    assert written(json_rows(tensor[0])) == expected[0]
    assert written(json_values(np.array(1, dtype=np.dtype(code)))) == expected[0][1]
    assert json.dumps(written(json_rows(tensor))) == json.dumps(expected)


@pytest.mark.parametrize("name", [name for name, dtype in DTYPES.items() if dtype.kind == "int"])
def test_the_limits_of_an_integer_are_written_exactly(name: DTypeName) -> None:
    limits = [DTYPES[name].minimum, DTYPES[name].maximum]
    assert written(json_values(np.array(limits, dtype=name))) == limits
    assert written(json_rows(np.array(limits, dtype=name))) == limits


@pytest.mark.parametrize(
    "tensor",
    [
        np.array("naïve", dtype=object),
        np.array(["null", "", "🌸"], dtype=object),
        np.array([["a", "b"], ['"', "\\\n"]], dtype=object),
    ],
    ids=["scalar", "vector", "matrix"],
)
def test_texts_are_written_as_they_are(tensor: Array) -> None:
    assert written(json_values(tensor)) == tensor.tolist()
    if tensor.ndim:
        assert written(json_rows(tensor)) == tensor.tolist()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3), (2, 3, 0)], ids=str)
def test_a_tensor_without_elements_keeps_its_outer_lists(dtype: DTypeName, shape: tuple[int, ...]) -> None:
    tensor = np.zeros(shape, dtype=DTYPES[dtype].numpy)
    assert written(json_values(tensor)) == tensor.tolist()
    assert written(json_rows(tensor)) == tensor.tolist()


@pytest.mark.parametrize("dtype", ["bool", "int64", "float32", "float64", "string"])
def test_a_tensor_may_lie_in_memory_in_any_order(dtype: DTypeName) -> None:
    plain = np.arange(12).reshape(3, 4).astype(DTYPES[dtype].numpy)
    views: list[Array] = [plain.T, plain[::2, ::-1], np.asfortranarray(plain), plain[:, 1], plain[::-1, 0]]
    for view in views:
        assert written(json_values(view)) == view.tolist()
        assert written(json_rows(view)) == view.tolist()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1,), (1, 1), (1, 3), (1, 2, 3), (1, 0), (1, 1, 1)], ids=str)
def test_one_row_is_written_as_the_first_of_many(dtype: DTypeName, shape: tuple[int, ...]) -> None:
    values = np.asfortranarray(np.random.default_rng(0).random(shape) * 100)
    if dtype == "string":
        tensors: list[Array] = [np.asarray(values.astype(str), dtype=object)]
    else:
        tensors = [values.astype(DTYPES[dtype].numpy)]
    if tensors[0].dtype.kind == "f":
        tensors += [np.full(shape, number, tensors[0].dtype) for number in (np.nan, np.inf, -0.0)]
    for tensor in tensors:
        assert encode({"predictions": [json_row(tensor)]}) == encode({"predictions": json_rows(tensor)})
