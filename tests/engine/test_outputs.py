"""What a graph gives, flattened to plain tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from foretell.engine.outputs import Output, flatten
from foretell.errors import ScreeningError
from foretell.signature import Tensor
from foretell.tensors import DTYPES


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("{}", "tensor"),
        ("seq({})", "sequence"),
        ("map(int64,{})", "maps"),
        ("map(string,{})", "maps"),
        ("seq(map(int64,{}))", "maps"),
        ("seq(map(string,{}))", "maps"),
    ],
)
def test_every_form_of_every_element_type_is_known(dtype: Any, form: str, kind: str) -> None:
    output = Output.of("Y", form.format(dtype.onnx), ())
    assert (output.kind, output.dtype) == (kind, dtype.name)


@pytest.mark.parametrize(
    "type_string",
    [
        "tensor(bfloat16)",
        "tensor(complex64)",
        "tensor(float8e4m3fn)",
        "tensor(int4)",
        "seq(tensor(bfloat16))",
        "sparse_tensor(float)",
        "optional(tensor(float))",
        "seq(seq(tensor(float)))",
        "map(float,tensor(float))",
        "opaque(ai.onnx,thing)",
        "",
    ],
)
def test_a_type_that_cannot_be_served_is_refused_by_name(type_string: str) -> None:
    with pytest.raises(ScreeningError) as caught:
        Output.of("Y", type_string, ())
    assert str(caught.value) == f"the output 'Y' has the type {type_string}, which cannot be served"


def test_maps_become_a_matrix_with_the_keys_in_rising_order() -> None:
    output = Output.of("p", "seq(map(int64,tensor(float)))", ())
    maps = [{10: 0.25, 2: 0.75}, {2: 1.0, 10: 0.0}]
    matrix = output.tensors(maps)["p"]
    assert matrix.dtype == np.float32
    assert matrix.tolist() == [[0.75, 0.25], [1, 0]]
    assert output.keys(maps) == (2, 10)
    assert output.describe(maps, 2) == (Tensor("p", "float32", ("batch", 2)),)


def test_a_single_map_is_a_single_row() -> None:
    output = Output.of("p", "map(string,tensor(double))", ())
    assert output.tensors({"b": 2.0, "a": 1.0})["p"].tolist() == [[1, 2]]
    assert output.keys({"b": 2.0, "a": 1.0}) == ("a", "b")


@pytest.mark.parametrize(
    ("dtype", "rows", "wanted"),
    [
        ("float", [{1: 0.5}, {2: 0.25}], [[0.5, None], [None, 0.25]]),
        ("int64", [{1: 5}, {2: 7}], [[5, 0], [0, 7]]),
        ("string", [{1: "a"}, {2: "b"}], [["a", ""], ["", "b"]]),
    ],
    ids=["number", "integer", "string"],
)
def test_a_key_that_one_map_lacks_is_filled(
    dtype: str, rows: list[dict[int, Any]], wanted: list[list[Any]]
) -> None:
    matrix = Output.of("p", f"seq(map(int64,tensor({dtype})))", ()).tensors(rows)["p"]
    found = [[None if value != value else value for value in row] for row in matrix.tolist()]  # noqa: PLR0124
    assert found == wanted


def test_no_maps_are_a_matrix_without_rows() -> None:
    assert Output.of("p", "seq(map(int64,tensor(float)))", ()).tensors([])["p"].shape == (0, 0)


def test_a_sequence_becomes_one_tensor_for_each_place() -> None:
    output = Output.of("s", "seq(tensor(int64))", ())
    parts = [np.array([1, 2]), np.array([[3], [4]])]
    assert {name: part.tolist() for name, part in output.tensors(parts).items()} == {
        "s_0": [1, 2],
        "s_1": [[3], [4]],
    }
    assert output.describe(parts, 2) == (
        Tensor("s_0", "int64", ("batch",)),
        Tensor("s_1", "int64", ("batch", None)),
    )
    assert output.keys(parts) is None


def test_the_graph_s_own_shape_is_kept_where_its_rank_is_right() -> None:
    value = np.zeros((2, 3), dtype=np.float32)
    assert Output("Y", "tensor", "float32", ("N", 3)).describe(value, 2) == (
        Tensor("Y", "float32", ("N", 3)),
    )
    assert Output("Y", "tensor", "float32", ()).describe(value, 2) == (
        Tensor("Y", "float32", ("batch", None)),
    )
    assert Output("Y", "tensor", "float32", ()).describe(value, None) == (
        Tensor("Y", "float32", (None, None)),
    )


def test_all_outputs_are_flattened_in_their_order() -> None:
    outputs = [
        Output.of("a", "seq(tensor(float))", ()),
        Output.of("b", "tensor(float)", ()),
        Output.of("c", "seq(map(int64,tensor(float)))", ()),
    ]
    one = np.ones(1, dtype=np.float32)
    assert list(flatten(outputs, [[one, one], one, [{1: 1.0}]])) == ["a_0", "a_1", "b", "c"]
