"""Rows that are drawn are rows that the model takes."""

from __future__ import annotations

from pathlib import Path
from random import Random

import msgspec
import pytest

from foretell.loadtest.rows import Rows
from foretell.parser import Parser
from foretell.signature import Column, Signature, Tensor
from tests.servers import SAMPLE_STORE

MANIFESTS = sorted(SAMPLE_STORE.glob("*/*/manifest.json"))


class Manifest(msgspec.Struct):
    """What of a manifest is needed here."""

    signature: Signature


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: f"{path.parts[-3]}-{path.parts[-2]}")
def test_the_models_of_the_sample_store_take_them(manifest: Path) -> None:
    signature = msgspec.json.decode(manifest.read_bytes(), type=Manifest).signature
    parser, rows = Parser(signature, max_rows=100), Rows(signature, Random(1))
    drawn = [rows.draw() for _ in range(100)]
    typed = msgspec.convert(drawn, parser.rows)
    _, count = parser.tensors_of_rows(typed)
    assert count == 100
    assert len({msgspec.json.encode(row) for row in drawn}) > 90
    for column, values in zip(signature.columns, zip(*drawn, strict=True), strict=True):
        present = [value for value in values if value is not None]
        assert None not in values or column.missing != "refuse"
        if column.categories:
            assert set(present) <= set(column.categories)
        elif column.minimum is not None and column.maximum is not None:
            assert column.minimum <= min(present) <= max(present) <= column.maximum


def test_the_same_seed_draws_the_same() -> None:
    signature = msgspec.json.decode(MANIFESTS[0].read_bytes(), type=Manifest).signature
    one, other = Rows(signature, Random(7)), Rows(signature, Random(7))
    first, second = ([rows.draw() for _ in range(3)] for rows in (one, other))
    assert first == second


def test_missing_values_are_drawn_where_there_may_be_some() -> None:
    columns = (Column("a", "float32", "x", missing="nan", minimum=0, maximum=1), Column("b", "float32", "x"))
    signature = Signature((Tensor("x", "float32", ("batch", 2)),), (), columns=columns, example=(0.5, 2.0))
    rows = Rows(signature, Random(3))
    drawn = [rows.draw() for _ in range(200)]
    assert 0 < sum(row[0] is None for row in drawn) < 50
    assert all(row[1] is not None for row in drawn)


def test_a_model_of_which_only_the_tensors_are_known() -> None:
    inputs = (
        Tensor("x", "float32", ("batch", 2)),
        Tensor("n", "int64", ("batch",)),
        Tensor("s", "string", ("batch", None)),
    )
    rows = Rows(Signature(inputs, ()), Random(1))
    parser = Parser(Signature(inputs, ()), max_rows=3)
    typed = msgspec.convert([rows.draw() for _ in range(3)], parser.rows)
    tensors, _ = parser.tensors_of_rows(typed)
    assert [tensors[name].shape for name in ("x", "n", "s")] == [(3, 2), (3,), (3, 1)]
    assert isinstance(Rows(Signature(inputs[:1], ()), Random(1)).draw(), list)


def test_a_model_without_rows_cannot_be_asked() -> None:
    with pytest.raises(ValueError, match="no rows"):
        Rows(Signature((Tensor("x", "float32", (2, 2)),), ()), Random(1))
