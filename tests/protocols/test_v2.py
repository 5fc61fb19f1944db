"""The Open Inference Protocol V2: whole tensors, as JSON and as binary data."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from foretell.errors import InvalidInputError, MalformedError
from foretell.parser import Parser
from foretell.prediction import PredictRequest, PredictResponse, RequestRecord
from foretell.protocols.codec import Payload
from foretell.protocols.deadlines import Deadlines
from foretell.protocols.encoding import encode, json_values
from foretell.protocols.v2.codec import V2Codec
from foretell.protocols.v2.datatypes import DATATYPES
from foretell.signature import Column, Signature, Tensor
from foretell.tensors import DTYPES, Array, DTypeName

HEADER = b"inference-header-content-length"
OUTPUT = Tensor("Y", "float32", ("batch",))
PLAIN = Signature((Tensor("X", "float32", ("batch", 2)),), (OUTPUT,))
MIXED = Signature(
    (
        Tensor("n", "float32", ("batch", 3)),
        Tensor("s", "string", ("batch", 1)),
        Tensor("i", "int64", ("batch", 1)),
    ),
    (OUTPUT, Tensor("Z", "string", ("batch",))),
    columns=(
        Column("age", "float32", "n", minimum=0, maximum=0.7),
        Column("gap", "float32", "n", missing="nan"),
        Column("flag", "bool", "n"),
        Column("colour", "string", "s", categories=("red", "blue"), missing="empty"),
        Column("count", "int64", "i", minimum=1, maximum=9),
    ),
    enforce=("ranges", "categories"),
)


def codec_of(signature: Signature = PLAIN, **more: Any) -> V2Codec:
    return V2Codec(
        Parser(signature, max_rows=10, name="m."),
        model="m",
        version=3,
        deadlines=Deadlines(0, 2 * 10**9),
        **more,
    )


def tensor_json(name: str, values: Array, datatype: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "shape": list(values.shape),
        "datatype": datatype,
        "data": values.reshape(-1).tolist(),
        **more,
    }


def decode(codec: V2Codec, body: bytes | dict[str, Any], *headers: tuple[bytes, bytes]) -> PredictRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return codec.decode(raw, RequestRecord("r", "v2", 1000, headers=headers))[0]


def ask(codec: V2Codec, data: Any, **changes: Any) -> PredictRequest:
    given = {"name": "X", "shape": [2, 2], "datatype": "FP32", "data": data, **changes}
    return decode(codec, {"inputs": [given]})


def framed(message: dict[str, Any], *tensors: bytes) -> tuple[bytes, tuple[bytes, bytes]]:
    head = json.dumps(message).encode()
    return head + b"".join(tensors), (HEADER, str(len(head)).encode())


def texts(*values: str) -> bytes:
    return b"".join(struct.pack("<I", len(value.encode())) + value.encode() for value in values)


# ------------------------------------------------------------------ JSON


@pytest.mark.parametrize("data", [[1, 2, 3, 4], [[1, 2], [3, 4]]], ids=["flat", "nested"])
def test_data_is_flat_or_nested(data: Any) -> None:
    request = ask(codec_of(), data)
    assert request.inputs["X"].tolist() == [[1, 2], [3, 4]]
    assert request.inputs["X"].dtype == np.float32
    assert request.rows == 2


@pytest.mark.parametrize(
    ("data", "changes", "message"),
    [
        ([1, 2, 3], {}, "expected 4 elements"),
        ([1, 2, 3, 4, 5], {}, "expected 4 elements"),
        ([1] * 1000, {}, "expected 4 elements, as the shape says, got more"),
        ([[1, 2, 3, 4]], {}, "expected lists nested as"),
        ([[1, 2], [3]], {}, "different lengths"),
        ([[[1, 2], [3, 4]]], {}, "got 3 deep"),
        ([1, 2, 3, "4"], {}, r"\$\.inputs\[0\]\.data\[3\]"),
        ([1, 2, 3, None], {}, "got null"),
        ([1, 2, 3, 1e39], {}, "expected float <= "),
        ([1, 2, 3, True], {}, "got bool"),
        ([1, 2, 3, 4], {"datatype": "FP64"}, "expected FP32 for 'X', got 'FP64'"),
        ([1, 2, 3, 4], {"shape": [4]}, r"expected the shape \[-1, 2\]"),
        ([1, 2, 3, 4], {"shape": [4, 1]}, r"expected the shape \[-1, 2\]"),
        ([1, 2, 3, 4], {"shape": [-1, 2]}, r"\$\.inputs\[0\]\.shape\[0\]"),
        ([], {"shape": [0, 2]}, "expected 1 to 10 rows, got 0"),
        ([1, 2], {"shape": [10**30, 2]}, r"\$\.inputs\[0\]\.shape\[0\]"),
        ([1] * 22, {"shape": [11, 2]}, "expected 1 to 10 rows, got 11"),
        ([1, 2, 3, 4], {"name": "W"}, "'W' is not an input: expected 'X'"),
        ([1, 2, 3, 4], {"parameters": {"shared_memory_region": "a"}}, "shared memory is not supported"),
        ([1, 2, 3, 4], {"parameters": {"binary_data_size": 16}}, "both 'data' and"),
        ("abcd", {}, "expected one flat list"),
    ],
)
def test_what_the_model_does_not_take_is_said(data: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        ask(codec_of(), data, **changes)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "missing required field 'inputs'"),
        ({"inputs": []}, "'X' is missing"),
        ({"inputs": [{"name": "X", "shape": [1, 2], "datatype": "FP32"}]}, "no 'data'"),
        ({"inputs": [tensor_json("X", np.ones((1, 2)), "FP32")] * 2}, "'X' is there twice"),
        (
            {"inputs": [tensor_json("X", np.ones((1, 2)), "FP32")], "outputs": [{"name": "W"}]},
            "'W' is not an output",
        ),
        (
            {"inputs": [tensor_json("X", np.ones((1, 2)), "FP32")], "outputs": [{"name": "Y"}] * 2},
            "'Y' is there twice",
        ),
        ({"inputs": [tensor_json("X", np.ones((1, 2)), "FP32")], "id": 5}, "expected 'str"),
        ({"inputs": [tensor_json("X", np.ones((1, 2)), "FP32")], "parameters": {"a": [1]}}, "parameters"),
        (
            {"inputs": [tensor_json("X", np.ones((1, 2)), "FP32")], "parameters": {"timeout": -1}},
            "microseconds",
        ),
        (
            {"inputs": [tensor_json("X", np.ones((1, 2)), "FP32")], "parameters": {"binary_data_output": 1}},
            "true or false",
        ),
    ],
)
def test_what_the_protocol_does_not_say_is_said(body: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        decode(codec_of(), body)


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": ' + b"[" * 200_000, b"\xff", b'{"inputs": [nan]}'])
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        decode(codec_of(), body)


@pytest.mark.parametrize("shape", [(2, 0), (0, 2), (3, 2, 0), (2, 0, 3), (0,)], ids=str)
def test_a_tensor_without_elements_is_flat_or_nested(shape: tuple[int, ...]) -> None:
    codec = codec_of(Signature((Tensor("X", "float32", shape),), (OUTPUT,)))
    nested: Any = np.zeros(shape).tolist()
    for data in (nested, np.zeros(0).tolist()):
        assert ask(codec, data, shape=list(shape)).inputs["X"].shape == shape
    with pytest.raises(InvalidInputError, match="expected 0 elements, as the shape says, got more"):
        ask(codec, [1.0] * 40, shape=list(shape))


def test_unknown_members_are_ignored() -> None:
    body = {"inputs": [tensor_json("X", np.ones((1, 2)), "FP32", more={"a": [1]})], "anything": [1, {"a": 2}]}
    assert decode(codec_of(), body).rows == 1


def test_numbers_that_json_has_no_form_for_are_texts() -> None:
    values = ask(codec_of(), ["NaN", "Infinity", "-Infinity", 1]).inputs["X"]
    np.testing.assert_array_equal(values, np.array([[np.nan, np.inf], [-np.inf, 1]], dtype=np.float32))


# ------------------------------------------------------------------ what columns ask


def mixed(**changes: Any) -> PredictRequest:
    values: dict[str, Any] = {"n": [[0.7, None, 1]], "s": [["red"]], "i": [[9]], **changes}
    datatypes = {"n": "FP32", "s": "BYTES", "i": "INT64"}
    inputs = [
        {"name": name, "shape": list(np.shape(data)), "datatype": datatypes[name], "data": data}
        for name, data in values.items()
    ]
    return decode(codec_of(MIXED), {"inputs": inputs})


def test_columns_take_their_own_sample() -> None:
    inputs = mixed(s=[[None]]).inputs
    np.testing.assert_array_equal(inputs["n"], np.array([[0.7, np.nan, 1]], dtype=np.float32))
    assert inputs["s"].tolist() == [[""]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"n": [[None, 1, 1]]},
            "row 0 of the column 'age': expected a finite number, got nan; this value may not be",
        ),
        ({"n": [["Infinity", 1, 1]]}, "'age': expected a finite number, got inf"),
        ({"n": [[0.1, "Infinity", 1]]}, "'gap': expected a finite number, got inf"),
        ({"n": [[0.71, 1, 1]]}, "'age': expected a number from 0.0 to 0.7"),
        ({"n": [[-0.1, 1, 1]]}, "'age': expected a number from 0.0"),
        ({"n": [[0.1, 1, 2]]}, "'flag': expected a number from 0.0 to 1.0"),
        ({"n": [[0.1, 1, 0.5]]}, "'flag': expected a whole number"),
        ({"s": [["green"]]}, "'colour': expected one of 'blue', 'red'"),
        ({"i": [[10]]}, "'count': expected a number from 1 to 9"),
        ({"i": [[5], [5]]}, "they must be equal"),
    ],
)
def test_columns_ask_the_same_of_tensors(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        mixed(**changes)


# ------------------------------------------------------------------ binary data


def x_binary(size: object = 16, shape: tuple[int, int] = (2, 2)) -> dict[str, Any]:
    given = {"name": "X", "shape": shape, "datatype": "FP32", "parameters": {"binary_data_size": size}}
    return {"inputs": [given]}


def test_binary_data_is_not_copied_where_it_is_aligned() -> None:
    message = x_binary()
    message["id"] = " " * (-len(json.dumps({**message, "id": ""})) % 16)
    body, header = framed(message, np.arange(4, dtype="<f4").tobytes())
    tensor = decode(codec_of(), body, header).inputs["X"]
    assert tensor.tolist() == [[0, 1], [2, 3]]
    assert np.shares_memory(tensor, np.frombuffer(body, dtype=np.uint8))


@pytest.mark.parametrize("pad", range(16))
def test_binary_data_may_begin_anywhere_and_is_computed_with_as_if_it_were_json(pad: int) -> None:
    body, header = framed({**x_binary(), "id": "x" * pad}, np.arange(4, dtype="<f4").tobytes())
    tensor = decode(codec_of(), body, header).inputs["X"]
    assert tensor.tolist() == [[0, 1], [2, 3]]
    assert tensor.ctypes.data % 16 == 0  # else some operators' last bits are others


@pytest.mark.parametrize(
    ("message", "tensors", "text"),
    [
        (x_binary(), bytes(15), "announced, and 15 are left"),
        (x_binary(), bytes(17), "1 bytes of binary data belong to no input"),
        (x_binary(12), bytes(12), "expected 16 bytes"),
        (x_binary(-1), bytes(16), "expected a number of bytes"),
        (x_binary("16"), bytes(16), "expected a number of bytes"),
        (x_binary(True), bytes(16), "expected a number of bytes"),
        (x_binary(16.5), bytes(16), "expected a number of bytes"),
        (x_binary(2**80), bytes(16), "announced|number"),
        (x_binary(16, (2**40, 2**40)), bytes(16), "expected|shape"),
    ],
)
def test_binary_data_that_does_not_fit_is_refused(message: dict[str, Any], tensors: bytes, text: str) -> None:
    body, header = framed(message, tensors)
    with pytest.raises((MalformedError, InvalidInputError), match=text):
        decode(codec_of(), body, header)


@pytest.mark.parametrize("value", [b"-1", b"abc", b"9999", b"1e2", b"", b"9" * 5000, "²".encode()])
def test_a_length_that_is_none_is_refused(value: bytes) -> None:
    with pytest.raises(MalformedError, match="Inference-Header-Content-Length"):
        decode(codec_of(), b"{}", (HEADER, value))


def test_texts_have_their_lengths_before_them() -> None:
    signature = Signature((Tensor("s", "string", (None, 2)),), (OUTPUT,))
    data = texts("a", "", "ü🌸", "xyz")
    message = {
        "inputs": [
            {"name": "s", "shape": [2, 2], "datatype": "BYTES", "parameters": {"binary_data_size": len(data)}}
        ]
    }
    body, header = framed(message, data)
    assert decode(codec_of(signature), body, header).inputs["s"].tolist() == [["a", ""], ["ü🌸", "xyz"]]
    for wrong in (
        data[:-1],
        data + b"\0\0\0\0",
        struct.pack("<I", 2**32 - 1) + data[4:],
        data[:-3] + b"\xff\xfe\xfd",
    ):
        message["inputs"][0]["parameters"] = {"binary_data_size": len(wrong)}
        body, header = framed(message, wrong)
        with pytest.raises(InvalidInputError):
            decode(codec_of(signature), body, header)


def test_a_boolean_is_0_or_1() -> None:
    signature = Signature((Tensor("b", "bool", (None,)),), (OUTPUT,))
    message = {
        "inputs": [{"name": "b", "shape": [2], "datatype": "BOOL", "parameters": {"binary_data_size": 2}}]
    }
    body, header = framed(message, b"\1\0")
    assert decode(codec_of(signature), body, header).inputs["b"].tolist() == [True, False]
    body, header = framed(message, b"\1\2")
    with pytest.raises(InvalidInputError, match="0 or 1"):
        decode(codec_of(signature), body, header)


def test_a_body_may_be_the_only_tensor() -> None:
    request, write = codec_of().decode(
        np.arange(6, dtype="<f4").tobytes(), RequestRecord("r", "v2", 0, headers=((HEADER, b"0"),))
    )
    assert request.inputs["X"].tolist() == [[0, 1], [2, 3], [4, 5]]
    answer = write(request, PredictResponse({"Y": np.array([1, 2, 3], dtype=np.float32)}))
    assert isinstance(answer, Payload)
    assert answer.body.endswith(np.array([1, 2, 3], dtype="<f4").tobytes())
    for wrong in (b"\0" * 9, b""):
        with pytest.raises(InvalidInputError):
            decode(codec_of(), wrong, (HEADER, b"0"))


def test_nothing_is_read_of_a_tensor_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **__: object) -> None:
        pytest.fail("it was read")

    for name in ("tensor_of_bytes", "tensor_of_json"):
        monkeypatch.setattr(f"foretell.protocols.v2.codec.{name}", read)
    body, header = framed(x_binary(1000 * 8, (1000, 2)), bytes(1000 * 8))
    with pytest.raises(InvalidInputError, match="expected 1 to 10 rows, got 1000"):
        decode(codec_of(), body, header)
    with pytest.raises(InvalidInputError, match="expected 1 to 10 rows, got 1000"):
        ask(codec_of(), [0] * 2000, shape=[1000, 2])


# ------------------------------------------------------------------ answers


def answer(body: dict[str, Any], outputs: dict[str, Array], signature: Signature = PLAIN) -> Any:
    request, write = codec_of(signature).decode(json.dumps(body).encode(), RequestRecord("r", "v2", 0))
    written = write(request, PredictResponse(outputs))
    if not isinstance(written, Payload):
        return json.loads(written)
    headers = dict(written.headers)
    assert headers[b"content-type"] == b"application/octet-stream"
    length = int(headers[HEADER])
    return json.loads(written.body[:length]), written.body[length:]


ONE = {"inputs": [tensor_json("X", np.ones((1, 2)), "FP32")]}
TWO_OUTPUTS = Signature((Tensor("X", "float32", ("batch", 2)),), (OUTPUT, Tensor("Z", "string", ("batch",))))
GIVEN = {"Y": np.array([0.1], dtype=np.float32), "Z": np.array(["ü"], dtype=object)}


def test_an_answer_repeats_the_id_and_says_who_gave_it() -> None:
    assert answer({**ONE, "id": "abc"}, {"Y": np.array([0.1], dtype=np.float32)}) == {
        "model_name": "m",
        "model_version": "3",
        "id": "abc",
        "outputs": [{"name": "Y", "datatype": "FP32", "shape": [1], "data": [0.1]}],
    }
    assert "id" not in answer(ONE, {"Y": np.array([0.1], dtype=np.float32)})


def test_a_scalar_has_no_axes() -> None:
    signature = Signature((Tensor("X", "float32", ()),), (Tensor("Y", "float32", ()),))
    for data in ([2.5], 2.5):
        body = {"inputs": [{"name": "X", "shape": [], "datatype": "FP32", "data": data}]}
        assert answer(body, {"Y": np.array(2.5, dtype=np.float32)}, signature)["outputs"] == [
            {"name": "Y", "datatype": "FP32", "shape": [], "data": [2.5]}
        ]


def test_texts_of_which_some_are_equal_are_each_in_their_place() -> None:
    labels = ["ü", "", "b", "ü", "b", ""]
    outputs = {"Z": np.array(labels, dtype=object).reshape(2, 3)}
    _, data = answer({**ONE, "parameters": {"binary_data_output": True}}, outputs, TWO_OUTPUTS)
    assert data == texts(*labels)


def test_outputs_go_as_binary_data_where_that_is_asked() -> None:
    head, data = answer({**ONE, "parameters": {"binary_data_output": True}}, GIVEN, TWO_OUTPUTS)
    assert head["outputs"] == [
        {"name": "Y", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}},
        {"name": "Z", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}},
    ]
    assert data == np.array([0.1], dtype="<f4").tobytes() + texts("ü")
    wanted = [{"name": "Z"}, {"name": "Y", "parameters": {"binary_data": True}}]
    head, data = answer({**ONE, "outputs": wanted}, {"Z": GIVEN["Z"], "Y": GIVEN["Y"]}, TWO_OUTPUTS)
    assert [output.get("data") for output in head["outputs"]] == [["ü"], None]
    assert data == np.array([0.1], dtype="<f4").tobytes()


def test_a_sequence_may_have_more_parts_than_its_signature_knows() -> None:
    given = {"Y": GIVEN["Y"], "Y_1": np.array([1], dtype=np.int64), "Y_2": GIVEN["Z"]}
    outputs = answer(ONE, given)["outputs"]
    assert [(output["name"], output["datatype"]) for output in outputs] == [
        ("Y", "FP32"),
        ("Y_1", "INT64"),
        ("Y_2", "BYTES"),
    ]


def test_the_outputs_that_are_wanted_are_asked_for() -> None:
    body = {**ONE, "outputs": [{"name": "Z"}]}
    assert decode(codec_of(TWO_OUTPUTS), body).outputs == ("Z",)
    assert decode(codec_of(TWO_OUTPUTS), {**ONE, "outputs": []}).outputs is None


@pytest.mark.parametrize(("timeout", "deadline_ns"), [(1000, 1_001_000), (10**9, 1000 + 2 * 10**9), (0, 0)])
def test_the_body_may_say_how_long_its_caller_waits(timeout: int, deadline_ns: int) -> None:
    request = decode(codec_of(), {**ONE, "parameters": {"timeout": timeout}})
    assert request.record.deadline_ns == deadline_ns


# ------------------------------------------------------------------ everything there and back


@st.composite
def arrays(draw: st.DrawFn) -> tuple[DTypeName, Array]:
    name = draw(st.sampled_from(sorted(DTYPES)))
    shape = draw(npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    if name == "string":
        count = int(np.prod(shape))
        values = draw(
            st.lists(st.text(st.characters(codec="utf-8"), max_size=5), min_size=count, max_size=count)
        )
        array = np.empty(count, dtype=object)
        array[:] = values
        return name, array.reshape(shape)
    return name, draw(npst.arrays(DTYPES[name].numpy, shape))


@given(arrays(), st.booleans(), st.booleans(), st.integers(0, 7))
def test_every_tensor_comes_back_as_it_went(
    drawn: tuple[DTypeName, Array], binary_in: bool, binary_out: bool, pad: int
) -> None:
    name, array = drawn
    signature = Signature((Tensor("X", name, array.shape),), (Tensor("Y", name, array.shape),))
    codec = codec_of(signature)
    message: dict[str, Any] = {"id": " " * pad, "parameters": {"binary_data_output": binary_out}}
    one: dict[str, Any] = {"name": "X", "shape": list(array.shape), "datatype": DATATYPES[name]}
    data = b""
    if binary_in:
        data = texts(*array.reshape(-1).tolist()) if name == "string" else array.tobytes()
        one["parameters"] = {"binary_data_size": len(data)}
    else:
        one["data"] = json.loads(encode({"data": json_values(array.reshape(-1))}))["data"]
    body, header = framed({**message, "inputs": [one]}, data)
    request, write = codec.decode(body, RequestRecord("r", "v2", 0, headers=(header,)))
    np.testing.assert_array_equal(request.inputs["X"], array)
    assert request.inputs["X"].dtype == array.dtype
    written = write(request, PredictResponse({"Y": request.inputs["X"]}))
    if isinstance(written, Payload):
        length = int(dict(written.headers)[HEADER])
        (output,) = json.loads(written.body[:length])["outputs"]
        back = {**one, "parameters": output["parameters"]}
        back.pop("data", None)
        body, header = framed({"inputs": [back]}, written.body[length:])
    else:
        (output,) = json.loads(written)["outputs"]
        body, header = framed({"inputs": [{**one, "data": output["data"], "parameters": {}}]})
    again = codec.decode(body, RequestRecord("r", "v2", 0, headers=(header,)))[0]
    np.testing.assert_array_equal(again.inputs["X"], array)


def test_lengths_that_no_tensor_has_are_refused_beside_an_axis_of_length_0() -> None:
    codec = codec_of(Signature((Tensor("X", "float32", ("batch", "a", "b")),), (OUTPUT,)))
    with pytest.raises(InvalidInputError, match=r"no tensor has the shape \[1, 0, 4611686018427387904\]"):
        ask(codec, [], shape=[1, 0, 2**62])
    assert ask(codec, [], shape=[1, 0, 7]).inputs["X"].shape == (1, 0, 7)


def test_a_number_that_json_does_not_have_is_no_text() -> None:
    texts_and_numbers = Signature(
        (Tensor("T", "string", ("batch", 1)), Tensor("N", "float32", ("batch", 1))), PLAIN.outputs
    )

    def body(text: str) -> bytes:
        shape = '"shape": [1, 1], "datatype"'
        return (
            f'{{"inputs": [{{"name": "T", {shape}: "BYTES", "data": [{text}]}}, '
            f'{{"name": "N", {shape}: "FP32", "data": [-Infinity]}}]}}'
        ).encode()

    codec = codec_of(texts_and_numbers)
    inputs = codec.decode(body('"NaN"'), RequestRecord("r", "v2", 0))[0].inputs
    assert inputs["T"].tolist() == [["NaN"]]
    assert inputs["N"].tolist() == [[-np.inf]]
    for bare in ("NaN", "Infinity", "-Infinity"):
        with pytest.raises(InvalidInputError, match=r"\$\.inputs\[0\]\.data"):
            codec.decode(body(bare), RequestRecord("r", "v2", 0))


def test_texts_may_be_missing_only_where_their_column_says_so() -> None:
    columns = (Column("a", "string", "T"), Column("b", "string", "T", missing="empty"))
    signature = Signature((Tensor("T", "string", ("batch", 2)),), PLAIN.outputs, columns)

    def ask_for(data: str) -> Array:
        head = '{"inputs": [{"name": "T", "shape": [2, 2], "datatype": "BYTES", "data": '
        return (
            codec_of(signature)
            .decode(f"{head}{data}}}]}}".encode(), RequestRecord("r", "v2", 0))[0]
            .inputs["T"]
        )

    for data in ('["x", null, "y", NaN]', '[["x", null], ["y", null]]'):
        assert ask_for(data).tolist() == [["x", ""], ["y", ""]]
    for data in ('["x", null, null, "z"]', '[["x", "z"], [null, "z"]]', '["x", "z", NaN, "z"]'):
        with pytest.raises(InvalidInputError, match=r"data\[1\]\[0\]: this value may not be missing"):
            ask_for(data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("[" * 900 + "]" * 900, "nested 2 deep, got 900 deep"),
        ("[" + ",".join(['""'] * 100_000) + "]", "expected 2 elements, as the shape says, got more"),
    ],
    ids=["deep", "many"],
)
def test_more_texts_than_the_shape_says_are_not_made(data: str, text: str) -> None:
    signature = Signature((Tensor("X", "string", ("batch", 2)),), PLAIN.outputs)
    for shape in ([1, 2], [0, 2] if "deep" in text else [1, 2]):
        head = f'{{"inputs": [{{"name": "X", "shape": {shape}, "datatype": "BYTES", "data": '
        with pytest.raises(InvalidInputError):
            codec_of(signature).decode(f"{head}{data}}}]}}".encode(), RequestRecord("r", "v2", 0))


def test_commas_in_texts_are_no_elements() -> None:
    signature = Signature((Tensor("X", "string", ("batch", 2)),), PLAIN.outputs)
    head = '{"inputs": [{"name": "X", "shape": [1, 2], "datatype": "BYTES", "data": '
    data = json.dumps([",,,,,,,,,,", '\\",\\,'])
    request, _ = codec_of(signature).decode(f"{head}{data}}}]}}".encode(), RequestRecord("r", "v2", 0))
    assert request.inputs["X"].tolist() == [json.loads(data)]
