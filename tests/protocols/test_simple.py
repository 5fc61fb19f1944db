"""The simple protocol: the answer itself, with its confidence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from foretell.errors import InvalidInputError
from foretell.prediction import PredictResponse
from foretell.signature import BATCH, Signature, Tensor
from foretell.tensors import Array
from tests.parser.signatures import column, nested, packed
from tests.protocols.codecs import answer, body_of, decode, fits_schema, record, simple, simple_batch

TWO = packed(column("a"), column("b"), example=(1.0, 2.0))
LABEL = Tensor("label", "string", (BATCH,))
ENVELOPE = {"model_name": "m", "model_version": "3", "request_id": "id"}
ONE = {"features": [1, 2]}
ROWS = {"instances": [[1, 2], {"b": 4, "a": 3}]}


def classifier(width: Any = 3) -> Signature:
    scores = Tensor("probabilities", "float32", (BATCH, width))
    return Signature(
        TWO.inputs, (LABEL, scores), TWO.columns, prediction="label", probabilities="probabilities"
    )


def outputs(rows: int, scores: list[list[float]]) -> dict[str, Array]:
    labels = np.array(["u", "v"][:rows], dtype=object)
    return {"label": labels, "probabilities": np.array(scores, dtype=np.float32)}


@pytest.mark.parametrize("features", [[1, 2], {"b": 2, "a": 1}], ids=["list", "record"])
def test_the_features_are_one_row(features: object) -> None:
    request, _ = simple(TWO).decode(body_of({"features": features}), record("some-id"))
    assert {name: tensor.tolist() for name, tensor in request.inputs.items()} == {"X": [[1, 2]]}
    assert (request.rows, request.record.request_id) == (1, "some-id")


@pytest.mark.parametrize("features", [None, [None], {"a": None}], ids=["scalar", "list", "record"])
def test_a_missing_value_may_be_all_there_is(features: object) -> None:
    signature = packed(column("a", missing="nan"))
    assert np.isnan(decode(simple(signature), {"features": features})["X"]).tolist() == [[True]]


def test_a_batch_is_any_number_of_rows() -> None:
    request, _ = simple_batch(TWO).decode(body_of(ROWS), record())
    assert request.inputs["X"].tolist() == [[1, 2], [3, 4]]
    assert request.rows == 2


def test_a_classifier_answers_the_label_and_its_highest_probability() -> None:
    assert answer(simple(classifier()), ONE, outputs(1, [[0.1, 0.7, 0.2]])) == {
        "prediction": "u",
        "confidence": 0.7,
        **ENVELOPE,
    }
    assert answer(simple_batch(classifier()), ROWS, outputs(2, [[0.1, 0.7, 0.2], [0.3, 0.3, 0.4]])) == {
        "predictions": [{"prediction": "u", "confidence": 0.7}, {"prediction": "v", "confidence": 0.4}],
        "count": 2,
        **ENVELOPE,
    }


@pytest.mark.parametrize("width", [1, 2, None, "classes"], ids=str)
def test_probabilities_may_be_of_any_width(width: Any) -> None:
    wide = width if isinstance(width, int) else 1
    given = answer(simple(classifier(width)), ONE, outputs(1, [[0.25] * wide]))
    assert given["confidence"] == 0.25


def test_a_confidence_that_is_no_number_is_spelled_out() -> None:
    given = answer(simple_batch(classifier(2)), ROWS, outputs(2, [[np.nan, 0.5], [np.inf, 0.5]]))
    assert [row["confidence"] for row in given["predictions"]] == ["NaN", "Infinity"]


def test_a_model_without_probabilities_gives_no_confidence() -> None:
    signature = Signature(TWO.inputs, (Tensor("y", "float32", (BATCH, 1)),), TWO.columns)
    assert answer(simple(signature), ONE, {"y": np.array([[0.1]], dtype=np.float32)}) == {
        "prediction": 0.1,
        **ENVELOPE,
    }
    given = answer(simple_batch(signature), ROWS, {"y": np.array([[0.1], [np.nan]], dtype=np.float32)})
    assert given["predictions"] == [{"prediction": 0.1}, {"prediction": "NaN"}]


def test_only_the_output_that_is_the_prediction_is_answered() -> None:
    signature = Signature(TWO.inputs, (Tensor("z", "int64", (3,)), LABEL), TWO.columns, prediction="label")
    labels = np.array(["u"], dtype=object)
    assert answer(simple(signature), ONE, {"z": np.arange(3), "label": labels}) == {
        "prediction": "u",
        **ENVELOPE,
    }


def test_all_outputs_are_answered_where_none_is_the_prediction() -> None:
    signature = Signature(TWO.inputs, (LABEL, Tensor("z", "int64", (BATCH, None))), TWO.columns)
    given = answer(simple(signature), ONE, {"label": np.array(["u"], dtype=object), "z": np.array([[5]])})
    assert given["prediction"] == {"label": "u", "z": 5}


@pytest.mark.parametrize(
    ("codec", "body"), [(simple(TWO), ONE), (simple_batch(TWO), ROWS)], ids=["one", "batch"]
)
def test_an_output_that_is_not_one_value_for_each_row_is_refused(codec: Any, body: object) -> None:
    request, encode = codec.decode(body_of(body), record())
    with pytest.raises(InvalidInputError, match="not one value for each row"):
        encode(request, PredictResponse({"y": np.ones(5, dtype=np.float32)}))


def test_the_examples_are_bodies_that_the_model_takes() -> None:
    for codec, example in (
        (simple(TWO), {"features": {"a": 1.0, "b": 2.0}}),
        (simple_batch(TWO), {"instances": [{"a": 1.0, "b": 2.0}]}),
    ):
        assert codec.example() == example
        assert fits_schema(codec, example)
        decode(codec, example)


def test_there_is_no_example_without_a_sample_or_where_one_row_is_no_request() -> None:
    assert simple(nested((None, 2))).example() is None
    assert simple_batch(nested((None, 2))).example() is None
    assert simple_batch(nested((3, 2), example=(1.0, 2.0))).example() is None


def test_a_batch_for_a_fixed_first_axis_has_exactly_that_many_rows() -> None:
    codec = simple_batch(nested((3,)))
    assert decode(codec, {"instances": [1, 2, 3]})["p"].tolist() == [1, 2, 3]
    with pytest.raises(InvalidInputError):
        decode(codec, {"instances": [1, 2]})
