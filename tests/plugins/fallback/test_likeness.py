"""One model stands in for another only if it takes and gives the same, or if a mapping says how."""

from __future__ import annotations

from typing import Any

import pytest

from foretell.signature import Column, Dimension, Signature, Tensor
from foretell.tensors import DTypeName
from foretell_plugins.fallback.likeness import UnlikeError, fit


def tensor(
    name: str = "X", dtype: DTypeName = "float32", shape: tuple[Dimension, ...] = ("batch", 2)
) -> Tensor:
    return Tensor(name, dtype, shape)


OUT = tensor("Y", shape=("batch",))
PLAIN = Signature((tensor(),), (OUT,))
LABEL, PROBS = tensor("label", "string", ("batch",)), tensor("p", shape=("batch", 2))
CLASSIFIER = Signature(
    (tensor(),),
    (LABEL, PROBS),
    task="classification",
    classes=("a", "b"),
    prediction="label",
    probabilities="p",
)


def changed(signature: Signature, **fields: Any) -> Signature:
    values: dict[str, Any] = {name: getattr(signature, name) for name in signature.__struct_fields__}
    return Signature(**{**values, **fields})


def test_equal_signatures_fit_and_rename_nothing() -> None:
    found = fit(CLASSIFIER, CLASSIFIER)
    assert (found.inputs, found.outputs, found.renames) == (
        {"X": "X"},
        {"label": "label", "p": "p"},
        False,
    )


def test_axes_may_be_called_differently_and_be_wider_where_values_go() -> None:
    theirs = Signature((tensor(shape=("N", "features")),), (tensor("Y", shape=(None,)),))
    assert not fit(PLAIN, theirs).renames


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        (Signature((tensor("Z"),), (OUT,)), "it takes the input 'Z', this model takes X"),
        (Signature((tensor(), tensor("Z")), (OUT,)), "it takes the input 'Z'"),
        (Signature((tensor(dtype="float64"),), (OUT,)), r"it takes the input 'X' as float64\[batch, 2\]"),
        (Signature((tensor(shape=("batch", 3)),), (OUT,)), r"as float32\[batch, 3\], this model takes 'X'"),
        (Signature((tensor(shape=("batch",)),), (OUT,)), r"as float32\[batch\]"),
        (Signature((tensor(),), (tensor("Q"),)), "this model gives the output 'Y', it gives Q"),
        (Signature((tensor(),), (tensor("Y", "int64", ("batch",)),)), "this model gives the output 'Y' as"),
        (Signature((tensor(),), (OUT, tensor("Q"))), "it gives the output 'Q' too"),
    ],
    ids=[
        "input name",
        "more inputs",
        "dtype",
        "length",
        "rank",
        "output name",
        "output type",
        "more outputs",
    ],
)
def test_what_differs_is_named(theirs: Signature, message: str) -> None:
    with pytest.raises(UnlikeError, match=message):
        fit(PLAIN, theirs)


def test_fewer_inputs_need_a_mapping() -> None:
    ours = Signature((tensor(), tensor("Z")), (OUT,))
    with pytest.raises(UnlikeError, match="this model takes the input 'Z' too"):
        fit(ours, PLAIN)
    assert fit(ours, PLAIN, inputs={"X": "Z"}).inputs == {"X": "Z"}


def test_an_output_that_may_be_of_another_length_does_not_fit() -> None:
    theirs = Signature((tensor(),), (tensor("Y", shape=("batch", None)),))
    with pytest.raises(UnlikeError, match=r"it gives 'Y' as float32\[batch, any\]"):
        fit(Signature((tensor(),), (tensor("Y", shape=("batch", 2)),)), theirs)


def test_a_regressor_does_not_stand_in_for_a_classifier() -> None:
    theirs = changed(CLASSIFIER, task="regression", classes=None, prediction=None, probabilities=None)
    with pytest.raises(UnlikeError, match="it is for regression, this model for classification"):
        fit(CLASSIFIER, theirs)


@pytest.mark.parametrize("classes", [("b", "a"), ("a", "c"), None], ids=["order", "others", "unknown"])
def test_other_classes_do_not_fit(classes: tuple[str, ...] | None) -> None:
    with pytest.raises(UnlikeError, match=r"its classes are .*, this model's are"):
        fit(CLASSIFIER, changed(CLASSIFIER, classes=classes))


def test_other_classes_do_not_fit_with_a_mapping_either() -> None:
    with pytest.raises(UnlikeError, match="its classes"):
        fit(CLASSIFIER, changed(CLASSIFIER, classes=("b", "a")), outputs={})
    assert fit(CLASSIFIER, changed(CLASSIFIER, classes=None), outputs={}).outputs


def test_columns_in_another_order_do_not_fit() -> None:
    def with_columns(*names: str) -> Signature:
        return changed(PLAIN, columns=tuple(Column(name, "float32", "X") for name in names))

    with pytest.raises(UnlikeError, match=r"holds the columns \['b', 'a'\], this model's \['a', 'b'\]"):
        fit(with_columns("a", "b"), with_columns("b", "a"))
    assert fit(with_columns("a", "b"), with_columns("b", "a"), inputs={"X": "X"}).renames
    assert not fit(with_columns("a", "b"), PLAIN).renames


def test_a_mapping_names_what_differs() -> None:
    theirs = Signature((tensor("features"),), (tensor("Q"), tensor("score", shape=("batch",))))
    found = fit(PLAIN, theirs, inputs={"features": "X"}, outputs={"Y": "score"})
    assert (found.inputs, found.outputs, found.renames) == ({"features": "X"}, {"Y": "score"}, True)


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ({"nothing": "X"}, None, "`inputs` names 'nothing', which is not among what it takes"),
        ({"X": "nothing"}, None, "`inputs` maps 'X' to 'nothing'; this model takes X"),
        (None, {"nothing": "Y"}, "`outputs` names 'nothing', which is not among what this model gives"),
        (None, {"Y": "nothing"}, "`outputs` maps 'Y' to 'nothing'; it gives Y"),
    ],
    ids=["their input", "our input", "our output", "their output"],
)
def test_a_mapping_of_names_that_do_not_exist_is_refused(
    inputs: dict[str, str] | None, outputs: dict[str, str] | None, message: str
) -> None:
    with pytest.raises(UnlikeError, match=message):
        fit(PLAIN, PLAIN, inputs, outputs)


def test_outputs_in_another_order_are_put_into_ours() -> None:
    theirs = Signature((tensor(),), (tensor("b"), tensor("a")))
    found = fit(Signature((tensor(),), (tensor("a"), tensor("b"))), theirs)
    assert (list(found.outputs), found.renames) == (["a", "b"], True)
