"""Element types: their names in ONNX, numpy and JSON, and their limits."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from foretell.engine.session import Session
from foretell.tensors import DTYPES, DTypeName, dtype_of_onnx, zeros
from tests.models import identity_bytes

INTEGERS: tuple[DTypeName, ...] = (
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
)
FLOATS: tuple[DTypeName, ...] = ("float16", "float32", "float64")
NAMES = tuple(DTYPES)


def test_every_element_type_that_numpy_shares_with_onnx_can_be_served() -> None:
    assert {*DTYPES} == {"bool", *INTEGERS, *FLOATS, "string"}


@pytest.mark.parametrize("name", NAMES)
def test_an_element_type_is_what_onnx_runtime_takes_and_gives(name: DTypeName) -> None:
    session = Session(identity_bytes(name))
    given = session.run({"X": zeros(DTYPES[name], (3, 2))})["Y"]
    assert session.inputs[0].dtype == name
    assert given.dtype == DTYPES[name].numpy
    assert given.tolist() == zeros(DTYPES[name], (3, 2)).tolist()


@pytest.mark.parametrize("name", NAMES)
def test_an_element_type_is_found_by_its_onnx_name(name: DTypeName) -> None:
    assert dtype_of_onnx(DTYPES[name].onnx) is DTYPES[name]


@pytest.mark.parametrize(
    "type_string",
    ["tensor(bfloat16)", "tensor(complex64)", "seq(tensor(float))", "tensor(float32)", "float", ""],
)
def test_what_numpy_does_not_hold_is_no_element_type(type_string: str) -> None:
    assert dtype_of_onnx(type_string) is None


@pytest.mark.parametrize("name", INTEGERS)
def test_the_limits_of_an_integer_type_are_exact(name: DTypeName) -> None:
    limits = np.iinfo(name)
    assert (DTYPES[name].minimum, DTYPES[name].maximum) == (int(limits.min), int(limits.max))
    assert isinstance(DTYPES[name].maximum, int)


@pytest.mark.parametrize("name", FLOATS)
def test_the_limits_of_a_float_type_are_finite_in_it_and_hold_its_greatest_value(name: DTypeName) -> None:
    limits = cast("tuple[float, float]", (DTYPES[name].minimum, DTYPES[name].maximum))
    stored = np.array(limits, dtype=name)
    assert stored.tolist() == [float(np.finfo(name).min), float(np.finfo(name).max)]


@pytest.mark.parametrize("name", FLOATS)
def test_the_greatest_float_is_within_the_limits_however_it_is_written(name: DTypeName) -> None:
    greatest: Any = np.finfo(name).max
    limit = DTYPES[name].maximum
    assert limit is not None
    assert float(greatest) <= limit
    assert float(str(greatest)) <= limit


@pytest.mark.parametrize("name", ["bool", "string"])
def test_what_is_no_number_has_no_limits(name: DTypeName) -> None:
    assert DTYPES[name].minimum is None
    assert DTYPES[name].maximum is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0), (2, 3, 1)], ids=str)
def test_zeros_have_the_type_and_shape_asked_for(name: DTypeName, shape: tuple[int, ...]) -> None:
    tensor = zeros(DTYPES[name], shape)
    blank = "" if name == "string" else 0
    assert tensor.shape == shape
    assert tensor.dtype == DTYPES[name].numpy
    assert all(value == blank for value in tensor.ravel())


def test_the_table_of_element_types_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        DTYPES["bool"] = DTYPES["int8"]  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
