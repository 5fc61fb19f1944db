"""The signature of a model without a manifest."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from foretell.engine.graph_signature import graph_signature
from foretell.engine.session import Session
from foretell.errors import ScreeningError
from foretell.signature import Signature, Tensor
from tests.models import (
    classifier_bytes,
    identity_bytes,
    linear_model_bytes,
    model_bytes,
    two_input_bytes,
    value_info,
)

FLOATS = np.ones((1, 2), dtype=np.float32)


def signature(model: bytes) -> Signature:
    return graph_signature(Session(model))


def picky_model(output: str = "tensor") -> bytes:
    """It runs on tens, and on zeros it does not: an index out of range."""
    sequence = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    nodes = [
        helper.make_node("Sub", ["X", "ten"], ["i"]),
        helper.make_node("Gather", ["table", "i"], ["Y"]),
        helper.make_node("SequenceConstruct", ["Y"], ["S"]),
    ]
    outputs = [value_info("Y", "float32", ("batch",))]
    return model_bytes(
        nodes,
        [value_info("X", "int64", ("batch",))],
        outputs if output == "tensor" else [helper.make_value_info("S", sequence)],
        {"ten": [10], "table": FLOATS[0, :1]},
    )


def test_a_regressor_is_what_its_graph_says() -> None:
    assert signature(linear_model_bytes(3)) == Signature(
        inputs=(Tensor("X", "float32", ("batch", 3)),), outputs=(Tensor("Y", "float32", ("batch", 1)),)
    )


def test_several_inputs_are_kept_in_their_order() -> None:
    assert [tensor.name for tensor in signature(two_input_bytes()).inputs] == ["A", "B"]


@pytest.mark.parametrize("classes", [(7, 3, 5), ("c", "a", "b")], ids=["numbers", "strings"])
def test_a_classifier_with_maps_is_recognised_with_its_classes(
    classes: tuple[int, ...] | tuple[str, ...],
) -> None:
    found = signature(classifier_bytes(classes, zipmap=True))
    assert found.task == "classification"
    assert found.classes == tuple(sorted(classes))
    assert found.prediction == "label"
    assert found.probabilities == "probabilities"
    assert found.outputs[1] == Tensor("probabilities", "float32", ("batch", 3))


def test_a_classifier_with_a_matrix_is_recognised_without_names_of_classes() -> None:
    found = signature(classifier_bytes())
    assert (found.task, found.classes) == ("classification", None)


@pytest.mark.parametrize(
    "outputs",
    [
        [("a", "float32", ("batch",)), ("b", "float32", ("batch", 2))],
        [("a", "int64", ("batch", 2)), ("b", "float32", ("batch", 2))],
        [("a", "int64", ("batch",)), ("b", "int64", ("batch", 2))],
        [("a", "int64", ("batch",)), ("b", "float32", ("batch",))],
        [("a", "int64", ("batch",)), ("b", "float32", ("batch", 2)), ("c", "float32", ("batch",))],
    ],
    ids=["float label", "label matrix", "integer scores", "one score", "three outputs"],
)
def test_anything_else_is_no_classifier(outputs: list[tuple[str, str, tuple[str | int, ...]]]) -> None:
    nodes: list[onnx.NodeProto] = []
    for name, dtype, shape in outputs:
        column = "X" if len(shape) == 2 else "x"
        to = TensorProto.FLOAT if dtype == "float32" else TensorProto.INT64
        nodes.append(helper.make_node("Cast", [column], [name], to=to))
    model = model_bytes(
        [helper.make_node("ReduceSum", ["X", "one"], ["x"], keepdims=0), *nodes],
        [value_info("X", "float32", ("batch", 2))],
        [
            value_info(name, "float32" if dtype == "float32" else "int64", shape)
            for name, dtype, shape in outputs
        ],
        {"one": [1]},
    )
    assert signature(model).task == "other"


def test_an_output_of_unknown_rank_is_described_by_a_trial() -> None:
    model = model_bytes(
        [helper.make_node("Squeeze", ["X"], ["Y"])],
        [value_info("X", "float32", ("batch", 1))],
        [value_info("Y", "float32", None)],
    )
    assert signature(model).outputs == (Tensor("Y", "float32", ("batch",)),)


def test_a_sequence_is_described_by_a_trial() -> None:
    sequence = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    model = model_bytes(
        [helper.make_node("SequenceConstruct", ["X", "X"], ["S"])],
        [value_info("X", "float32", ("batch", 2))],
        [helper.make_value_info("S", sequence)],
    )
    assert signature(model).outputs == (
        Tensor("S_0", "float32", ("batch", None)),
        Tensor("S_1", "float32", ("batch", None)),
    )


def test_a_model_that_does_not_run_on_zeros_is_what_its_graph_says() -> None:
    assert signature(picky_model()).outputs == (Tensor("Y", "float32", ("batch",)),)


def test_maps_of_a_model_that_does_not_run_on_zeros_are_a_matrix() -> None:
    maps = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    model = model_bytes(
        [
            helper.make_node("Sub", ["X", "ten"], ["i"]),
            helper.make_node("Gather", ["table", "i"], ["scores"]),
            helper.make_node("ZipMap", ["scores"], ["p"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]),
        ],
        [value_info("X", "int64", ("batch",))],
        [helper.make_value_info("p", helper.make_sequence_type_proto(maps))],
        {"ten": [10], "table": FLOATS},
        domains={"ai.onnx.ml": 1},
    )
    assert signature(model).outputs == (Tensor("p", "float32", ("batch", None)),)


def test_a_sequence_that_no_trial_can_show_is_refused() -> None:
    with pytest.raises(
        ScreeningError, match="'S' is a sequence, and the model does not run on zeros to show it"
    ):
        signature(picky_model("sequence"))


def test_a_model_of_fixed_shapes_has_no_rows() -> None:
    found = signature(identity_bytes("float32", (4, 2)))
    assert not found.batched
    assert found.outputs == (Tensor("Y", "float32", (4, 2)),)


def test_a_model_without_inputs_is_refused() -> None:
    model = model_bytes(
        [helper.make_node("Constant", [], ["Y"], value_float=1.0)], [], [value_info("Y", "float32", ())]
    )
    with pytest.raises(ScreeningError, match="without inputs"):
        signature(model)
