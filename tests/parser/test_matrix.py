"""A matrix that was packed row by row is, to the last bit, the one that numpy makes of the same lists."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.errors import RequestError
from foretell.parser import matrix
from foretell.parser.matrix import matrix_of
from foretell.signature import BATCH
from foretell.tensors import DTYPES, DTypeName
from tests.parser.signatures import column, json_scalars, nested, packed
from tests.protocols.codecs import native, record

NUMBERS: list[DTypeName] = [name for name, dtype in DTYPES.items() if dtype.kind in {"int", "float"}]
BITS = {"float32": np.uint32, "float64": np.uint64}

SPELLINGS = st.sampled_from(
    [
        "-0",
        "-0.0",
        "0e-999999999",
        "1E400",
        "-1e400",
        "1E+5",
        "1.0000000596046448",  # between two float32, and a hair above the middle
        "1.00000005960464477539062",  # the middle itself
        "0.1234567890123456789",
        "3.4028235e38",
        "3.40282351e38",
        "1e-45",
        "2e-324",
        "5e-324",
        "1.7976931348623159e308",
        "9007199254740993",
        "9223372036854775807",
        "-9223372036854775809",
        "18446744073709551615",
        "18446744073709551616",
        "1" + "0" * 309,
        "0." + "123456789" * 90,
        "7" * 800 + "e-790",
        "01",
        "1.",
        ".5",
        "+1",
        "NaN",
        "Infinity",
        "null",
        "true",
        '"1"',
        "[1]",
        "[]",
        "{}",
    ]
)
ORDINARY = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(repr),
    st.integers(-(2**70), 2**70).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
)
SPACE = st.sampled_from(["", "", "", " ", "\t\r\n "])
KEYS = st.sampled_from(['"instances"'] * 6 + ['"inst\\u0061nces"', '"inputs"', '"other"'])


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Bodies that are a matrix of two columns, or nearly."""
    number = ORDINARY if draw(st.booleans()) else st.one_of(ORDINARY, SPELLINGS)
    lengths = st.just(2) if draw(st.booleans()) else st.sampled_from([2, 2, 2, 0, 1, 3])
    rows: list[str] = []
    for length in draw(st.lists(lengths, max_size=4)):
        values = draw(st.lists(number, min_size=length, max_size=length))
        spaced = [draw(SPACE) + value + draw(SPACE) for value in values]
        rows.append("[" + ",".join(spaced) + "]" + draw(SPACE))
    members = [
        f"{draw(SPACE)}{draw(KEYS)}:{draw(SPACE)}[{','.join(rows)}]"
        for _ in range(draw(st.sampled_from([1, 1, 1, 2])))
    ]
    return ("{" + ",".join(members) + "}").encode()


def outcome(decode: Any, body: bytes, many: int) -> Any:
    """The bits of the tensors that come of a body, or the complaint, where so many numbers are packed."""
    with patch.object(matrix, "_MANY", many):
        try:
            request, _ = decode(body, record())
        except RequestError as error:
            return type(error), str(error)
    return {name: (tensor.dtype, tensor.shape, tensor.tobytes()) for name, tensor in request.inputs.items()}


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "uint8"])
@pytest.mark.parametrize("columns", [True, False], ids=["columns", "plain"])
@given(body=texts())
@settings(deadline=None, max_examples=300)
def test_packing_changes_neither_a_bit_nor_a_complaint(dtype: DTypeName, columns: bool, body: bytes) -> None:
    signature = (
        packed(column("a", dtype), column("b", dtype), dtype=dtype)
        if columns
        else nested((BATCH, 2), dtype=dtype)
    )
    decode = native(signature).decode
    assert outcome(decode, body, 1) == outcome(decode, body, 1000)


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


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [[]] * 200,
        [[1.0] * 2] * 10,
        [[1.0] * 2] * 99 + [[1.0]],
        [[1.0] * 2] * 99 + [[1.0] * 3],
        [[1.0] * 4] * 50 + [[1.0] * 2] * 50,
        [[1.0, 2.0]] * 99 + [[[1.0, 2.0], []]],
        [[1.0, None]] * 99,
        [[1.0, "1"]] * 99,
        [[1.0, 2.0]] * 99 + [{"a": 1.0, "b": 2.0}],
        [[1.0, 2.0]] * 99 + [1.0],
        [[10**400, 1.0]] * 99,
    ],
    ids=[
        "no rows",
        "no columns",
        "few",
        "short row",
        "long row",
        "two lengths",
        "deeper",
        "missing",
        "text",
        "record",
        "scalar",
        "great integer",
    ],
)
def test_what_is_no_plain_matrix_is_left_to_numpy(rows: list[Any]) -> None:
    assert matrix_of(rows, DTYPES["float64"]) is None


@pytest.mark.parametrize("value", [128, -129, 1.0], ids=str)
def test_a_number_that_an_integer_cannot_be_is_left_to_numpy(value: Any) -> None:
    assert matrix_of([[0, value]] * 99, DTYPES["int8"]) is None


def test_texts_and_booleans_are_left_to_numpy() -> None:
    assert matrix_of([["a"] * 2] * 99, DTYPES["string"]) is None
    assert matrix_of([[True] * 2] * 99, DTYPES["bool"]) is None
