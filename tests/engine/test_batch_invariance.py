"""Rows that may share a run unasked: of graphs that compute each by itself, and alike wherever it stands, and of no others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

from foretell.engine.batch_invariance import invariant_rows, is_invariant
from foretell.engine.session import Session
from foretell.engine.warm_up import Cost
from foretell.parser import Parser
from foretell.signature import Signature
from foretell.store.artifact import read_artifact
from foretell.store.screening import nodes
from tests.engine.test_batching import centred_bytes, quantised_bytes
from tests.models import linear_model_bytes, model_bytes, scaled_bytes, signature_of, value_info
from tests.servers import SAMPLE_STORE

FREE = Cost(1, 0, 5000)
TREES = {"ai.onnx.ml": 3}


def rows_of(
    model: bytes,
    signature: Signature | None = None,
    *,
    cost: Cost = FREE,
    max_rows: int = 100,
    threads: int = 1,
) -> int:
    signature = signature or signature_of(model)
    if not is_invariant(nodes(model), signature):
        return 1
    parser = Parser(signature, max_rows=max_rows, name="m.1.")
    return invariant_rows(Session(model, threads=threads), signature, parser, cost)


def of_nodes(*nodes: Any, shape: tuple[Any, ...] = ("batch", 4), **constants: Any) -> bytes:
    return model_bytes(
        list(nodes), [value_info("X", "float32", shape)], [value_info("Y", "float32", None)], constants
    )


def test_values_that_are_computed_one_by_one_go_together() -> None:
    assert rows_of(scaled_bytes()) == 16


@pytest.mark.parametrize(("name", "version"), [("breast_cancer", 1), ("diabetes", 1), ("iris", 2)])
def test_forests_of_the_sample_store_go_together(name: str, version: int) -> None:
    """And it is so: whatever stands beside a row, and wherever, not one bit of its answer is another."""
    artifact = read_artifact(SAMPLE_STORE / name / str(version), max_bytes=2**30)
    assert artifact.manifest is not None
    signature = artifact.manifest.signature
    assert rows_of(artifact.model, signature) == 16
    session, rng = Session(artifact.model), np.random.default_rng(0)
    one = Parser(signature, max_rows=9, name="m.1.").tensors_of_rows([signature.example])[0]
    for size in range(2, 17):
        inputs = {
            key: (np.repeat(array, size, axis=0) * rng.uniform(0.5, 1.5, (size, *array.shape[1:]))).astype(
                array.dtype
            )
            for key, array in one.items()
        }
        together = session.run(inputs)
        for at in range(size):
            alone = session.run({key: array[at : at + 1] for key, array in inputs.items()})
            assert all(np.array_equal(array[at : at + 1], alone[key]) for key, array in together.items())


@pytest.mark.parametrize(
    "model",
    [
        centred_bytes(),
        quantised_bytes(),
        linear_model_bytes(),
        *(
            of_nodes(helper.make_node(name, ["X"], ["Y"]))
            for name in ("Exp", "Sigmoid", "Softmax", "Relu", "Transpose")
        ),
        of_nodes(helper.make_node("Max", ["X", "X"], ["Y"])),
        of_nodes(helper.make_node("Cast", ["X"], ["Y"], to=2)),
    ],
    ids=[
        "mean",
        "greatest",
        "product",
        "Exp",
        "Sigmoid",
        "Softmax",
        "Relu",
        "Transpose",
        "Max",
        "Cast to uint8",
    ],
)
def test_other_graphs_do_not(model: bytes) -> None:
    assert rows_of(model) == 1


def test_a_graph_with_functions_does_not_whatever_their_names() -> None:
    mul = helper.make_node("Mul", ["a", "b"], ["c"])
    function = helper.make_function("mine", "Mul", ["a", "b"], ["c"], [mul], [helper.make_opsetid("", 21)])
    model = model_bytes(
        [helper.make_node("Mul", ["X", "X"], ["Y"], domain="mine")],
        [value_info("X", "float32", ("batch", 2))],
        [value_info("Y", "float32", ("batch", 2))],
        functions=[function],
        domains={"mine": 1},
    )
    assert [node.operator for node in nodes(model)] == ["function", "mine.Mul"]
    assert rows_of(model) == 1


def test_rows_that_meet_each_other_in_broadcasting_do_not() -> None:
    """Of ``[rows, 1]`` and ``[rows]`` come ``[rows, rows]``."""
    shapes = {"X": ("batch", 1), "Z": ("batch",)}
    inputs = [value_info(name, "float32", shape) for name, shape in shapes.items()]
    nodes = [helper.make_node("Add", ["X", "Z"], ["Y"])]
    assert rows_of(model_bytes(nodes, inputs, [value_info("Y", "float32", ("batch", None))])) == 1


def tree(kind: str, inputs: str, outputs: list[str], threshold: float, *, labels: list[int]) -> Any:
    """One tree: whether the first value is greater than a threshold."""
    weights = {"class": [(1, 0, 1.0), (2, 1, 1.0)], "target": [(1, 0, 1.0), (2, 0, 2.0)]}[kind]
    more: dict[str, Any] = {
        f"{kind}_nodeids": [node for node, _, _ in weights],
        f"{kind}_ids": [place for _, place, _ in weights],
        f"{kind}_weights": [weight for _, _, weight in weights],
        f"{kind}_treeids": [0, 0],
    }
    more |= {"classlabels_int64s": labels, "post_transform": "NONE"} if kind == "class" else {"n_targets": 1}
    return helper.make_node(
        "TreeEnsembleClassifier" if kind == "class" else "TreeEnsembleRegressor",
        [inputs],
        outputs,
        domain="ai.onnx.ml",
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[0, 0, 0],
        nodes_values=[threshold, 0.0, 0.0],
        nodes_modes=["BRANCH_GT", "LEAF", "LEAF"],
        nodes_truenodeids=[2, 0, 0],
        nodes_falsenodeids=[1, 0, 0],
        **more,
    )


def test_labels_that_meet_a_column_within_the_graph_do_not() -> None:
    """Of ``[rows]`` and ``[rows, 1]`` come ``[rows, rows]``, of which a tree reads the first row's column: the shape is right."""
    model = model_bytes(
        [
            tree("class", "X", ["label", "scores"], 5000.0, labels=[0, 1]),
            helper.make_node("Cast", ["label"], ["number"], to=1),
            helper.make_node("Mul", ["X", "zero"], ["column"]),
            helper.make_node("Add", ["number", "column"], ["all"]),
            tree("target", "all", ["Y"], 0.5, labels=[]),
        ],
        [value_info("X", "float32", ("batch", 1))],
        [value_info("Y", "float32", ("batch", 1))],
        {"zero": np.zeros((1, 1), np.float32)},
        domains=TREES,
    )
    together = Session(model).run({"X": np.array([[9000], [1]], np.float32)})["Y"]
    assert together.tolist() == [[2], [2]]  # alone: 2 and 1
    assert rows_of(model) == 1


@pytest.mark.parametrize("shape", [("batch",), ("batch", 2, 2)], ids=["one", "three"])
def test_inputs_of_other_than_two_axes_do_not(shape: tuple[Any, ...]) -> None:
    assert rows_of(of_nodes(helper.make_node("Neg", ["X"], ["Y"]), shape=shape)) == 1


def test_a_classifier_s_labels_may_be_cast() -> None:
    model = model_bytes(
        [
            tree("class", "X", ["label", "scores"], 1.0, labels=[0, 1]),
            helper.make_node("Cast", ["label"], ["Y"], to=1),
        ],
        [value_info("X", "float32", ("batch", 1))],
        [value_info("Y", "float32", ("batch",))],
        domains=TREES,
    )
    assert rows_of(model) == 16


def test_no_more_go_together_than_half_a_millisecond_has_room_for() -> None:
    assert rows_of(scaled_bytes(), cost=Cost(100, 80, 5000)) == 5
    assert rows_of(scaled_bytes(), cost=Cost(600, 0, 5000)) == 1


def test_no_more_go_together_than_a_request_may_have() -> None:
    assert rows_of(scaled_bytes(), max_rows=3) == 3


def test_several_threads_of_one_run_may_add_up_in_another_order() -> None:
    assert rows_of(scaled_bytes(), threads=2) == 1
