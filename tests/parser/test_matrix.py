"""A matrix that was packed row by row is, to the last bit, the one that numpy makes of the same lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.parser.matrix import matrix_of
from foretell.tensors import DTYPES, DTypeName
from tests.parser.signatures import json_scalars

NUMBERS: list[DTypeName] = [name for name, dtype in DTYPES.items() if dtype.kind in {"int", "float"}]

NO_MATRIX: dict[str, list[Any]] = {
    "no rows": [],
    "no columns": [[]] * 200,
    "few": [[1.0] * 2] * 10,
    "short row": [[1.0] * 2] * 99 + [[1.0]],
    "long row": [[1.0] * 2] * 99 + [[1.0] * 3],
    "two lengths": [[1.0] * 4] * 50 + [[1.0] * 2] * 50,
    "deeper": [[1.0, 2.0]] * 99 + [[[1.0, 2.0], []]],
    "missing": [[1.0, None]] * 99,
    "text": [[1.0, "1"]] * 99,
    "record": [[1.0, 2.0]] * 99 + [{"a": 1.0, "b": 2.0}],
    "scalar": [[1.0, 2.0]] * 99 + [1.0],
    "great integer": [[10**400, 1.0]] * 99,
}


@given(dtype=st.sampled_from(NUMBERS), width=st.integers(1, 8), data=st.data())
@settings(deadline=None)
def test_a_packed_matrix_is_bit_for_bit_that_of_numpy(
    dtype: DTypeName, width: int, data: st.DataObject
) -> None:
    count = -(-100 // width)
    row = st.lists(json_scalars(dtype), min_size=width, max_size=width)
    rows = data.draw(st.lists(row, min_size=count, max_size=count + 2))
    expected = np.array(rows, dtype=dtype)
    for given_rows in (rows, [tuple(row) for row in rows]):
        tensor = matrix_of(given_rows, DTYPES[dtype])
        if dtype == "float16":
            assert tensor is None
            continue
        assert tensor is not None
        assert (tensor.dtype, tensor.shape, tensor.tobytes()) == (
            expected.dtype,
            expected.shape,
            expected.tobytes(),
        )
        assert tensor.__array_interface__["data"][0] % 16 == 0


@pytest.mark.parametrize("rows", NO_MATRIX.values(), ids=NO_MATRIX)
def test_what_is_no_plain_matrix_is_left_to_numpy(rows: list[Any]) -> None:
    assert matrix_of(rows, DTYPES["float64"]) is None


@pytest.mark.parametrize("value", [128, -129, 1.0], ids=str)
def test_a_number_that_an_integer_cannot_be_is_left_to_numpy(value: Any) -> None:
    assert matrix_of([[0, value]] * 99, DTYPES["int8"]) is None


def test_texts_and_booleans_are_left_to_numpy() -> None:
    assert matrix_of([["a"] * 2] * 99, DTYPES["string"]) is None
    assert matrix_of([[True] * 2] * 99, DTYPES["bool"]) is None
