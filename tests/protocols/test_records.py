"""Many rows are written at once, and come out as if each had been written by itself."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from foretell.protocols.encoding import encode, json_rows
from foretell.protocols.records import json_records, records
from foretell.tensors import Array

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
LABELS = st.one_of(st.sampled_from(["null", "],[", '"},{"', "", "ü", "a\\"]), NAMES)
DTYPES = st.sampled_from(["bool", "int8", "int64", "uint64", "float16", "float32", "float64"])


@st.composite
def tensors(draw: st.DrawFn) -> dict[str, Array]:
    """Outputs by name: numbers of any shape, texts, and both in rows."""
    rows = draw(st.integers(1, 12))
    outputs: dict[str, Array] = {}
    for name in draw(st.lists(NAMES, min_size=1, max_size=4, unique=True)):
        shape = (rows, *draw(st.lists(st.integers(0, 3), max_size=3)))
        if draw(st.booleans()):
            outputs[name] = draw(npst.arrays(draw(DTYPES), shape))
        else:
            outputs[name] = draw(npst.arrays(object, shape, elements=LABELS, fill=st.nothing()))
    return outputs


def one_by_one(outputs: dict[str, Array]) -> bytes:
    return encode({"rows": records({name: json_rows(tensor) for name, tensor in outputs.items()})})


def at_once(outputs: dict[str, Array]) -> bytes:
    return encode({"rows": json_records(outputs, len(next(iter(outputs.values()))))})


@given(outputs=tensors())
@settings(deadline=None, max_examples=500)
def test_what_is_written_is_byte_for_byte_what_every_row_by_itself_would_be(
    outputs: dict[str, Array],
) -> None:
    assert at_once(outputs) == one_by_one(outputs)


@pytest.mark.parametrize("rows", [1, 5, 6, 200])
def test_a_row_has_the_value_of_each_output(rows: int) -> None:
    scores = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
    labels = np.array([f"label {row % 3}" for row in range(rows)], dtype=object)
    written = json.loads(at_once({"label": labels, "scores": scores}))["rows"]
    assert written == [
        {"label": label, "scores": pair} for label, pair in zip(labels.tolist(), scores.tolist(), strict=True)
    ]


@pytest.mark.parametrize(
    "labels",
    [
        np.array([1, True, "1", None, 1.0, "null"] * 2, dtype=object),
        np.array([["a"], ["b"], ["c"], ["d"], ["e"], ["f"]] * 2, dtype=object),
        np.array([{"a": 1}, [1]] * 6, dtype=object),
        np.array(["a", "b"] * 6),
        np.zeros((12, 0), dtype=np.float32),
        np.array([np.nan, 1] * 6),
    ],
    ids=["mixed", "nested texts", "objects", "texts of numpy", "empty", "not finite"],
)
def test_an_output_that_cannot_be_written_at_once_is_written_row_by_row(labels: Array) -> None:
    outputs: dict[str, Any] = {"odd": labels, "plain": np.arange(12)}
    assert at_once(outputs) == one_by_one(outputs)
    assert len(json.loads(at_once(outputs))["rows"]) == 12
