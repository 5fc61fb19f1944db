"""Many numbers are packed row by row, and nobody can tell by the tensors or the complaints."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.errors import RequestError
from foretell.parser import Parser, matrix
from foretell.protocols.deadlines import Deadlines
from foretell.protocols.v2.codec import V2Codec
from foretell.signature import BATCH, Missing
from foretell.tensors import DTypeName
from tests.parser.signatures import column, nested, packed
from tests.protocols.codecs import native, record

GAPS: dict[DTypeName, Missing] = {"float64": "nan", "float32": "nan"}

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
OF_V2 = st.sampled_from(['"NaN"', '"-Infinity"', "NaN", "null"])
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


@st.composite
def tensors(draw: st.DrawFn) -> bytes:
    """Bodies of V2 that are a flat or nested matrix of two columns, or nearly."""
    number = ORDINARY if draw(st.booleans()) else st.one_of(ORDINARY, SPELLINGS, OF_V2)
    rows = draw(st.lists(st.lists(number, min_size=2, max_size=2), min_size=1, max_size=3))
    if not draw(st.booleans()):
        rows[0] = draw(st.lists(number, max_size=4))
    parts = [("[{}]" if draw(st.booleans()) else "{}").format(",".join(row)) for row in rows]
    shape = [draw(st.sampled_from([len(rows)] * 5 + [1, 4])), 2]
    dtype = draw(st.sampled_from(["FP64", "FP32", "INT64"]))
    described = f'"name":"X","shape":{shape},"datatype":"{dtype}","data":{draw(SPACE)}[{",".join(parts)}]'
    return f'{{"inputs":[{{{described}}}]}}'.encode()


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


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
@pytest.mark.parametrize("columns", [True, False], ids=["columns", "plain"])
@given(body=tensors())
@settings(deadline=None, max_examples=300)
def test_it_changes_neither_of_them_in_the_data_of_v2(dtype: DTypeName, columns: bool, body: bytes) -> None:
    of_columns = packed(
        column("a", dtype), column("b", dtype, missing=GAPS.get(dtype, "refuse")), dtype=dtype
    )
    signature = of_columns if columns else nested((BATCH, 2), dtype=dtype)
    tensor = msgspec.structs.replace(signature.inputs[0], name="X")
    signature = signature if columns else msgspec.structs.replace(signature, inputs=(tensor,))
    decode = V2Codec(Parser(signature, max_rows=10), model="m", version=3, deadlines=Deadlines()).decode
    assert outcome(decode, body, 1) == outcome(decode, body, 1000)
