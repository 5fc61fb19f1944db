"""Rows of named values become tensors, in whatever form they are sent."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from foretell.errors import InvalidInputError
from foretell.parser import Parser
from foretell.signature import BATCH, Column, Signature, Tensor
from foretell.tensors import DTYPES, DTypeName
from tests.parser.signatures import (
    ODD_NAMES,
    PREDICTION,
    column,
    from_columns,
    from_rows,
    nested,
    packed,
    reference,
    same,
    separate,
)

SAMPLES: dict[DTypeName, list[Any]] = {
    "bool": [True, False],
    "int8": [-128, 127],
    "int16": [-(2**15), 2**15 - 1],
    "int32": [-(2**31), 2**31 - 1],
    "int64": [-(2**63), 2**63 - 1],
    "uint8": [0, 255],
    "uint16": [0, 2**16 - 1],
    "uint32": [0, 2**32 - 1],
    "uint64": [2**63, 2**64 - 1],
    "float16": [-65504.0, 6e-8],
    "float32": [-3.4028235e38, 1e-45],
    "float64": [-1.7976931348623157e308, 5e-324],
    "string": ["", "naïve \u0000 null"],
}


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("layout", ["packed", "matrix for each", "vector for each"])
def test_every_element_type_arrives_exactly_in_every_layout(name: DTypeName, layout: str) -> None:
    values = SAMPLES[name]
    columns = column("a", name), column("b", name)
    signature = (
        packed(*columns, dtype=name)
        if layout == "packed"
        else separate(*columns, flat=layout == "vector for each")
    )
    rows = [values, values[::-1], values]
    expected = reference(signature, rows)
    assert same(from_rows(signature, rows), expected)
    assert same(from_rows(signature, [{"b": b, "a": a} for a, b in rows]), expected)
    assert same(from_columns(signature, {"a": [a for a, _ in rows], "b": [b for _, b in rows]}), expected)


def test_columns_of_several_types_fill_the_tensors_they_name_in_their_order() -> None:
    signature = Signature(
        (Tensor("numbers", "float32", (BATCH, 2)), Tensor("texts", "string", (BATCH, 2))),
        (PREDICTION,),
        (
            column("city", "string", "texts"),
            column("age", "int64", "numbers"),
            column("member", "bool", "numbers"),
            column("street", "string", "texts"),
        ),
    )
    tensors = from_rows(
        signature, [["Ulm", 30, True, "Hof"], {"street": "", "member": False, "age": 7, "city": "Ö"}]
    )
    assert tensors["numbers"].dtype == np.float32
    assert tensors["numbers"].tolist() == [[30.0, 1.0], [7.0, 0.0]]
    assert tensors["texts"].tolist() == [["Ulm", "Hof"], ["Ö", ""]]
    assert all(tensor.flags.c_contiguous for tensor in tensors.values())


def test_lists_and_records_may_be_mixed_in_one_request() -> None:
    signature = packed(column("a"), column("b"))
    assert from_rows(signature, [[1, 2], {"b": 4, "a": 3}, [5, 6]])["X"].tolist() == [[1, 2], [3, 4], [5, 6]]


@pytest.mark.parametrize("flat", [False, True], ids=["matrix", "vector"])
def test_a_model_of_one_column_takes_scalars_lists_and_records(flat: bool) -> None:
    tensors = from_rows(separate(column("a", "string"), flat=flat), ["x", ["y"], {"a": "z"}])
    assert tensors["in_a"].tolist() == (["x", "y", "z"] if flat else [["x"], ["y"], ["z"]])


@pytest.mark.parametrize("form", [[None], [[None]], [{"a": None}]], ids=["scalar", "list", "record"])
def test_null_becomes_nan_or_the_empty_string_as_the_column_says(form: list[Any]) -> None:
    missing_number = from_rows(packed(column("a", missing="nan")), form)["X"]
    assert np.isnan(missing_number).tolist() == [[True]]
    texts = packed(column("a", "string", missing="empty"), dtype="string")
    assert from_rows(texts, form)["X"].tolist() == [[""]]
    with pytest.raises(msgspec.ValidationError):
        from_rows(packed(column("a")), form)


@pytest.mark.parametrize(
    ("dtype", "tensor"),
    [
        ("bool", "float16"),
        ("int16", "float16"),
        ("float16", "float16"),
        ("int64", "float32"),
        ("float32", "float32"),
        ("int64", "float64"),
        ("float32", "float64"),
        ("float64", "float64"),
    ],
)
def test_null_among_values_of_any_type_becomes_nan_in_a_float_tensor(
    dtype: DTypeName, tensor: DTypeName
) -> None:
    signature = packed(column("a", dtype, missing="nan"), column("b", dtype, missing="nan"), dtype=tensor)
    value = dtype == "bool" or 1
    for given in (
        from_rows(signature, [[value, None], {"a": None, "b": value}]),
        from_columns(signature, {"a": [value, None], "b": [None, value]}),
    ):
        assert given["X"].dtype == tensor
        assert np.array_equal(given["X"], [[1, np.nan], [np.nan, 1]], equal_nan=True)


def test_null_is_refused_in_one_column_and_taken_in_its_neighbour() -> None:
    signature = packed(column("a"), column("b", missing="nan"))
    assert np.isnan(from_rows(signature, [[1, None]])["X"][0, 1])
    with pytest.raises(msgspec.ValidationError, match=r"\$\[0\]\[0\]"):
        from_rows(signature, [[None, 1]])


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_name_is_a_key_like_any_other(name: str) -> None:
    signature = packed(column(name), column("other"))
    expected = reference(signature, [[1, 2], [3, 4]])
    assert same(from_rows(signature, [{"other": 2, name: 1}, {name: 3, "other": 4}]), expected)
    assert same(from_columns(signature, {"other": [2, 4], name: [1, 3]}), expected)


def test_names_that_begin_like_one_another_are_kept_apart() -> None:
    names = ["a", "ab", "abc", "a.b", "a[0]", "a "]
    record = {name: at for at, name in enumerate(names)}
    assert from_rows(packed(*map(column, names)), [dict(reversed(record.items()))])["X"].tolist() == [
        [*range(6)]
    ]


def test_a_key_may_be_written_with_json_escapes() -> None:
    parser = Parser(packed(column("naïve/🌸")), max_rows=1)
    rows = msgspec.json.decode(rb'[{"na\u00efve\/\ud83c\udf38": 5}]', type=parser.rows)
    assert parser.tensors_of_rows(rows)[0]["X"].tolist() == [[5.0]]


def test_the_column_form_of_a_single_tensor_may_be_its_rows() -> None:
    signature = packed(column("a"), column("b"))
    assert from_columns(signature, [[1, 2], [3, 4]])["X"].tolist() == [[1, 2], [3, 4]]
    with pytest.raises(msgspec.ValidationError):
        from_columns(signature, [{"a": 1, "b": 2}])


def test_the_column_form_of_several_tensors_must_name_them() -> None:
    with pytest.raises(msgspec.ValidationError):
        from_columns(separate(column("a"), column("b")), [[1, 2]])


@pytest.mark.parametrize("max_rows", [1, 3])
def test_the_column_form_is_bounded_in_rows_too(max_rows: int) -> None:
    signature = packed(column("a"))
    assert len(from_columns(signature, {"a": [1.0] * max_rows}, max_rows=max_rows)["X"]) == max_rows
    forms: list[Any] = [{"a": [1.0] * (max_rows + 1)}, [[1.0]] * (max_rows + 1), {"a": []}, []]
    for form in forms:
        with pytest.raises(msgspec.ValidationError):
            from_columns(signature, form, max_rows=max_rows)


@pytest.mark.parametrize("lengths", [(2, 1), (1, 2)], ids=str)
def test_columns_of_different_lengths_are_refused_with_both_named(lengths: tuple[int, int]) -> None:
    with pytest.raises(InvalidInputError) as refused:
        from_columns(packed(column("a"), column("b")), {"a": [1] * lengths[0], "b": [1] * lengths[1]})
    assert str(refused.value) == (
        f"$.inputs.b: expected {lengths[0]} values, as many as in $.inputs.a, got {lengths[1]}"
    )


@pytest.mark.parametrize(
    ("row", "place"), [([0, 2**64], "[1]"), ({"a": 0, "b": 2**64}, ".b")], ids=["list", "record"]
)
@pytest.mark.parametrize("signature", [packed, separate])
def test_an_integer_beyond_64_bits_is_refused_with_its_place(signature: Any, row: Any, place: str) -> None:
    columns = column("a", "uint64"), column("b", "uint64")
    made = packed(*columns, dtype="uint64") if signature is packed else separate(*columns)
    with pytest.raises(InvalidInputError) as refused:
        from_rows(made, [[1, 2**64 - 1], row])
    assert str(refused.value) == f"$.instances[1]{place}: expected uint64 <= {2**64 - 1}, got {2**64}"


def test_an_integer_beyond_64_bits_is_refused_as_a_scalar_and_in_a_column() -> None:
    signature = packed(column("a", "uint64"), dtype="uint64")
    with pytest.raises(InvalidInputError, match=r"^\$\.instances\[1\]: expected uint64 <= "):
        from_rows(signature, [1, 2**64])
    with pytest.raises(InvalidInputError, match=r"^\$\.inputs\.a\[1\]: expected uint64 <= "):
        from_columns(signature, {"a": [1, 2**64]})
    with pytest.raises(InvalidInputError, match=r"^\$\.inputs\[1\]\[0\]: expected uint64 <= "):
        from_columns(signature, [[1], [2**64]])


@pytest.mark.parametrize(
    "signature", [packed(column("a", "uint64"), dtype="uint64"), nested((None,), dtype="uint64")]
)
def test_a_huge_integer_is_refused_and_shown_shortened(signature: Signature) -> None:
    with pytest.raises(
        InvalidInputError, match=r"^\$\.instances\[1\]: expected uint64 <= .*, got 1000+…$"
    ) as refused:
        from_rows(signature, [1, 10**4000])
    assert len(str(refused.value)) < 200


def test_plain_rows_in_the_order_of_the_columns_need_no_json() -> None:
    signature = packed(column("a"), column("b", missing="nan"))
    tensors, rows = Parser(signature, max_rows=1).tensors_of_rows([(1.0, None), [2.0, 3.0]])
    assert rows == 2
    assert same(tensors, reference(signature, [[1.0, None], [2.0, 3.0]]))


def test_a_plain_row_with_a_number_below_its_type_is_refused_with_its_place() -> None:
    signature = packed(column("a", "uint8"), column("b", "uint8"), dtype="uint8")
    with pytest.raises(InvalidInputError, match=r"^\$\.instances\[0\]\[1\]: expected uint8 >= 0, got -1$"):
        Parser(signature, max_rows=1).tensors_of_rows([(255, -1)])


@pytest.mark.parametrize("body", ['[[""]]', '[{"c": ""}]', '[""]'], ids=["list", "record", "scalar"])
def test_an_empty_text_is_no_missing_one(body: str) -> None:
    column = Column("c", "string", "t", missing="empty")
    signature = Signature(
        (Tensor("t", "string", ("batch", 1)),), (Tensor("y", "float32", ("batch",)),), (column,)
    )
    parser = Parser(signature, max_rows=9)
    with pytest.raises(msgspec.ValidationError, match="length >= 1"):
        msgspec.json.decode(body, type=parser.rows)
    with pytest.raises(msgspec.ValidationError, match="length >= 1"):
        msgspec.json.decode('{"c": [""]}', type=parser.columns)
    tensors, _ = parser.tensors_of_rows(msgspec.json.decode("[[null]]", type=parser.rows))
    assert tensors["t"].tolist() == [[""]]
