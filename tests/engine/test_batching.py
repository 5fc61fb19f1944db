"""Requests share runs where that pays, and never where it would change an answer."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
import onnx
import pytest
from onnx import helper

from foretell.engine.batching import Batching, choose_batching
from foretell.engine.session import Session
from foretell.engine.warm_up import Cost, measure
from foretell.parser import Parser
from foretell.store.model_config import ModelBatching
from tests.models import (
    identity_bytes,
    linear_model_bytes,
    model_bytes,
    scaled_bytes,
    signature_of,
    slow_model_bytes,
    value_info,
)


def centred_bytes() -> bytes:
    """``Y = X - mean(X)`` over the rows: what one caller asks changes what another gets."""
    return model_bytes(
        [
            helper.make_node("ReduceMean", ["X", "axis"], ["mean"], keepdims=1),
            helper.make_node("Sub", ["X", "mean"], ["Y"]),
        ],
        [value_info("X", "float32", ("batch", 2))],
        [value_info("Y", "float32", ("batch", 2))],
        {"axis": np.array([0], dtype=np.int64)},
    )


def heavy_bytes(width: int = 512, depth: int = 12) -> bytes:
    """A chain of matrix products: one row costs nearly as much as many."""
    nodes = [
        helper.make_node(
            "MatMul", ["X" if i == 0 else f"H{i}", f"W{i}"], ["Y" if i == depth - 1 else f"H{i + 1}"]
        )
        for i in range(depth)
    ]
    rng = np.random.default_rng(0)
    weights = {
        f"W{i}": (rng.standard_normal((width, width)) / width**0.5).astype(np.float32) for i in range(depth)
    }
    return model_bytes(
        nodes,
        [value_info("X", "float32", ("batch", width))],
        [value_info("Y", "float32", ("batch", width))],
        weights,
    )


def decide(
    model: bytes, config: ModelBatching | None = None, *, inline_us: float = 0, max_rows: int = 100
) -> Batching:
    session, signature = Session(model), signature_of(model)
    parser = Parser(signature, max_rows=max_rows, name="m.1.")
    cost = measure(session, signature, parser)
    return choose_batching(
        session,
        signature,
        parser,
        config or ModelBatching(),
        cost=cost,
        inline_us=inline_us,
        model=model,
    )


def test_a_model_whose_bigger_runs_are_cheaper_by_the_row_shares_them() -> None:
    found = decide(heavy_bytes())
    assert found.rows > 1
    assert "times the rows a second" in found.reason


@pytest.mark.parametrize(
    ("model", "rows", "shown"),
    [(scaled_bytes(), 16, "changes no bit"), (centred_bytes(), 1, "could change the last bit of an answer")],
    ids=["independent", "mean"],
)
def test_short_runs_are_shared_on_the_event_loop_where_no_bit_changes(
    model: bytes, rows: int, shown: str
) -> None:
    found = decide(model, inline_us=1e6)
    assert (found.rows, found.loop_rows) == (1, rows)
    assert found.reason == f"its runs are short; on the event loop to share them {shown}"


def test_what_is_set_holds_for_short_runs_too() -> None:
    model = scaled_bytes()
    assert decide(model, ModelBatching(mode="off"), inline_us=1e6).loop_rows == 1
    assert decide(model, ModelBatching(mode="on"), inline_us=1e6).loop_rows == 16
    assert decide(model, ModelBatching(max_rows=4), inline_us=1e6).loop_rows == 4
    assert decide(model, inline_us=0).loop_rows == 1


@pytest.mark.parametrize("mode", ["auto", "on"])
@pytest.mark.parametrize("model", [centred_bytes(), slow_model_bytes(32, 2)], ids=["mean", "sum"])
def test_a_model_whose_rows_depend_on_each_other_never_shares_runs(
    mode: Literal["auto", "on"], model: bytes
) -> None:
    found = decide(model, ModelBatching(mode=mode))
    assert (found.rows, found.reason[:29]) == (1, "its rows depend on each other")


def quantised_bytes() -> bytes:
    """Products in whole numbers of 8 bits; what a step is worth depends on the greatest value of all rows."""
    rng = np.random.default_rng(0)
    return model_bytes(
        [
            helper.make_node("DynamicQuantizeLinear", ["X"], ["q", "step", "zero"]),
            helper.make_node("MatMulInteger", ["q", "W", "zero"], ["i"]),
            helper.make_node("Cast", ["i"], ["f"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Mul", ["f", "step"], ["Y"]),
        ],
        [value_info("X", "float32", ("batch", 16))],
        [value_info("Y", "float32", ("batch", 4))],
        {"W": rng.integers(-127, 127, (16, 4)).astype(np.int8)},
    )


@pytest.mark.parametrize(
    "example", [None, [50_000.0, *range(15)], [float(n) for n in range(16)]], ids=["no", "large", "small"]
)
def test_a_model_that_measures_all_rows_never_shares_runs(example: list[float] | None) -> None:
    model = quantised_bytes()
    session, signature = Session(model), msgspec.structs.replace(signature_of(model), example=example)
    parser = Parser(signature, max_rows=100, name="m.1.")
    found = choose_batching(
        session, signature, parser, ModelBatching(mode="on"), cost=Cost(1000, 1), inline_us=0, model=model
    )
    assert (found.rows, found.reason[:29]) == (1, "its rows depend on each other")


def test_the_team_may_switch_it_off_or_on() -> None:
    off = decide(heavy_bytes(), ModelBatching(mode="off"))
    assert (off.rows, off.reason) == (1, "batching is off in its model.toml")
    on = decide(linear_model_bytes(), ModelBatching(mode="on", max_rows=7), inline_us=1e6)
    reason = "batching is on in its model.toml; on the event loop to share them could change the last bit of an answer"
    assert (on.rows, on.loop_rows, on.reason) == (7, 1, reason)


def test_a_model_without_rows_shares_nothing() -> None:
    assert decide(linear_model_bytes(rows=1), ModelBatching(mode="on")).rows == 1


def test_what_a_run_costs_must_be_known() -> None:
    model = linear_model_bytes()
    session, signature = Session(model), signature_of(model)
    parser = Parser(signature, max_rows=10, name="m.1.")
    found = choose_batching(session, signature, parser, ModelBatching(), cost=None, inline_us=0, model=model)
    assert found == Batching(1, "what a run costs is not known")


def test_a_run_takes_no_more_rows_than_the_team_says() -> None:
    assert 1 < decide(heavy_bytes(), ModelBatching(max_rows=4)).rows <= 4


def test_inputs_that_cannot_be_varied_are_tried_as_they_are() -> None:
    model = identity_bytes("string", ("batch",))
    session, signature = Session(model), signature_of(model)
    parser = Parser(signature, max_rows=10, name="m.1.")
    cost = Cost(10, 1)
    forced = choose_batching(
        session, signature, parser, ModelBatching(mode="on"), cost=cost, inline_us=0, model=model
    )
    assert forced.rows > 1
    found = choose_batching(session, signature, parser, ModelBatching(), cost=cost, inline_us=0, model=model)
    assert (found.rows, found.reason[:20]) == (1, "that its rows do not")
