"""The first runs of a version, and what they say of its cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx import helper

from foretell.engine.session import Session
from foretell.engine.warm_up import Cost, measure
from foretell.errors import RunError
from foretell.parser import Parser, Tensors
from foretell.signature import Signature
from tests.engine.test_graph_signature import picky_model
from tests.models import (
    identity_bytes,
    linear_model_bytes,
    model_bytes,
    signature_of,
    slow_model_bytes,
    value_info,
)


def parser_of(signature: Signature) -> Parser:
    return Parser(signature, max_rows=1000, name="m.1.")


def cost_of(model: bytes) -> Cost | None:
    signature = signature_of(model)
    return measure(Session(model), signature, parser_of(signature))


def test_a_cost_is_a_straight_line() -> None:
    assert [Cost(10, 2).of(rows) for rows in (0, 1, 5)] == [10, 12, 20]


@pytest.mark.parametrize("model", [linear_model_bytes(), slow_model_bytes(64, 2)], ids=["fast", "slower"])
def test_a_cost_is_measured(model: bytes) -> None:
    cost = cost_of(model)
    assert cost is not None
    assert cost.base_us >= 0
    assert cost.row_us >= 0
    assert 0 < cost.of(1) < math.inf


def test_a_longer_run_is_timed_where_a_short_one_tells_too_little() -> None:
    fast, slow = cost_of(linear_model_bytes()), cost_of(slow_model_bytes(512, 8))
    assert fast is not None
    assert slow is not None
    assert fast.rows == 1000  # as many as a request may have, and still fast
    assert slow.rows == 64


def test_a_run_that_tells_too_little_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(linear_model_bytes())
    runs: Counter[int] = Counter()
    run = session.try_run

    def counted(inputs: Tensors) -> Sequence[Any]:
        runs[len(inputs["X"])] += 1
        return run(inputs)

    monkeypatch.setattr(session, "try_run", counted)
    signature = signature_of(linear_model_bytes())
    measure(session, signature, parser_of(signature))
    assert sorted(runs) == [1, 64, 512, 1000]
    assert runs[64] == runs[512] == 1
    assert min(runs[1], runs[1000]) > 5


def test_where_longer_runs_fail_the_longest_that_did_not_counts() -> None:
    cost = cost_of(
        model_bytes(
            [
                helper.make_node("Shape", ["X"], ["shape"], end=1),
                helper.make_node("Gather", ["table", "shape"], ["w"]),
                helper.make_node("Add", ["X", "w"], ["Y"]),
            ],
            [value_info("X", "float32", ("batch", 1))],
            [value_info("Y", "float32", ("batch", 1))],
            {"table": np.zeros(100, dtype=np.float32)},
        )
    )
    assert cost is not None
    assert cost.rows == 64
    assert cost.of(64) > 0


def test_no_run_is_timed_for_which_much_memory_would_have_to_be_filled() -> None:
    wide = identity_bytes("float32", ("batch", 16 * 1024))
    cost = cost_of(wide)
    assert cost is not None
    assert cost.rows <= 256  # of 64 KB each


def test_a_run_of_fixed_shape_costs_the_same_for_any_number_of_rows() -> None:
    cost = cost_of(identity_bytes("float32", (4, 2)))
    assert cost is not None
    assert cost.base_us > 0
    assert cost.row_us == 0


def test_a_model_that_does_not_run_is_not_measured() -> None:
    model = picky_model()
    with pytest.raises(RunError, match="out of data bounds"):
        cost_of(model)
    assert Session(model).run({"X": np.array([10])})["Y"].tolist() == [1]
