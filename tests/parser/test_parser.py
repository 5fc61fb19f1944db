"""The parser of a whole signature: rows, their number, and the names that it gives to types."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from foretell.errors import InvalidNameError, StoreError
from foretell.parser import Parser
from foretell.signature import Signature, Tensor
from tests.parser.signatures import column, from_columns, from_rows, nested, packed, separate


@pytest.mark.parametrize(
    "signature", [packed(column("a"), column("b")), separate(column("a"), column("b")), nested((None, 2))]
)
@pytest.mark.parametrize("max_rows", [1, 7])
def test_a_request_has_one_row_at_least_and_the_limit_at_most(signature: Signature, max_rows: int) -> None:
    assert all(
        len(tensor) == max_rows
        for tensor in from_rows(signature, [[1, 2]] * max_rows, max_rows=max_rows).values()
    )
    for count in (0, max_rows + 1):
        with pytest.raises(msgspec.ValidationError):
            from_rows(signature, [[1, 2]] * count, max_rows=max_rows)


@pytest.mark.parametrize("max_rows", [1, 7])
def test_a_whole_tensor_has_one_row_at_least_and_the_limit_at_most(max_rows: int) -> None:
    signature = nested((None, 2))
    assert len(from_columns(signature, [[1, 2]] * max_rows, max_rows=max_rows)["p"]) == max_rows
    for count in (0, max_rows + 1):
        with pytest.raises(msgspec.ValidationError):
            from_columns(signature, [[1, 2]] * count, max_rows=max_rows)


def test_a_fixed_first_axis_takes_exactly_that_many_rows() -> None:
    signature = nested((3, 2), (3,))
    row = [[1, 2], 3]
    assert from_rows(signature, [row] * 3)["p"].shape == (3, 2)
    for count in (2, 4):
        with pytest.raises(msgspec.ValidationError):
            from_rows(signature, [row] * count)
        with pytest.raises(msgspec.ValidationError):
            from_columns(signature, {"p": [[1, 2]] * count, "q": [3] * 3})


@pytest.mark.parametrize(
    "shapes",
    [[()], [(None,), ()], [("n",), ("m",)], [(2, 1), (3,)], [(None,), (3,)], [(0, 2)], [(101,)]],
    ids=str,
)
def test_a_model_has_no_rows_where_its_inputs_share_no_first_axis_within_the_limit(shapes: list[Any]) -> None:
    parser = Parser(nested(*shapes), max_rows=100)
    assert parser.row is None
    assert parser.rows is None


@pytest.mark.parametrize(
    ("signature", "columns", "rows"),
    [
        (packed(column("a")), {"a": [1, 2, 3]}, 3),
        (packed(column("a")), [[1], [2]], 2),
        (nested((None, 1)), [[1], [2]], 2),
        (nested((None,), (None, 1)), {"p": [1, 2], "q": [[1], [2]]}, 2),
        (nested(()), 1, 1),
        (nested(("n",), ("m",)), {"p": [1, 2], "q": [1]}, 1),
    ],
    ids=["by name", "rows", "tensor", "tensors", "scalar", "no common axis"],
)
def test_the_rows_of_a_column_form_are_counted(signature: Signature, columns: Any, rows: int) -> None:
    parser = Parser(signature, max_rows=10)
    decoded = msgspec.convert(columns, type=parser.columns)
    assert parser.tensors_of_columns(decoded)[1] == rows


@pytest.mark.parametrize("name", ['say "hi"', "back\\slash", "new\nline", "\x00"], ids=ascii)
@pytest.mark.parametrize("of", ["column", "input"])
def test_a_name_that_no_record_can_hold_is_refused_by_name(of: str, name: str) -> None:
    inputs = (Tensor("p", "float32", (None,)), Tensor(name, "float32", (None,)))
    signature = packed(column("a"), column(name)) if of == "column" else Signature(inputs, ())
    with pytest.raises(InvalidNameError, match="rename it") as refused:
        Parser(signature, max_rows=1)
    assert repr(name) in str(refused.value)
    assert isinstance(refused.value, StoreError)


def test_generated_types_carry_the_name_given() -> None:
    parser = Parser(packed(column("a"), column("b")), max_rows=3, name="iris.1.")
    _, components = msgspec.json.schema_components([parser.rows, parser.columns])
    assert {*components} == {"iris.1.Record", "iris.1.Columns"}
