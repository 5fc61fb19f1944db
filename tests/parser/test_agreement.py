"""Whatever form a request takes, the tensors are the same, and the same as made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.signature import Dimension
from foretell.tensors import DTYPES, Array, DTypeName
from tests.parser.signatures import (
    DTYPE_NAMES,
    Table,
    from_columns,
    from_rows,
    json_scalars,
    nested,
    reference,
    same,
    tables,
)


@given(table=tables(), as_record=st.lists(st.booleans(), min_size=5, max_size=5))
@settings(deadline=None)
def test_lists_records_and_columns_give_the_tensors_that_are_made_by_hand(
    table: Table, as_record: list[bool]
) -> None:
    expected = reference(table.signature, table.rows)
    records = table.records()
    mixed = [
        record if chosen else row for row, record, chosen in zip(table.rows, records, as_record, strict=False)
    ]
    assert same(from_rows(table.signature, table.rows), expected)
    assert same(from_rows(table.signature, records), expected)
    assert same(from_rows(table.signature, mixed), expected)
    assert same(from_columns(table.signature, table.columns()), expected)
    if len(table.signature.columns) == 1:
        assert same(from_rows(table.signature, [row[0] for row in table.rows]), expected)
    if len(table.signature.inputs) == 1:
        assert same(from_columns(table.signature, table.rows), expected)


@st.composite
def tensors(draw: st.DrawFn) -> tuple[tuple[Dimension, ...], DTypeName, Array]:
    """The shape that a model declares, its element type, and a tensor that fits."""
    dtype = draw(DTYPE_NAMES)
    shape = [draw(st.integers(1, 3))]
    declared: list[Dimension] = [draw(st.sampled_from([None, "batch", shape[0]]))]
    for axis in range(draw(st.integers(0, 3))):
        variable = draw(st.booleans())
        length = draw(st.integers(0, 3))
        declared.append(draw(st.sampled_from([None, f"axis{axis}"])) if variable else length)
        # Behind an empty axis the lists no longer tell the length of a variable one.
        shape.append(0 if variable and 0 in shape else length)
    size = int(np.prod(shape))
    values = draw(st.lists(json_scalars(dtype), min_size=size, max_size=size))
    return tuple(declared), dtype, np.array(values, dtype=DTYPES[dtype].numpy).reshape(shape)


@given(case=tensors())
@settings(deadline=None)
def test_nested_lists_give_the_tensor_that_they_were_made_from(
    case: tuple[tuple[Dimension, ...], DTypeName, Array],
) -> None:
    declared, dtype, tensor = case
    signature = nested(declared, dtype=dtype)
    value: list[Any] = tensor.tolist()
    assert same(from_rows(signature, value), {"p": tensor})
    assert same(from_rows(signature, [{"p": row} for row in value]), {"p": tensor})
    assert same(from_columns(signature, {"p": value}), {"p": tensor})
    assert same(from_columns(signature, value), {"p": tensor})
