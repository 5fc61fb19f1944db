"""The Open Inference Protocol V2 as messages of gRPC: raw and typed tensors, and what is refused."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from foretell.errors import InvalidInputError, MalformedError
from foretell.parser import Parser
from foretell.prediction import PredictRequest, PredictResponse, RequestRecord
from foretell.protocols.codec import body_of
from foretell.protocols.deadlines import Deadlines
from foretell.protocols.rpc.codec import RpcCodec
from foretell.protocols.rpc.messages import (
    Asked,
    ModelInferRequest,
    ModelInferResponse,
    has_more_fields,
    parse,
)
from foretell.protocols.v2.datatypes import DATATYPES
from foretell.signature import Column, Signature, Tensor
from foretell.tensors import DTYPES, Array, DTypeName
from tests.rpcs import add_input, infer_request, tensors_of

OUTPUT = Tensor("Y", "float32", ("batch",))
PLAIN = Signature((Tensor("X", "float32", ("batch", 2)),), (OUTPUT,))
ONES = np.ones((2, 2), dtype=np.float32)
S = 10**9


def codec_of(signature: Signature = PLAIN) -> RpcCodec:
    parser = Parser(signature, max_rows=10, name="m.")
    return RpcCodec(parser, model="m", version=3, deadlines=Deadlines(0, 2 * S))


def same(dtype: DTypeName) -> RpcCodec:
    shape = ("batch", "width")
    return codec_of(Signature((Tensor("X", dtype, shape),), (Tensor("Y", dtype, shape),)))


def record(*headers: tuple[bytes, bytes], deadline_ns: int = 0) -> RequestRecord:
    return RequestRecord("r", "grpc", 1000, headers=headers, deadline_ns=deadline_ns)


def decode(codec: RpcCodec, message: Any) -> PredictRequest:
    return codec.decode(message.SerializeToString(), record())[0]


def refusal(message: Any, codec: RpcCodec | None = None) -> str:
    with pytest.raises((InvalidInputError, MalformedError)) as refused:
        decode(codec or codec_of(), message)
    return str(refused.value)


def values_for(dtype: DTypeName) -> st.SearchStrategy[Array]:
    shapes = npst.array_shapes(min_dims=2, max_dims=2, max_side=4)
    if dtype == "string":
        texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
        return shapes.flatmap(
            lambda shape: st.lists(texts, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]).map(
                lambda each: np.array(each, dtype=object).reshape(shape)
            )
        )
    return npst.arrays(DTYPES[dtype].numpy, shapes)


# ------------------------------------------------------------------ both ways


@pytest.mark.parametrize("typed", [False, True], ids=["raw", "typed"])
@pytest.mark.parametrize("dtype", sorted(DATATYPES))
@given(data=st.data())
def test_tensors_are_what_was_sent_and_come_back_in_the_same_form(
    dtype: DTypeName, typed: bool, data: st.DataObject
) -> None:
    if dtype == "float16" and typed:
        return
    values = data.draw(values_for(dtype))
    message = infer_request("m", typed=typed, X=values)
    codec = same(dtype)
    request, encode = codec.decode(message.SerializeToString(), record())
    np.testing.assert_array_equal(request.inputs["X"], values)
    assert request.inputs["X"].dtype == values.dtype
    assert request.rows == len(values)
    answer = ModelInferResponse.FromString(body_of(encode(request, PredictResponse({"Y": values}))))
    assert bool(answer.raw_output_contents) is not typed
    np.testing.assert_array_equal(tensors_of(answer)["Y"], values)


def test_raw_numbers_are_not_copied_again() -> None:
    tensor = decode(codec_of(), infer_request("m", X=ONES)).inputs["X"]
    assert tensor.base is not None
    assert not tensor.flags.writeable


def test_an_answer_with_fp16_is_raw_though_the_request_was_typed() -> None:
    signature = Signature(PLAIN.inputs, (OUTPUT, Tensor("Z", "float16", ("batch",))))
    message = infer_request("m", typed=True, X=ONES)
    request, encode = codec_of(signature).decode(message.SerializeToString(), record())
    outputs: dict[str, Array] = {"Y": np.ones(2, dtype=np.float32), "Z": np.ones(2, dtype=np.float16)}
    both = ModelInferResponse.FromString(body_of(encode(request, PredictResponse(outputs))))
    assert [len(each) for each in both.raw_output_contents] == [8, 4]
    first = ModelInferResponse.FromString(body_of(encode(request, PredictResponse({"Y": outputs["Y"]}))))
    assert list(first.outputs[0].contents.fp32_contents) == [1, 1]


def test_scalars_and_empty_tensors_have_a_form_too() -> None:
    signature = Signature(
        (Tensor("n", "int64", ()), Tensor("e", "float32", ("a",))), (Tensor("Y", "int64", ()),)
    )
    for typed in (False, True):
        message = ModelInferRequest(model_name="m")
        add_input(message, "n", np.array(7), typed=typed)
        add_input(message, "e", np.zeros(0, dtype=np.float32), typed=typed)
        request, encode = codec_of(signature).decode(message.SerializeToString(), record())
        assert request.inputs["n"].shape == ()
        assert int(request.inputs["n"]) == 7
        assert request.inputs["e"].shape == (0,)
        written = ModelInferResponse.FromString(body_of(encode(request, PredictResponse({"Y": np.array(9)}))))
        assert tensors_of(written)["Y"].shape == ()


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("dtype", "values", "text"),
    [
        ("int8", [128], "expected int8 <= 127, got 128"),
        ("int16", [-(2**15) - 1], "expected int16 >= -32768"),
        ("uint8", [256], "expected uint8 <= 255, got 256"),
        ("uint16", [2**16], "expected uint16 <= 65535"),
    ],
)
def test_a_number_that_its_type_cannot_hold_is_refused(
    dtype: DTypeName, values: list[int], text: str
) -> None:
    message = ModelInferRequest(model_name="m")
    added = message.inputs.add(name="X", datatype=DATATYPES[dtype], shape=[1, 2])
    field = "int_contents" if dtype.startswith("int") else "uint_contents"
    getattr(added.contents, field).extend([1, *values])
    told = refusal(message, same(dtype))
    assert text in told
    assert told.startswith(f"$.inputs[0].contents.{field}[1]")


def test_what_does_not_fit_together_is_refused() -> None:
    message = infer_request("m", typed=True, X=ONES)
    message.inputs[0].contents.fp32_contents.append(1)
    assert "expected 4 elements, as the shape [2, 2] says, got 5" in refusal(message)
    message.inputs[0].contents.fp64_contents.append(1)
    assert "fp64_contents does not hold FP32: expected fp32_contents" in refusal(message)
    message.raw_input_contents.append(ONES.tobytes())
    assert "expected one of both" in refusal(message)
    message = infer_request("m", X=ONES)
    message.raw_input_contents.append(b"")
    assert "expected one for each of 1 inputs, got 2" in refusal(message)
    message.ClearField("raw_input_contents")
    assert "it has no contents, and there are no raw_input_contents" in refusal(message)


def test_fp16_is_only_taken_raw() -> None:
    message = ModelInferRequest(model_name="m")
    added = message.inputs.add(name="X", datatype="FP16", shape=[1, 1])
    added.contents.fp32_contents.append(1)
    assert "FP16 has no typed contents: send it as raw_input_contents" in refusal(message, same("float16"))


def test_texts_must_be_utf_8() -> None:
    message = ModelInferRequest(model_name="m")
    added = message.inputs.add(name="X", datatype="BYTES", shape=[1, 2])
    added.contents.bytes_contents.extend([b"a", b"\xff"])
    assert "element 1 is not UTF-8" in refusal(message, same("string"))


@pytest.mark.parametrize("shape", [[-1, 2], [2, -2], [2], [11, 2], [2**62, 2]])
def test_shapes_that_the_model_does_not_take_are_refused(shape: list[int]) -> None:
    message = infer_request("m", X=ONES)
    message.inputs[0].shape[:] = shape
    assert refusal(message).startswith("$.inputs[0].shape")


def test_a_negative_length_is_refused_where_any_length_is_taken() -> None:
    message = infer_request("m", X=ONES)
    message.inputs[0].shape[:] = [1, -4]
    assert "no tensor has the shape [1, -4]" in refusal(message, same("float32"))


def test_what_columns_ask_holds_here_too() -> None:
    column = Column("age", "float32", "X", minimum=0, maximum=0.5)
    signature = Signature(
        (Tensor("X", "float32", ("batch", 1)),), (OUTPUT,), columns=(column,), enforce=("ranges",)
    )
    assert "age" in refusal(infer_request("m", X=np.ones((1, 1), dtype=np.float32)), codec_of(signature))


def test_extensions_that_would_change_the_answer_are_refused() -> None:
    message = infer_request("m", X=ONES)
    message.inputs[0].parameters["shared_memory_region"].string_param = "a"
    assert "shared memory is not supported" in refusal(message)
    for name in ("shared_memory_region", "classification"):
        message = infer_request("m", X=ONES)
        message.outputs.add(name="Y").parameters[name].int64_param = 1
        assert f"{name} is not supported" in refusal(message)


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(InvalidInputError, MalformedError):
        codec_of().decode(body, record())


@given(st.data())
def test_a_damaged_request_is_read_or_refused(data: st.DataObject) -> None:
    typed = data.draw(st.booleans())
    body = bytearray(infer_request("m", typed=typed, X=ONES).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        parse(Asked, bytes(body))
        request, _ = codec_of().decode(bytes(body), record())
    except (InvalidInputError, MalformedError):
        return
    assert request.inputs["X"].shape[1] == 2


# ------------------------------------------------------------------ the parameter timeout


def timeout_of(record_: RequestRecord, **parameter: Any) -> RequestRecord:
    message = infer_request("m", X=ONES)
    for name, value in parameter.items():
        setattr(message.parameters["timeout"], name, value)
    codec_of().decode(message.SerializeToString(), record_)
    return record_


@pytest.mark.parametrize("name", ["int64_param", "uint64_param", "double_param"])
def test_a_timeout_sets_the_deadline_up_to_the_greatest(name: str) -> None:
    assert timeout_of(record(), **{name: 500}).deadline_ns == 1000 + 500_000
    assert timeout_of(record(), **{name: 0}).deadline_ns == 0
    told = timeout_of(record(), **{name: 2**50})
    assert (told.deadline_ns, told.deadline_source) == (1000 + 2 * S, "parameters.timeout")


def test_the_earlier_of_both_deadlines_counts() -> None:
    header = (b"x-request-timeout", b"1")
    told = timeout_of(record(header, deadline_ns=1000 + S), int64_param=500)
    assert (told.deadline_ns, told.deadline_source) == (1000 + 500_000, "parameters.timeout")
    told = timeout_of(record(header, deadline_ns=1000 + S), int64_param=1_500_000)
    assert (told.deadline_ns, told.deadline_source) == (1000 + S, "X-Request-Timeout")


@pytest.mark.parametrize(
    "parameter", [{"string_param": "1"}, {"bool_param": True}, {"int64_param": -1}, {"double_param": np.nan}]
)
def test_a_timeout_that_is_none_is_refused(parameter: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="expected microseconds"):
        timeout_of(record(), **parameter)
    message = infer_request("m", X=ONES)
    message.parameters["timeout"].SetInParent()
    assert decode(codec_of(), message).rows == 2


def test_the_protocol_has_no_json_to_show() -> None:
    codec = codec_of()
    codec.check_media(b"text/csv")
    assert (codec.example(), codec.response_schema(), codec.request_type) == (None, {}, bytes)


def test_a_message_of_very_many_parts_is_refused_before_it_is_read() -> None:
    for part in (b"\x2a\x00", b"\x3a\x00", b"\xf8\x01\x07"):  # inputs, raw contents, what nobody knows
        with pytest.raises(MalformedError, match="more than 10000 parts"):
            parse(ModelInferRequest, part * 200_000)


@given(st.data())
def test_what_is_counted_are_the_fields_of_the_message(data: st.DataObject) -> None:
    message = ModelInferRequest(
        model_name=data.draw(st.text(max_size=5)), id=data.draw(st.text(max_size=300))
    )
    for _ in range(data.draw(st.integers(0, 4))):
        message.inputs.add(name="X", shape=[1, 2])
    message.raw_input_contents.extend(data.draw(st.lists(st.binary(max_size=200), max_size=4)))
    count = (
        bool(message.model_name) + bool(message.id) + len(message.inputs) + len(message.raw_input_contents)
    )
    body = message.SerializeToString()
    assert not has_more_fields(body, count)
    assert count == 0 or has_more_fields(body, count - 1)


@given(st.binary(max_size=60))
def test_fields_of_any_bytes_can_be_counted(body: bytes) -> None:
    assert has_more_fields(body, 60) is False
