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
from foretell.store.screening import operators
from tests.engine.test_batching import centred_bytes, quantised_bytes
from tests.models import linear_model_bytes, model_bytes, scaled_bytes, signature_of, value_info
from tests.servers import SAMPLE_STORE

FREE = Cost(1, 0, 5000)


def rows_of(
    model: bytes,
    signature: Signature | None = None,
    *,
    cost: Cost = FREE,
    max_rows: int = 100,
    threads: int = 1,
) -> int:
    if not is_invariant(operators(model)):
        return 1
    signature = signature or signature_of(model)
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
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Mul", ["X", "X"], ["Y"], domain="mine")],
            "graph",
            [value_info("X", "float32", ("batch", 2))],
            [value_info("Y", "float32", ("batch", 2))],
        ),
        functions=[
            helper.make_function(
                "mine",
                "Mul",
                ["a", "b"],
                ["c"],
                [helper.make_node("Mul", ["a", "b"], ["c"])],
                [helper.make_opsetid("", 21)],
            )
        ],
        opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("mine", 1)],
        ir_version=10,
    ).SerializeToString()
    assert operators(model) == {"function", "mine.Mul"}
    assert rows_of(model) == 1


def test_rows_that_meet_each_other_in_broadcasting_do_not() -> None:
    """Of ``[rows, 1]`` and ``[rows]`` come ``[rows, rows]``."""
    shapes = {"X": ("batch", 1), "Z": ("batch",)}
    inputs = [value_info(name, "float32", shape) for name, shape in shapes.items()]
    nodes = [helper.make_node("Add", ["X", "Z"], ["Y"])]
    assert rows_of(model_bytes(nodes, inputs, [value_info("Y", "float32", ("batch", None))])) == 1


def test_no_more_go_together_than_half_a_millisecond_has_room_for() -> None:
    assert rows_of(scaled_bytes(), cost=Cost(100, 80, 5000)) == 5
    assert rows_of(scaled_bytes(), cost=Cost(600, 0, 5000)) == 1


def test_no_more_go_together_than_a_request_may_have() -> None:
    assert rows_of(scaled_bytes(), max_rows=3) == 3


def test_several_threads_of_one_run_may_add_up_in_another_order() -> None:
    assert rows_of(scaled_bytes(), threads=2) == 1
