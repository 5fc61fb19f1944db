"""A fixed answer is of the model's own types and shapes, or it is refused at the start."""

from __future__ import annotations

from typing import Any

import pytest

from foretell.plugin import PredictRequest, RequestRecord
from foretell.signature import Dimension, Signature, Tensor
from foretell.tensors import DTypeName
from foretell_plugins.fallback.likeness import UnlikeError
from foretell_plugins.fallback.static import StaticAnswer

X = Tensor("X", "float32", ("batch", 2))
CLASSIFIER = Signature(
    (X,),
    (Tensor("label", "string", ("batch",)), Tensor("p", "float32", ("batch", 2))),
    task="classification",
    classes=("a", "b"),
    prediction="label",
    probabilities="p",
)


def one(dtype: DTypeName, shape: tuple[Dimension, ...] = ("batch",)) -> Signature:
    return Signature((X,), (Tensor("Y", dtype, shape),))


def request(rows: int = 3, outputs: tuple[str, ...] | None = None) -> PredictRequest:
    return PredictRequest({}, rows, RequestRecord("r", "native", 0), outputs)


def test_it_is_repeated_for_each_row() -> None:
    outputs = StaticAnswer({"p": [0.5, 0.5], "label": "a"}, CLASSIFIER).outputs(request(3))
    assert list(outputs) == ["label", "p"]
    assert outputs["label"].tolist() == ["a", "a", "a"]
    assert outputs["label"].dtype == object
    assert (outputs["p"].dtype.name, outputs["p"].shape) == ("float32", (3, 2))


def test_only_the_outputs_that_are_wanted_are_given() -> None:
    assert list(StaticAnswer({"p": [0.5, 0.5], "label": "a"}, CLASSIFIER).outputs(request(1, ("p",)))) == [
        "p"
    ]


@pytest.mark.parametrize(
    ("dtype", "shape", "value", "given"),
    [
        ("float32", ("batch",), 1, [1.0, 1.0]),
        ("float32", ("batch", 1), 0.5, [[0.5], [0.5]]),
        ("float32", ("batch", 1), [0.5], [[0.5], [0.5]]),
        ("float64", (None, 2), [1, 2.5], [[1.0, 2.5], [1.0, 2.5]]),
        ("float32", ("batch",), float("inf"), [float("inf")] * 2),
        ("int64", ("batch",), -3, [-3, -3]),
        ("uint8", ("batch",), 255, [255, 255]),
        ("bool", ("batch",), True, [True, True]),
        ("string", ("batch", 2), ["x", ""], [["x", ""], ["x", ""]]),
        ("int64", ("batch", None, 2), [[1, 2], [3, 4]], [[[1, 2], [3, 4]]] * 2),
        ("float32", (3,), [1, 2, 3], [1.0, 2.0, 3.0]),
        ("float32", (), 7, 7.0),
    ],
    ids=str,
)
def test_every_type_and_shape_is_made_of_plain_values(
    dtype: DTypeName, shape: tuple[Dimension, ...], value: Any, given: Any
) -> None:
    array = StaticAnswer({"Y": value}, one(dtype, shape)).outputs(request(2))["Y"]
    assert array.tolist() == given
    assert array.dtype == Tensor("Y", dtype, shape).type.numpy


@pytest.mark.parametrize(
    ("signature", "value", "message"),
    [
        (one("float32"), {}, "the value of 'Y' is absent; the outputs are Y"),
        (one("float32"), {"Y": 1, "Z": 1}, "the value of 'Z' is not an output; the outputs are Y"),
        (one("float32"), {"Y": "1"}, "'1' is no float32"),
        (one("float32"), {"Y": True}, "True is no float32"),
        (one("int64"), {"Y": 1.0}, r"1\.0 is no int64"),
        (one("bool"), {"Y": 1}, "1 is no bool"),
        (one("string"), {"Y": 1}, "1 is no string"),
        (one("uint8"), {"Y": 256}, "256 is beyond what uint8 can hold"),
        (one("float32"), {"Y": 1e39}, "beyond what float32 can hold"),
        (one("float32"), {"Y": [1.0]}, r"has the shape \[1\]; it must be one row of float32\[batch\]"),
        (one("float32", ("batch", 2)), {"Y": [1.0]}, r"has the shape \[1\]; it must be one row of"),
        (one("float32", ("batch", 2)), {"Y": 1.0}, r"has the shape \[\]"),
        (one("float32", ("batch", 2, 2)), {"Y": [[1.0], [1.0, 2.0]]}, "the value of 'Y'"),
        (one("float32", (2,)), {"Y": [1.0]}, r"it must be float32\[2\]"),
        (CLASSIFIER, {"label": "c", "p": [0.5, 0.5]}, r"'label' is 'c'; the classes are \['a', 'b'\]"),
        (CLASSIFIER, {"label": "a", "p": [0.5]}, "the value of 'p'"),
    ],
    ids=[
        "absent",
        "unknown",
        "text",
        "boolean",
        "fraction",
        "number for bool",
        "number for text",
        "range",
        "float range",
        "rows",
        "length",
        "rank",
        "ragged",
        "whole",
        "class",
        "probabilities",
    ],
)
def test_what_the_model_never_gives_is_refused(
    signature: Signature, value: dict[str, Any], message: str
) -> None:
    with pytest.raises(UnlikeError, match=message):
        StaticAnswer(value, signature)


def test_as_many_probabilities_as_classes() -> None:
    open_ended = Signature(
        (X,),
        (Tensor("p", "float32", ("batch", None)),),
        classes=("a", "b"),
        probabilities="p",
    )
    with pytest.raises(UnlikeError, match="'p' has 3 numbers; the classes are"):
        StaticAnswer({"p": [0.1, 0.2, 0.7]}, open_ended)
