"""Signatures to parse with, tables of valid rows for them, and the plain way from rows to tensors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import numpy as np
from hypothesis import strategies as st

from foretell.parser import Parser
from foretell.signature import BATCH, Column, Signature, Tensor
from foretell.tensors import DTYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foretell.parser import Tensors
    from foretell.signature import Dimension, Missing
    from foretell.tensors import Array, DTypeName

__all__ = [
    "DTYPE_NAMES",
    "ODD_NAMES",
    "PREDICTION",
    "Table",
    "column",
    "from_columns",
    "from_rows",
    "json_scalars",
    "nested",
    "packed",
    "reference",
    "same",
    "separate",
    "tables",
]

_ALL: tuple[DTypeName, ...] = tuple(DTYPES)
DTYPE_NAMES: st.SearchStrategy[DTypeName] = st.sampled_from(_ALL)

PREDICTION = Tensor("y", "float32", (BATCH,))

ODD_NAMES = (
    "a",
    "a.b",
    "a[0]",
    "a.b[0].c",
    "ab",
    "A",
    "instances",
    "inputs",
    "features",
    "signature_name",
    "c0",
    "c1",
    "with space",
    "it's",
    "`tick`",
    "$",
    "$.instances[0]",
    " - at `$.a`",
    "naïve",
    "日本語",
    "🌸",
    "null",
    "1",
    "",
    "/",
    "{}",
    "{0}",
    "%s",
)
"""Names that a path, a template or an envelope could trip over."""


def column(name: str, dtype: DTypeName = "float32", source: str = "X", **more: Any) -> Column:
    """A column of the input X."""
    return Column(name, dtype, source, **more)


def packed(*columns: Column, dtype: DTypeName = "float32", **more: Any) -> Signature:
    """A signature whose columns all go into the one matrix X."""
    return Signature((Tensor("X", dtype, (BATCH, len(columns))),), (PREDICTION,), columns, **more)


def separate(*columns: Column, flat: bool = False, **more: Any) -> Signature:
    """A signature with an input of its own for each column, of rank one if flat."""
    inputs = tuple(
        Tensor(f"in_{each.name}", each.dtype, (BATCH,) if flat else (BATCH, 1)) for each in columns
    )
    fed = tuple(
        msgspec.structs.replace(each, input=tensor.name) for each, tensor in zip(columns, inputs, strict=True)
    )
    return Signature(inputs, (PREDICTION,), fed, **more)


def nested(*shapes: tuple[Dimension, ...], dtype: DTypeName = "float32", **more: Any) -> Signature:
    """A signature without columns, whose inputs are p, q, r, … of these shapes."""
    inputs = tuple(Tensor(name, dtype, shape) for name, shape in zip("pqrs", shapes, strict=False))
    return Signature(inputs, (PREDICTION,), **more)


def from_rows(signature: Signature, rows: object, *, max_rows: int = 100) -> Tensors:
    """The tensors of rows that come as JSON."""
    parser = Parser(signature, max_rows=max_rows)
    decoded = msgspec.json.decode(json.dumps(rows), type=parser.rows)
    tensors, count = parser.tensors_of_rows(decoded)
    assert count == len(decoded)
    return tensors


def from_columns(signature: Signature, columns: object, *, max_rows: int = 100) -> Tensors:
    """The tensors of a column form that comes as JSON."""
    parser = Parser(signature, max_rows=max_rows)
    return parser.tensors_of_columns(msgspec.json.decode(json.dumps(columns), type=parser.columns))[0]


def same(given: Tensors, expected: Tensors) -> bool:
    """Whether tensors have the same names, types, shapes and values, and lie in memory as ONNX Runtime wants them."""
    return list(given) == list(expected) and all(_same(given[name], expected[name]) for name in given)


def _same(given: Array, expected: Array) -> bool:
    alike = given.dtype == expected.dtype and given.shape == expected.shape and given.flags.c_contiguous
    if given.dtype.kind == "f":
        return alike and np.array_equal(given, expected, equal_nan=True)
    return alike and given.tolist() == expected.tolist()


def reference(signature: Signature, rows: Sequence[Sequence[Any]]) -> Tensors:
    """The tensors of rows of columns, one value after the other."""
    tensors: Tensors = {}
    for tensor in signature.inputs:
        members = [at for at, each in enumerate(signature.columns) if each.input == tensor.name]
        array: Array = np.empty((len(rows), len(members)), dtype=tensor.type.numpy)
        for number, row in enumerate(rows):
            for place, at in enumerate(members):
                blank = np.nan if signature.columns[at].missing == "nan" else ""
                array[number, place] = blank if row[at] is None else row[at]
        tensors[tensor.name] = array[:, 0] if len(tensor.shape) == 1 else array
    return tensors


class Table(NamedTuple):
    """A signature with columns, and valid rows in their order."""

    signature: Signature
    rows: list[list[Any]]

    def records(self) -> list[dict[str, Any]]:
        """The rows by column name, the last column first."""
        names = [each.name for each in self.signature.columns]
        return [dict(reversed([*zip(names, row, strict=True)])) for row in self.rows]

    def columns(self) -> dict[str, list[Any]]:
        """The values by column name."""
        return {each.name: [row[at] for row in self.rows] for at, each in enumerate(self.signature.columns)}


_HELD_BY: dict[DTypeName, tuple[DTypeName, ...]] = {
    "float16": ("float16", "bool", "int8"),
    "float32": ("float32", "float16", "bool", "int64", "uint16"),
    "float64": ("float64", "float32", "bool", "int32", "uint32"),
}
"""Which columns a tensor of floats may hold; all others hold their own type."""

_NAMES = st.sampled_from(ODD_NAMES) | st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), max_size=8
)


def json_scalars(dtype: DTypeName) -> st.SearchStrategy[Any]:
    """Values that a tensor of this type holds, as they come out of JSON."""
    kind = DTYPES[dtype]
    if kind.kind == "bool":
        return st.booleans()
    if kind.kind == "string":
        return st.text(max_size=5)
    if kind.kind == "int":
        limits = np.iinfo(dtype)
        least, greatest = int(limits.min), int(limits.max)
        return st.integers(least, greatest) | st.sampled_from([least, greatest])
    width: Literal[16, 32, 64] = 16 if dtype == "float16" else 32 if dtype == "float32" else 64
    greatest_float = float(np.finfo(dtype).max)
    return st.floats(allow_nan=False, allow_infinity=False, width=width) | st.sampled_from(
        [greatest_float, -greatest_float]
    )


@st.composite
def tables(draw: st.DrawFn, max_rows: int = 5) -> Table:
    """Any number of columns, spread over any number of inputs of any type, with or without missing values."""
    names = draw(st.lists(_NAMES, min_size=1, max_size=5, unique=True))
    feeds = draw(st.lists(st.integers(0, 2), min_size=len(names), max_size=len(names)))
    dtypes: dict[int, DTypeName] = {feed: draw(DTYPE_NAMES) for feed in sorted({*feeds})}
    inputs: list[Tensor] = []
    for feed, dtype in dtypes.items():
        flat = feeds.count(feed) == 1 and draw(st.booleans())
        inputs.append(Tensor(f"in{feed}", dtype, (BATCH,) if flat else (BATCH, feeds.count(feed))))
    columns: list[Column] = []
    for name, feed in zip(names, feeds, strict=True):
        held = _HELD_BY.get(dtypes[feed])
        policies: list[Missing] = ["refuse"]
        if dtypes[feed] == "string":
            policies.append("empty")
        if held is not None:
            policies.append("nan")
        columns.append(
            Column(
                name,
                draw(st.sampled_from(held or (dtypes[feed],))),
                f"in{feed}",
                draw(st.sampled_from(policies)),
            )
        )
    cells = [
        json_scalars(each.dtype)
        if each.missing == "refuse"
        # An empty text stands for a gap in the tensor, so callers must say null.
        else st.none() | json_scalars(each.dtype).filter(lambda value: value != "")
        for each in columns
    ]
    rows = draw(st.lists(st.tuples(*cells).map(list), min_size=1, max_size=max_rows))
    return Table(Signature(tuple(inputs), (PREDICTION,), tuple(columns)), rows)
