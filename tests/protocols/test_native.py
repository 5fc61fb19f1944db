"""The native protocol: rows in, rows out; columns in, columns out."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from foretell.errors import InvalidInputError
from foretell.prediction import PredictResponse
from foretell.protocols.codec import body_of as written
from foretell.signature import BATCH, Signature, Tensor
from foretell.tensors import Array
from tests.parser.signatures import column, nested, packed
from tests.protocols.codecs import answer, body_of, decode, fits_schema, native, record

TWO = packed(column("a"), column("b"))
ENVELOPE = {"model_name": "m", "model_version": "3", "request_id": "id"}
ROWS = {"instances": [[1, 2], {"b": 4, "a": 3}]}
COLUMNS = {"inputs": {"a": [1, 3], "b": [2, 4]}}


def giving(*outputs: Tensor) -> Signature:
    return Signature(TWO.inputs, outputs, TWO.columns)


@pytest.mark.parametrize(
    "body", [ROWS, COLUMNS, {"inputs": [[1, 2], [3, 4]]}], ids=["rows", "columns", "matrix"]
)
def test_every_form_gives_the_tensors_the_rows_and_the_identity_of_the_request(body: Any) -> None:
    request, _ = native(TWO).decode(body_of(body), record("some-id"))
    assert {name: tensor.tolist() for name, tensor in request.inputs.items()} == {"X": [[1, 2], [3, 4]]}
    assert (request.rows, request.record.request_id) == (2, "some-id")


def test_the_name_of_a_signature_that_tensorflow_clients_send_is_ignored() -> None:
    assert decode(native(TWO), {**ROWS, "signature_name": "serving_default"})["X"].shape == (2, 2)


def test_white_space_and_the_order_of_keys_do_not_matter() -> None:
    body = b' {\n\t"signature_name" : "x" , "instances" : [ [ 1 , 2 ] ] } \r\n'
    assert decode(native(TWO), body)["X"].tolist() == [[1, 2]]


@pytest.mark.parametrize("shape", [(BATCH,), (BATCH, 1)], ids=str)
def test_one_value_for_each_row_is_answered_as_scalars(shape: Any) -> None:
    codec = native(giving(Tensor("y", "float32", shape)))
    outputs: dict[str, Array] = {"y": np.array([0.1, np.nan], dtype=np.float32).reshape(2, *shape[1:])}
    assert answer(codec, ROWS, outputs) == {"predictions": [0.1, "NaN"], **ENVELOPE}


def test_the_column_form_answers_whole_tensors() -> None:
    codec = native(
        giving(Tensor("y", "float32", (BATCH, 1)), Tensor("z", "string", (2,)), Tensor("s", "int64", ()))
    )
    outputs: dict[str, Array] = {
        "y": np.array([[0.1], [-np.inf]], dtype=np.float32),
        "z": np.array(["null", "ü"], dtype=object),
        "s": np.array(7),
    }
    assert answer(codec, COLUMNS, outputs) == {
        "outputs": {"y": [[0.1], ["-Infinity"]], "z": ["null", "ü"], "s": 7},
        **ENVELOPE,
    }


def test_several_outputs_are_answered_as_an_object_for_each_row() -> None:
    codec = native(
        giving(
            Tensor("label", "string", (BATCH,)),
            Tensor("probabilities", "float32", (BATCH, 2)),
            Tensor("flag", "bool", (BATCH, 1)),
            Tensor("count", "uint64", (BATCH, 1, 1)),
        )
    )
    outputs: dict[str, Array] = {
        "label": np.array(["u", "v"], dtype=object),
        "probabilities": np.array([[0.9, 0.1], [np.nan, np.inf]], dtype=np.float32),
        "flag": np.array([[True], [False]]),
        "count": np.array([[[2**64 - 1]], [[0]]], dtype=np.uint64),
    }
    assert answer(codec, ROWS, outputs)["predictions"] == [
        {"label": "u", "probabilities": [0.9, 0.1], "flag": True, "count": [[2**64 - 1]]},
        {"label": "v", "probabilities": ["NaN", "Infinity"], "flag": False, "count": [[0]]},
    ]


@pytest.mark.parametrize("width", [0, 1, 2])
def test_an_output_of_variable_width_fits_its_schema_at_every_width(width: int) -> None:
    codec = native(giving(Tensor("y", "float32", (BATCH, None))))
    given = answer(codec, ROWS, {"y": np.ones((2, width), dtype=np.float32)})
    assert given["predictions"] == ([1.0, 1.0] if width == 1 else [[1.0] * width] * 2)


def test_an_output_of_higher_rank_keeps_its_axes() -> None:
    codec = native(giving(Tensor("y", "int64", (BATCH, 1, 3))))
    assert answer(codec, ROWS, {"y": np.arange(6).reshape(2, 1, 3)})["predictions"] == [
        [[0, 1, 2]],
        [[3, 4, 5]],
    ]


@pytest.mark.parametrize("shape", [(), (3,), (1, 2)], ids=str)
def test_an_output_that_is_not_one_value_for_each_row_is_refused_with_the_way_to_get_it(
    shape: tuple[int, ...],
) -> None:
    codec = native(giving(Tensor("y", "float32", shape)))
    outputs: dict[str, Array] = {"y": np.ones(shape, dtype=np.float32)}
    request, encode = codec.decode(body_of(ROWS), record())
    with pytest.raises(InvalidInputError, match=r"the output 'y' has the shape .*; send `inputs`"):
        encode(request, PredictResponse(outputs))
    assert answer(codec, COLUMNS, outputs)["outputs"] == {"y": outputs["y"].tolist()}


def test_a_model_without_rows_takes_and_gives_whole_tensors() -> None:
    codec = native(Signature(nested(("n",), ("m",)).inputs, (Tensor("y", "float64", ()),)))
    body = {"inputs": {"p": [1], "q": [1, 2]}}
    assert codec.decode(body_of(body), record())[0].rows == 1
    assert fits_schema(codec, body)
    assert answer(codec, body, {"y": np.array(0.1)})["outputs"] == {"y": 0.1}


def test_outputs_may_be_named_like_the_envelope() -> None:
    codec = native(giving(Tensor("predictions", "bool", (BATCH,)), Tensor("request_id", "bool", (BATCH,))))
    flags = np.array([True, False])
    given = answer(codec, ROWS, {"predictions": flags, "request_id": ~flags})
    assert given["request_id"] == "id"
    assert given["predictions"][0] == {"predictions": True, "request_id": False}


def test_the_identity_of_a_request_is_repeated_whatever_it_holds() -> None:
    codec = native(TWO)
    request, encode = codec.decode(body_of(ROWS), record('null "🌸"'))
    given = encode(request, PredictResponse({"y": np.array([1, 2], dtype=np.float32)}))
    assert json.loads(written(given))["request_id"] == 'null "🌸"'


@pytest.mark.parametrize(
    ("signature", "example"),
    [
        (
            packed(column("a"), column("b", missing="nan"), example=(1.5, None)),
            {"instances": [{"a": 1.5, "b": None}]},
        ),
        (nested((None, 2), example=(1.5, 2.0)), {"instances": [[1.5, 2.0]]}),
        (nested((1, 2), example=(1.5, 2.0)), {"instances": [[1.5, 2.0]]}),
    ],
    ids=["columns", "tensor", "one fixed row"],
)
def test_the_example_is_a_body_that_the_model_takes(signature: Signature, example: object) -> None:
    codec = native(signature)
    assert codec.example() == example
    assert fits_schema(codec, example)
    decode(codec, example)


@pytest.mark.parametrize(
    "signature",
    [TWO, nested((None,), ("n",), ("m",), example=(1.0,)), nested((3, 2), example=(1.0, 2.0))],
    ids=["no sample", "no rows", "three rows at a time"],
)
def test_there_is_no_example_where_one_row_is_no_request(signature: Signature) -> None:
    assert native(signature).example() is None
