"""Rows that are plain tensors: nested lists of any rank, for one input or several."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from foretell.errors import InvalidInputError
from foretell.tensors import DTYPES, DTypeName
from tests.parser.signatures import from_columns, from_rows, nested, same
from tests.parser.test_columns import SAMPLES


@pytest.mark.parametrize("name", DTYPES)
def test_every_element_type_arrives_exactly(name: DTypeName) -> None:
    values = np.array([SAMPLES[name], SAMPLES[name][::-1]], dtype=DTYPES[name].numpy)
    signature = nested((None, 2), dtype=name)
    assert same(from_rows(signature, values.tolist()), {"p": values})
    assert same(from_columns(signature, {"p": values.tolist()}), {"p": values})


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        ((None,), [1, 2]),
        ((None, 1), [[1], [2]]),
        ((None, 3), [[1, 2, 3]]),
        ((None, None), [[1, 2], [3, 4], [5, 6]]),
        (("n", 2, "k"), [[[1], [2]], [[3], [4]]]),
        ((None, 1, None, 2), [[[[1, 2], [3, 4]]]]),
        ((2,), [1, 2]),
        ((1, 2), [[1, 2]]),
        ((2, 1, 1), [[[1]], [[2]]]),
    ],
    ids=str,
)
def test_rows_records_and_whole_tensors_agree_at_every_rank(shape: Any, value: list[Any]) -> None:
    signature = nested(shape)
    expected = {"p": np.array(value, dtype=np.float32)}
    assert same(from_rows(signature, value), expected)
    assert same(from_rows(signature, [{"p": row} for row in value]), expected)
    assert same(from_columns(signature, value), expected)
    assert same(from_columns(signature, {"p": value}), expected)


@pytest.mark.parametrize("form", [1.5, {"p": 1.5}], ids=["plain", "by name"])
def test_a_scalar_input_is_a_number(form: Any) -> None:
    assert same(from_columns(nested(()), form), {"p": np.array(1.5, dtype=np.float32)})


@pytest.mark.parametrize("shape", [(None,), (None, 1)], ids=str)
def test_a_model_of_one_value_for_each_row_takes_scalars_and_records(shape: Any) -> None:
    of_row: Any = 3 if len(shape) == 1 else [3]
    tensors = from_rows(nested(shape), [1, 2.5, of_row, {"p": of_row}])
    assert tensors["p"].shape == (4, *shape[1:])
    assert tensors["p"].ravel().tolist() == [1, 2.5, 3, 3]


def test_texts_may_be_scalars_too() -> None:
    assert from_rows(nested((None, 1), dtype="string"), ["ab", ["cd"]])["p"].tolist() == [["ab"], ["cd"]]


def test_rows_of_several_inputs_are_lists_in_their_order_or_records_and_may_be_mixed() -> None:
    signature = nested((None, 2), (None,), (None, 1, 1))
    rows = [[[1, 2], 3, [[4]]], {"r": [[8]], "q": 7, "p": [5, 6]}]
    expected = {
        "p": np.array([[1, 2], [5, 6]], dtype=np.float32),
        "q": np.array([3, 7], dtype=np.float32),
        "r": np.array([[[4]], [[8]]], dtype=np.float32),
    }
    assert same(from_rows(signature, rows), expected)
    columns = {"q": [3, 7], "p": [[1, 2], [5, 6]], "r": [[[4]], [[8]]]}
    assert same(from_columns(signature, columns), expected)


EMPTY: list[tuple[Any, Any, tuple[int, ...]]] = [
    ((None, None), [[], []], (2, 0)),
    ((None, None, 3), [[], []], (2, 0, 3)),
    ((None, None, None), [[]], (1, 0, 0)),
    ((None, 2, None), [[[], []]], (1, 2, 0)),
    ((None, 0), [[], [], []], (3, 0)),
    ((1, None, 2, 2), [[]], (1, 0, 2, 2)),
]


@pytest.mark.parametrize(("shape", "value", "expected"), EMPTY, ids=str)
def test_an_empty_inner_axis_keeps_the_rank(shape: Any, value: list[Any], expected: tuple[int, ...]) -> None:
    for tensors in (from_rows(nested(shape), value), from_columns(nested(shape), value)):
        assert tensors["p"].shape == expected
        assert tensors["p"].dtype == np.float32


@pytest.mark.parametrize("shapes", [[()], [("n",), ("m",)]], ids=str)
def test_a_variable_axis_that_counts_no_rows_may_be_empty(shapes: list[Any]) -> None:
    signature = nested((None,), *shapes)
    empty: dict[str, Any] = {"p": [], "q": 1.0} if shapes == [()] else {"p": [], "q": [], "r": []}
    assert from_columns(signature, empty)["p"].shape == (0,)


RAGGED: list[tuple[Any, str, int, int]] = [
    ([[1, 2], [3]], "$.instances[1]", 2, 1),
    ([[1], [2, 3]], "$.instances[1]", 1, 2),
    ([[], [1]], "$.instances[1]", 0, 1),
    ([{"p": [1, 2]}, {"p": [3]}], "$.instances[1].p", 2, 1),
    ([[1, 2], [3, 4], {"p": []}], "$.instances[2].p", 2, 0),
]


@pytest.mark.parametrize(
    ("rows", "place", "expected", "got"),
    RAGGED,
    ids=["shorter", "longer", "after an empty one", "records", "mixed"],
)
def test_ragged_rows_are_refused_with_their_place(
    rows: list[Any], place: str, expected: int, got: int
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        from_rows(nested((None, None)), rows)
    assert (
        str(refused.value)
        == f"{place}: expected a list of length {expected}, as its neighbours have, got {got}"
    )


@pytest.mark.parametrize(
    ("row", "place"),
    [([1, [[1], [2, 3]]], "$.instances[1][1][1]"), ({"p": 1, "q": [[1], [2, 3]]}, "$.instances[1].q[1]")],
    ids=["list", "record"],
)
def test_a_ragged_list_inside_a_row_of_several_inputs_is_refused_with_its_place(row: Any, place: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        from_rows(nested((None,), (None, None, None)), [[1, [[1], [2]]], row])
    assert refused.value.problems[0].path == place


@pytest.mark.parametrize(
    ("columns", "place"),
    [([[[1], [2]], [[3], [4, 5]]], "$.inputs[1][1]"), ({"p": [[[1]], [[2], [3]]]}, "$.inputs.p[1]")],
    ids=["plain", "by name"],
)
def test_a_ragged_whole_tensor_is_refused_with_its_place(columns: Any, place: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        from_columns(nested((None, None, None)), columns)
    assert refused.value.problems[0].path == place


@pytest.mark.parametrize("dtype", ["string", "uint64"])
def test_ragged_lists_of_any_type_are_refused_with_their_place(dtype: DTypeName) -> None:
    value: Any = {"string": "a", "uint64": 2**64}[dtype]
    signature = nested((None, None, None), dtype=dtype)
    ragged: list[tuple[list[Any], str]] = [
        ([[[value], [value]], [[value], [value, value]]], "$.instances[1][1]"),
        ([[[value], [value]], [[value]]], "$.instances[1]"),
        ([[[]], [[value]]], "$.instances[1][0]"),
        ([[], [[value]]], "$.instances[1]"),
    ]
    for rows, place in ragged:
        with pytest.raises(InvalidInputError) as refused:
            from_rows(signature, rows)
        assert refused.value.problems[0].path == place
        assert "as its neighbours have" in refused.value.problems[0].message


def test_a_regular_list_is_handed_to_numpy_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    signature = nested((None, None, None))
    monkeypatch.setattr("foretell.parser.nested._check_regular", pytest.fail)
    assert from_rows(signature, [[[1.0] * 4] * 3] * 2)["p"].shape == (2, 3, 4)


def test_inputs_with_different_numbers_of_rows_are_refused() -> None:
    with pytest.raises(InvalidInputError) as refused:
        from_columns(nested((None, 1), ("n",)), {"p": [[1], [2]], "q": [1, 2, 3]})
    assert str(refused.value) == (
        "$.inputs: axis 0 of 'q' has the length 3 and axis 0 of 'p' has 2; they must be equal"
    )


def test_axes_of_one_name_must_be_equally_long_in_rows_and_whole_tensors() -> None:
    signature = nested((None, "k"), (None, 2, "k"))
    assert from_rows(signature, [[[1, 2, 3], [[1, 2, 3], [1, 2, 3]]]])["q"].shape == (1, 2, 3)
    with pytest.raises(
        InvalidInputError, match=r"^\$\.instances: axis 2 of 'q' has the length 1 and axis 1 of 'p' has 3"
    ):
        from_rows(signature, [[[1, 2, 3], [[1], [1]]]])
    with pytest.raises(InvalidInputError, match=r"^\$\.inputs: axis 2 of 'q'"):
        from_columns(signature, {"p": [[1, 2, 3]], "q": [[[1], [1]]]})


def test_axes_of_one_name_must_be_equally_long_inside_one_input() -> None:
    signature = nested((None, "k", "k"))
    assert from_rows(signature, [[[1, 2], [3, 4]]])["p"].shape == (1, 2, 2)
    with pytest.raises(InvalidInputError, match="axis 2 of 'p' has the length 3 and axis 1 of 'p' has 2"):
        from_rows(signature, [[[1, 2, 3], [4, 5, 6]]])


def test_axes_without_a_name_or_with_different_names_are_independent() -> None:
    tensors = from_columns(
        nested((None, None, "j"), (None, None, "k")), {"p": [[[1]]], "q": [[[1, 2], [3, 4]]]}
    )
    assert [tensor.shape for tensor in tensors.values()] == [(1, 1, 1), (1, 2, 2)]


@pytest.mark.parametrize("name", ["rows", "batch", "n"])
def test_an_axis_may_have_any_name(name: str) -> None:
    tensors = from_columns(nested((None, name), (None, name)), {"p": [[1, 2]], "q": [[3, 4]]})
    assert tensors["p"].shape == tensors["q"].shape == (1, 2)


def test_named_axes_may_make_a_model_without_rows() -> None:
    signature = nested(("n",), ("m", "n"))
    tensors = from_columns(signature, {"p": [1, 2], "q": [[1, 2], [3, 4], [5, 6]]})
    assert tensors["q"].shape == (3, 2)
    with pytest.raises(InvalidInputError, match="axis 1 of 'q' has the length 1 and axis 0 of 'p' has 2"):
        from_columns(signature, {"p": [1, 2], "q": [[1]]})


@pytest.mark.parametrize(
    ("shape", "rows", "place"),
    [
        ((None,), [1, 2**64], "$.instances[1]"),
        ((None, 1), [[1], 2**64], "$.instances[1]"),
        ((None, 1), [1, [2**64]], "$.instances[1][0]"),
        ((None, 2, 1), [[[1], [2]], [[3], [2**64]]], "$.instances[1][1][0]"),
        ((None, 2), [{"p": [1, 2**64]}], "$.instances[0].p[1]"),
    ],
    ids=["vector", "scalar for a matrix", "list for a matrix", "deep", "record"],
)
def test_an_integer_beyond_64_bits_is_refused_with_its_place(shape: Any, rows: list[Any], place: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        from_rows(nested(shape, dtype="uint64"), rows)
    assert str(refused.value) == f"{place}: expected uint64 <= {2**64 - 1}, got {2**64}"


def test_an_integer_beyond_64_bits_is_refused_in_a_whole_tensor() -> None:
    with pytest.raises(InvalidInputError, match=r"^\$\.inputs\.q\[0\]\[1\]: expected uint64"):
        from_columns(nested((None,), (None, 2), dtype="uint64"), {"p": [1], "q": [[1, 2**64]]})
    with pytest.raises(InvalidInputError, match=r"^\$\.inputs: expected uint64"):
        from_columns(nested((), dtype="uint64"), 2**64)


@pytest.mark.parametrize(
    "rows",
    [
        [[[1, 2]]],
        [[[1, 2], 3, 4]],
        [[1, 2]],
        [{"p": [1, 2]}],
        [{"p": [1, 2], "q": 3, "r": 4}],
        [None],
        [[[1, 2], None]],
    ],
    ids=["too few", "too many", "wrong rank", "missing input", "unknown input", "null", "null input"],
)
def test_rows_of_another_form_are_refused_by_the_decoder(rows: list[Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        from_rows(nested((None, 2), (None,)), rows)
