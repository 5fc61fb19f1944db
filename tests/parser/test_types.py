"""The types that the decoder checks by itself."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest

from foretell.parser.types import column_type, list_of, nested_type, scalar_type
from foretell.signature import Enforcement
from foretell.tensors import DTYPES, DTypeName
from tests.parser.signatures import column

INTEGERS = [name for name, dtype in DTYPES.items() if dtype.kind == "int"]
FLOATS = [name for name, dtype in DTYPES.items() if dtype.kind == "float"]
EVERYTHING: tuple[Any, ...] = (True, 1, 1.5, "1", None, [1], {"a": 1})
TAKEN: dict[str, tuple[Any, ...]] = {"bool": (True,), "int": (1,), "float": (1, 1.5), "string": ("1",)}


def accepts(type_: Any, value: object) -> bool:
    try:
        msgspec.json.decode(json.dumps(value), type=type_)
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.parametrize("name", DTYPES)
def test_an_element_is_written_as_its_own_json_type_and_no_other(name: DTypeName) -> None:
    taken = [value for value in EVERYTHING if accepts(scalar_type(DTYPES[name]), value)]
    assert [json.dumps(value) for value in taken] == [json.dumps(value) for value in TAKEN[DTYPES[name].kind]]


@pytest.mark.parametrize("name", [name for name in INTEGERS if name != "uint64"])
def test_an_integer_beyond_its_type_is_refused(name: DTypeName) -> None:
    limits = np.iinfo(name)
    type_ = scalar_type(DTYPES[name])
    assert accepts(type_, int(limits.min))
    assert accepts(type_, int(limits.max))
    assert not accepts(type_, int(limits.min) - 1)
    assert not accepts(type_, int(limits.max) + 1)


def test_an_unsigned_64_bit_integer_goes_up_to_its_limit() -> None:
    type_ = scalar_type(DTYPES["uint64"])
    assert accepts(type_, 2**64 - 1)
    assert accepts(type_, 0)
    assert not accepts(type_, -1)


@pytest.mark.parametrize("name", FLOATS)
def test_a_float_beyond_its_type_is_refused(name: DTypeName) -> None:
    greatest = np.finfo(name).max
    type_ = scalar_type(DTYPES[name])
    for digits in (float(greatest), float(str(greatest))):
        assert accepts(type_, digits)
        assert accepts(type_, -digits)
    if name != "float64":  # beyond that one there is no number
        assert not accepts(type_, float(greatest) * 1.01)
        assert not accepts(type_, float(greatest) * -1.01)


def test_an_integer_may_be_written_for_a_float_but_no_float_for_an_integer() -> None:
    assert accepts(scalar_type(DTYPES["float32"]), 3)
    assert not accepts(scalar_type(DTYPES["int32"]), 3.0)


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [("float32", [-1.5, 0, 2.5], [-1.6, 2.6]), ("int64", [-1, 0, 2], [-2, 3])],
)
def test_narrower_limits_hold_including_themselves(
    name: DTypeName, inside: list[Any], outside: list[Any]
) -> None:
    type_ = scalar_type(DTYPES[name], -1.5, 2.5)
    assert all(accepts(type_, value) for value in inside)
    assert not any(accepts(type_, value) for value in outside)


def test_limits_wider_than_the_type_do_not_widen_it() -> None:
    type_ = scalar_type(DTYPES["int8"], -1000.0, 1000.0)
    assert accepts(type_, 127)
    assert not accepts(type_, 128)


def test_observations_are_not_required_unless_asked() -> None:
    seen = column("a", "int64", minimum=0, maximum=9)
    assert accepts(column_type(seen, ()), 10)
    assert accepts(column_type(seen, ("categories",)), 10)
    assert not accepts(column_type(seen, ("ranges",)), 10)


@pytest.mark.parametrize(
    ("dtype", "categories", "inside", "outside"),
    [("string", ("u", "ü", ""), "ü", "v"), ("int64", (1, -5), -5, 2)],
    ids=["strings", "integers"],
)
def test_enforced_categories_are_the_only_values(
    dtype: DTypeName, categories: tuple[Any, ...], inside: object, outside: object
) -> None:
    seen = column("a", dtype, categories=categories)
    assert accepts(column_type(seen, ()), outside)
    enforced = column_type(seen, ("ranges", "categories"))
    assert accepts(enforced, inside)
    assert not accepts(enforced, outside)
    assert not accepts(enforced, None)


def test_enforced_categories_leave_a_missing_value_where_one_is_allowed() -> None:
    enforced = column_type(column("a", "string", missing="empty", categories=("u",)), ("categories",))
    assert accepts(enforced, None)
    assert not accepts(enforced, "v")


@pytest.mark.parametrize("enforce", [(), ("ranges",), ("categories",)], ids=str)
def test_a_column_of_which_nothing_was_observed_takes_its_whole_type(
    enforce: tuple[Enforcement, ...],
) -> None:
    assert accepts(column_type(column("a", "string"), enforce), "anything")
    assert accepts(column_type(column("a", "int8"), enforce), -128)
    assert accepts(column_type(column("a", "bool"), enforce), False)


@pytest.mark.parametrize("policy", ["nan", "empty"])
def test_null_is_taken_only_where_a_value_may_be_missing(policy: Any) -> None:
    assert not accepts(column_type(column("a"), ()), None)
    assert accepts(column_type(column("a", missing=policy), ()), None)


@pytest.mark.parametrize(
    "values",
    [[float, float, float], [float, str, bool]],
    ids=["alike", "different"],
)
def test_a_list_has_exactly_its_values(values: list[type]) -> None:
    type_ = list_of(values)
    good = [value() for value in values]
    assert accepts(type_, good)
    assert not accepts(type_, good[:2])
    assert not accepts(type_, [*good, good[0]])
    assert not accepts(type_, [])
    assert not accepts(type_, [None, *good[1:]])


SHAPES: list[tuple[Any, Any, Any]] = [
    ((), [1.0], [[1.0], None]),
    ((2,), [[1, 2]], [[1], [1, 2, 3], 1]),
    ((None,), [[], [1], [1, 2]], [1, [[1]]]),
    (("n", 2), [[], [[1, 2]], [[1, 2], [3, 4]]], [[[]], [[1]], [1, 2]]),
    ((1, None, 1), [[[]], [[[1]]], [[[1], [2]]]], [[], [[1]], [[[1, 2]]]]),
    ((0, 2), [[]], [[[1, 2]]]),
]


@pytest.mark.parametrize(("shape", "inside", "outside"), SHAPES, ids=str)
def test_nested_lists_follow_the_shape(shape: Any, inside: list[Any], outside: list[Any]) -> None:
    type_ = nested_type(DTYPES["float32"], shape)
    assert all(accepts(type_, value) for value in inside)
    assert not any(accepts(type_, value) for value in outside)


def test_only_a_variable_first_axis_is_bounded_from_outside() -> None:
    bounds = msgspec.Meta(min_length=1, max_length=2)
    assert not accepts(nested_type(DTYPES["bool"], (None, None), bounds), [])
    assert accepts(nested_type(DTYPES["bool"], (None, None), bounds), [[], [True] * 5])
    assert not accepts(nested_type(DTYPES["bool"], (None,), bounds), [True] * 3)
    assert accepts(nested_type(DTYPES["bool"], (3,), bounds), [True] * 3)
