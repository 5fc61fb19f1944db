"""What a signature says of itself, and how it is written down."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from foretell.signature import BATCH, Column, Dimension, Signature, Tensor
from foretell.tensors import DTYPES, DTypeName

SCALAR = Tensor("s", "float32", ())


def tensor(*shape: Dimension, name: str = "x") -> Tensor:
    return Tensor(name, "float32", shape)


@pytest.mark.parametrize(
    ("shape", "batched"),
    [
        ((), False),
        ((3,), False),
        ((None,), True),
        ((BATCH,), True),
        ((1, None), False),
        ((None, 3), True),
        ((0,), False),
    ],
    ids=str,
)
def test_a_tensor_counts_rows_where_its_first_axis_is_variable(
    shape: tuple[Dimension, ...], batched: bool
) -> None:
    assert tensor(*shape).batched is batched


@pytest.mark.parametrize(
    ("shape", "is_column"),
    [
        ((BATCH,), True),
        ((None, 1), True),
        ((None, 2), False),
        ((None, None), False),
        ((None, 1, 1), False),
        ((3, 1), False),
        ((3,), False),
        ((), False),
    ],
    ids=str,
)
def test_a_column_holds_one_value_for_each_row(shape: tuple[Dimension, ...], is_column: bool) -> None:
    assert tensor(*shape).is_column is is_column


@pytest.mark.parametrize(
    ("shapes", "batched"),
    [
        ([(BATCH, 2)], True),
        ([(None, 2), (None,)], True),
        ([("n", 2), ("n",)], True),
        ([("n", 2), (None,)], True),
        ([("n", 2), ("m",)], False),
        ([("n", 2), (3,)], False),
        ([("n", 2), ()], False),
        ([()], False),
    ],
    ids=str,
)
def test_a_model_has_rows_where_all_inputs_may_count_the_same(
    shapes: list[tuple[Dimension, ...]], batched: bool
) -> None:
    inputs = tuple(tensor(*shape, name=f"x{at}") for at, shape in enumerate(shapes))
    assert Signature(inputs, ()).batched is batched


def test_the_answer_is_the_first_output_unless_another_is_named() -> None:
    outputs = (tensor(None, name="first"), tensor(None, name="second"))
    assert Signature((SCALAR,), outputs).prediction_output == "first"
    assert Signature((SCALAR,), outputs, prediction="second").prediction_output == "second"


def test_tensors_and_columns_know_their_element_type() -> None:
    assert tensor().type is DTYPES["float32"]
    assert Column("a", "bool", "x").type is DTYPES["bool"]


def test_a_signature_comes_back_from_json_as_it_was() -> None:
    signature = Signature(
        inputs=(tensor(BATCH, 1), Tensor("t", "string", (None,))),
        outputs=(Tensor("label", "string", (BATCH,)), tensor(None, 2, name="probabilities")),
        columns=(
            Column("a", "int64", "x", "nan", minimum=-1, maximum=2**63 - 1),
            Column("b", "string", "t", "empty", categories=("u", "ü")),
        ),
        task="classification",
        classes=("u", "ü"),
        prediction="label",
        probabilities="probabilities",
        enforce=("ranges", "categories"),
        example=(1, None),
    )
    assert msgspec.json.decode(msgspec.json.encode(signature), type=Signature) == signature


def test_what_is_as_usual_is_not_written_down() -> None:
    signature = Signature((tensor(None, 1),), (tensor(None, name="y"),), (Column("a", "bool", "x"),))
    assert msgspec.json.decode(msgspec.json.encode(signature)) == {
        "inputs": [{"name": "x", "dtype": "float32", "shape": [None, 1]}],
        "outputs": [{"name": "y", "dtype": "float32", "shape": [None]}],
        "columns": [{"name": "a", "dtype": "bool", "input": "x"}],
    }


@pytest.mark.parametrize(
    "text",
    [
        '{"inputs": [{"name": "x", "dtype": "bool", "shape": []}], "outputs": [], "extra": 1}',
        '{"inputs": [{"name": "x", "dtype": "float32", "shape": [], "extra": 1}], "outputs": []}',
        '{"inputs": [{"name": "x", "dtype": "float8", "shape": []}], "outputs": []}',
        '{"inputs": [{"name": "x", "dtype": "bool", "shape": [1.5]}], "outputs": []}',
        '{"inputs": [{"name": "x", "dtype": "bool", "shape": []}], "outputs": [], "enforce": ["all"]}',
        '{"inputs": [{"name": "x", "dtype": "bool", "shape": []}]}',
        '{"inputs": [], "outputs": []}',
    ],
    ids=[
        "unknown key",
        "unknown key of a tensor",
        "unknown type",
        "broken length",
        "enforcement",
        "no outputs",
        "no inputs",
    ],
)
def test_a_signature_that_says_something_else_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Signature)


MATRIX = Tensor("x", "float32", (BATCH, 2))
TEXTS = Tensor("t", "string", (BATCH,))
COUNTS = Tensor("n", "int64", (BATCH, 1))
A, B = Column("a", "float32", "x"), Column("b", "bool", "x")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"inputs": ()}, "without inputs"),
        ({"inputs": (MATRIX, MATRIX)}, "the input 'x' is there twice"),
        ({"outputs": (TEXTS, TEXTS)}, "the output 't' is there twice"),
        ({"columns": (A, A)}, "the column 'a' is there twice"),
        ({"columns": (A,)}, "'x' of shape ['batch', 2] has 1 columns"),
        ({"columns": (A, B, Column("c", "bool", "x"))}, "'x' of shape ['batch', 2] has 3 columns"),
        ({"columns": (A, Column("b", "float32", "z"))}, "'b' belongs to 'z', which is not an input"),
        ({"columns": (A, Column("b", "string", "x"))}, "'b' is string, its input 'x' is float32"),
        (
            {"inputs": (TEXTS,), "columns": (Column("a", "bool", "t"),)},
            "'a' is bool, its input 't' is string",
        ),
        (
            {"inputs": (COUNTS,), "columns": (Column("a", "float32", "n"),)},
            "'a' is float32, its input 'n' is int64",
        ),
        (
            {"inputs": (COUNTS,), "columns": (Column("a", "bool", "n"),)},
            "'a' is bool, its input 'n' is int64",
        ),
        (
            {"inputs": (COUNTS,), "columns": (Column("a", "int32", "n"),)},
            "'a' is int32, its input 'n' is int64",
        ),
        ({"inputs": (COUNTS,), "columns": (Column("a", "int64", "n", "nan"),)}, "'a' cannot be missing"),
        ({"columns": (A, Column("b", "float32", "x", "empty"))}, "'b' cannot be missing"),
        ({"inputs": (TEXTS,), "columns": (Column("a", "string", "t", "nan"),)}, "'a' cannot be missing"),
        ({"inputs": (MATRIX, TEXTS)}, "'t' of shape ['batch'] has 0 columns"),
        ({"inputs": (tensor(1, 2),)}, "'x' of shape [1, 2] has 2 columns"),
        ({"inputs": (tensor(BATCH, 2, 1),)}, "has 2 columns"),
        ({"example": (1.0,)}, "the example has 1 values, not 2"),
        ({"prediction": "label"}, "`prediction` is 'label', which is not one of the outputs ['t']"),
        ({"probabilities": "label"}, "`probabilities` is 'label'"),
        ({"probabilities": "t"}, "no matrix of floats"),
        (
            {"outputs": (tensor(BATCH, 3),), "probabilities": "x", "classes": ("u", "v")},
            "2 classes and 3 probabilities",
        ),
    ],
    ids=[
        "no inputs",
        "input twice",
        "output twice",
        "column twice",
        "too few columns",
        "too many columns",
        "column of nothing",
        "string for a number",
        "number for a string",
        "float for an integer",
        "boolean for an integer",
        "narrow integer for an integer",
        "nan for an integer",
        "empty for a number",
        "nan for a string",
        "input without columns",
        "fixed rows",
        "rank three",
        "short example",
        "unknown prediction",
        "unknown probabilities",
        "probabilities that are none",
        "other classes",
    ],
)
def test_a_signature_that_contradicts_itself_is_refused(changed: dict[str, Any], says: str) -> None:
    fitting: dict[str, Any] = {
        "inputs": (MATRIX,),
        "outputs": (TEXTS,),
        "columns": (A, B),
        "example": (1.0, True),
    }
    assert Signature(**fitting).columns == (A, B)
    contradicting: dict[str, Any] = {**fitting, **changed}
    with pytest.raises(ValueError, match=re.escape(says)):
        Signature(**contradicting)


@pytest.mark.parametrize(
    ("column", "held"),
    [
        ("bool", True),
        ("int8", True),
        ("uint32", True),
        ("int64", True),
        ("uint64", False),
        ("float16", True),
        ("float32", True),
        ("float64", False),
        ("string", False),
    ],
)
def test_a_tensor_of_floats_holds_the_columns_whose_values_all_fit(column: DTypeName, held: bool) -> None:
    x = (tensor(BATCH, 1),)
    if held:
        assert Signature(x, (), (Column("a", column, "x"),)).columns
    else:
        with pytest.raises(ValueError, match=f"'a' is {column}, its input 'x' is float32"):
            Signature(x, (), (Column("a", column, "x"),))


def test_probabilities_may_be_as_many_as_the_graph_does_not_say() -> None:
    scores = tensor(BATCH, None)
    assert Signature((MATRIX,), (scores,), probabilities="x", classes=("u", "v")).classes == ("u", "v")
    assert Signature((MATRIX,), (tensor(BATCH, 2),), probabilities="x").classes is None
