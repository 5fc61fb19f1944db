"""The same values, asked through every protocol and in every form that it has, are the same tensors."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from foretell.parser import Parser
from foretell.prediction import RequestRecord
from foretell.protocols.codec import Codec
from foretell.protocols.deadlines import Deadlines
from foretell.protocols.invocations import InvocationsCodec
from foretell.protocols.native import NativeCodec
from foretell.protocols.rpc.codec import RpcCodec
from foretell.protocols.rpc.contents import FIELDS
from foretell.protocols.simple import SimpleBatchCodec, SimpleCodec
from foretell.protocols.v2.binary import HEADER, bytes_of
from foretell.protocols.v2.codec import V2Codec
from foretell.protocols.v2.datatypes import DATATYPES
from foretell.signature import Signature, Tensor
from foretell.tensors import DTYPES, Array, DTypeName
from tests.rpcs import infer_request, name_of

MOST_ROWS = 4


@st.composite
def batches(draw: st.DrawFn) -> Array:
    """Rows of any element type and shape, without what JSON has no number for."""
    name = draw(st.sampled_from(sorted(DTYPES)))
    inner = draw(npst.array_shapes(min_dims=0, max_dims=2, min_side=1, max_side=3))
    shape = (draw(st.integers(1, MOST_ROWS)), *inner)
    if name == "string":
        count = int(np.prod(shape))
        array = np.empty(count, dtype=object)
        array[:] = draw(st.lists(st.text(max_size=4), min_size=count, max_size=count))
        return array.reshape(shape)
    dtype = DTYPES[name].numpy
    elements = (
        npst.from_dtype(dtype, allow_nan=False, allow_infinity=False) if name.startswith("float") else None
    )
    return draw(npst.arrays(dtype, shape, elements=elements))


def nested(array: Array) -> Any:
    """The elements as nested lists, every float in the digits that its type needs."""
    if array.dtype.kind == "f":
        digits = [float(np.format_float_scientific(each, unique=True)) for each in array.reshape(-1)]
        return np.array(digits).reshape(array.shape).tolist()
    return array.tolist()


Ask = Callable[[Parser, DTypeName, Array], tuple[Codec, bytes, list[tuple[bytes, bytes]]]]
"""Makes the codec of a protocol, a body, and its headers."""


def _of_json(make: Callable[..., Codec], body: Callable[[Any], object]) -> Ask:
    def ask(parser: Parser, _: DTypeName, array: Array) -> tuple[Codec, bytes, list[tuple[bytes, bytes]]]:
        codec = make(parser, model="m", version=3, name="m.3.")
        return codec, json.dumps(body(nested(array))).encode(), []

    return ask


def _v2(kind: str) -> Ask:
    def ask(parser: Parser, name: DTypeName, array: Array) -> tuple[Codec, bytes, list[tuple[bytes, bytes]]]:
        codec = V2Codec(parser, model="m", version=3, deadlines=Deadlines())
        given: dict[str, Any] = {"name": "X", "shape": list(array.shape), "datatype": DATATYPES[name]}
        data = b""
        if kind == "binary":
            data = bytes_of(array)
            given["parameters"] = {"binary_data_size": len(data)}
        else:
            given["data"] = nested(array.reshape(-1) if kind == "flat" else array)
        head = json.dumps({"inputs": [given]}).encode()
        headers = [(HEADER, str(len(head)).encode())] if data else []
        return codec, head + data, headers

    return ask


def _rpc(*, typed: bool) -> Ask:
    def ask(parser: Parser, name: DTypeName, array: Array) -> tuple[Codec, bytes, list[tuple[bytes, bytes]]]:
        assert name_of(array) == name
        codec = RpcCodec(parser, model="m", version=3, deadlines=Deadlines())
        return codec, infer_request("m", typed=typed, X=array).SerializeToString(), []

    return ask


def _csv(parser: Parser, _: DTypeName, array: Array) -> tuple[Codec, bytes, list[tuple[bytes, bytes]]]:
    codec = InvocationsCodec(parser, model="m", version=3, name="m.3.")
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow([f"column {number}" for number in range(array.shape[1])])
    writer.writerows(nested(array))
    return codec, table.getvalue().encode(), [(b"content-type", b"text/csv")]


ASKS: dict[str, Ask] = {
    "native rows": _of_json(NativeCodec, lambda rows: {"instances": rows}),
    "native columns": _of_json(NativeCodec, lambda rows: {"inputs": {"X": rows}}),
    "simple": _of_json(SimpleCodec, lambda rows: {"features": rows[0]}),
    "simple batch": _of_json(SimpleBatchCodec, lambda rows: {"instances": rows}),
    "invocations rows": _of_json(InvocationsCodec, lambda rows: {"instances": rows}),
    "invocations columns": _of_json(InvocationsCodec, lambda rows: {"inputs": {"X": rows}}),
    "invocations split": _of_json(InvocationsCodec, lambda rows: {"dataframe_split": {"data": rows}}),
    "CSV": _csv,
    "V2 flat": _v2("flat"),
    "V2 nested": _v2("nested"),
    "V2 binary": _v2("binary"),
    "gRPC raw": _rpc(typed=False),
    "gRPC typed": _rpc(typed=True),
}


def _knows(ask: str, name: DTypeName, array: Array) -> bool:
    """Whether a form can say these values."""
    if ask == "CSV":  # a matrix of numbers: texts would be taken for missing ones, or for names
        return array.ndim == 2 and name not in {"string", "bool"}
    return not (ask == "gRPC typed" and name not in FIELDS)


@pytest.mark.parametrize("ask", list(ASKS))
@settings(max_examples=60, deadline=None)
@given(array=batches())
@example(array=np.array([[2**63 - 1, -(2**63)]], dtype=np.int64))
@example(array=np.array([[2**64 - 1, 2**53 + 1]], dtype=np.uint64))
@example(array=np.array([[5e-324, -0.0]], dtype=np.float64))
def test_every_form_of_every_protocol_gives_the_same_tensor(ask: str, array: Array) -> None:
    name = name_of(array)
    if not _knows(ask, name, array):
        return
    shape = ("batch", *array.shape[1:])
    parser = Parser(
        Signature((Tensor("X", name, shape),), (Tensor("Y", name, shape),)), max_rows=MOST_ROWS, name="m.3."
    )
    expected = array[:1] if ask == "simple" else array
    codec, body, headers = ASKS[ask](parser, name, array)
    request, _ = codec.decode(body, RequestRecord("id", codec.protocol, 0, headers=headers))
    got = request.inputs["X"]
    assert (got.dtype, got.shape, request.rows) == (expected.dtype, expected.shape, len(expected))
    if array.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(got), np.signbit(expected))
    np.testing.assert_array_equal(got, expected)
