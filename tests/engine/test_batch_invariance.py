"""Requests that share a run on the event loop: each is answered as it would be alone, bit for bit, or not together."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from foretell.engine.batch_invariance import invariant_rows
from foretell.engine.session import Session
from foretell.engine.warm_up import Cost
from foretell.parser import Parser
from foretell.signature import Signature
from foretell.store.artifact import read_artifact
from tests.engine.test_batching import centred_bytes, quantised_bytes
from tests.models import (
    linear_model_bytes,
    model_bytes,
    signature_of,
    value_info,
)
from tests.servers import SAMPLE_STORE

FREE = Cost(1, 0, 5000)


def rows_of(model: bytes, signature: Signature | None = None, cost: Cost = FREE) -> int:
    signature = signature or signature_of(model)
    return invariant_rows(Session(model), signature, Parser(signature, max_rows=100, name="m.1."), cost)


def test_rows_that_answer_as_alone_go_together() -> None:
    assert rows_of(linear_model_bytes(weights=[2, 3])) == 16


@pytest.mark.parametrize("name", ["breast_cancer", "digits"])
def test_forests_and_pictures_of_the_sample_store_go_together(name: str) -> None:
    artifact = read_artifact(SAMPLE_STORE / name / "1", max_bytes=2**30)
    assert artifact.manifest is not None
    assert rows_of(artifact.model, artifact.manifest.signature) == 16


@pytest.mark.parametrize("model", [centred_bytes(), quantised_bytes()], ids=["mean", "greatest"])
def test_rows_that_depend_on_each_other_do_not(model: bytes) -> None:
    assert rows_of(model) == 1


def test_a_last_bit_is_enough_to_keep_them_apart() -> None:
    """A thousandth of a millionth of the mean of all rows."""
    nodes = [
        helper.make_node("ReduceMean", ["X", "axis"], ["mean"], keepdims=1),
        helper.make_node("Mul", ["mean", "little"], ["share"]),
        helper.make_node("Add", ["X", "share"], ["Y"]),
    ]
    inputs, outputs = [value_info("X", "float64", ("batch", 2))], [value_info("Y", "float64", ("batch", 2))]
    assert (
        rows_of(
            model_bytes(nodes, inputs, outputs, {"axis": np.array([0], np.int64), "little": np.array([1e-9])})
        )
        == 1
    )


def test_no_more_go_together_than_half_a_millisecond_has_room_for() -> None:
    assert rows_of(linear_model_bytes(), cost=Cost(100, 80, 5000)) == 5
    assert rows_of(linear_model_bytes(), cost=Cost(600, 0, 5000)) == 1
