"""Inputs that are made up to try a version with."""

from __future__ import annotations

import msgspec

from foretell.engine.trial_inputs import trial_inputs, zero_inputs
from foretell.parser import Parser
from foretell.signature import Column, Signature, Tensor
from tests.models import identity_bytes, linear_model_bytes, signature_of


def test_zeros_have_the_shape_of_the_signature() -> None:
    signature = Signature(
        inputs=(
            Tensor("a", "float32", ("batch", 3)),
            Tensor("b", "string", (None,)),
            Tensor("c", "bool", ("batch", None, "width")),
        ),
        outputs=(Tensor("Y", "float32", ("batch",)),),
    )
    zeros = zero_inputs(signature, 4)
    assert {name: (value.shape, value.dtype.str) for name, value in zeros.items()} == {
        "a": ((4, 3), "<f4"),
        "b": ((4,), "|O"),
        "c": ((4, 1, 1), "|b1"),
    }
    assert zeros["b"].tolist() == [""] * 4


def test_zeros_of_a_model_without_rows_ignore_the_number_of_rows() -> None:
    signature = Signature((Tensor("a", "int64", (2, "n")), Tensor("b", "int64", ("m",))), ())
    assert {name: value.shape for name, value in zero_inputs(signature, 9).items()} == {
        "a": (2, 1),
        "b": (1,),
    }


def test_the_example_of_a_signature_is_what_it_is_tried_on() -> None:
    signature = Signature(
        inputs=(Tensor("X", "float32", ("batch", 2)), Tensor("s", "string", ("batch", 1))),
        outputs=(Tensor("Y", "float32", ("batch",)),),
        columns=(Column("a", "float32", "X"), Column("s", "string", "s"), Column("b", "int64", "X")),
        example=(1.5, "red", 7),
    )
    inputs = trial_inputs(signature, Parser(signature, max_rows=1000, name="m.1."), 2)
    assert inputs["X"].tolist() == [[1.5, 7], [1.5, 7]]
    assert inputs["s"].tolist() == [["red"], ["red"]]
    assert inputs["X"].flags.c_contiguous


def test_without_an_example_it_is_tried_on_zeros() -> None:
    signature = signature_of(linear_model_bytes())
    assert (
        trial_inputs(signature, Parser(signature, max_rows=1000, name="m.1."), 3)["X"].tolist()
        == [[0, 0]] * 3
    )


def test_a_model_without_rows_is_tried_on_zeros() -> None:
    signature = msgspec.structs.replace(signature_of(identity_bytes("float32", (1, 2))), example=((1, 2),))
    assert trial_inputs(signature, Parser(signature, max_rows=1000, name="m.1."), 3)["X"].tolist() == [[0, 0]]
