"""What a model takes and gives: the data that its parser, its documentation and its manifest are made from."""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

from foretell.errors import InvalidNameError
from foretell.tensors import DTYPES, DType, DTypeName

__all__ = [
    "BATCH",
    "Column",
    "Dimension",
    "Enforcement",
    "Missing",
    "Scalar",
    "Signature",
    "Task",
    "Tensor",
    "check_record_key",
]

Scalar = bool | int | float | str
"""One JSON value of a column, a class label or a category."""

Dimension = int | str | None
"""The length of one axis: fixed, a named variable, or an unnamed variable."""

Missing = Literal["refuse", "nan", "empty"]
"""What JSON ``null`` becomes: an error, NaN, or the empty string."""

Enforcement = Literal["ranges", "categories"]
"""What was observed in the sample and is required of every request."""

Task = Literal["classification", "regression", "other"]

BATCH: Final = "batch"
"""The name that `publish` gives to the variable first axis."""


_ESCAPED: Final = re.compile(r'["\\\x00-\x1f]')
"""What JSON writes with a backslash; msgspec knows no such keys in the records that it decodes."""


def check_record_key(name: str) -> str:
    """Return the name of a column or input unchanged.

    Raises:
        InvalidNameError: It cannot be a key of a record.
    """
    if _ESCAPED.search(name):
        raise InvalidNameError(
            f"{name!r} cannot be a key of a record: rename it without quotation marks, backslashes and "
            "control characters"
        )
    return name


class Tensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input or output of the ONNX graph.

    Attributes:
        name: Its name in the graph.
        dtype: The type of its elements.
        shape: The length of each axis, outermost first; empty for a scalar.
    """

    name: str
    dtype: DTypeName
    shape: tuple[Dimension, ...]

    @property
    def type(self) -> DType:
        """The element type with its limits and its numpy dtype."""
        return DTYPES[self.dtype]

    @property
    def lengths(self) -> tuple[int, ...]:
        """The length of each axis as protocols write it: -1 where it is variable."""
        return tuple(length if isinstance(length, int) else -1 for length in self.shape)

    @property
    def batched(self) -> bool:
        """Whether the first axis is variable, so that it can count rows."""
        return bool(self.shape) and not isinstance(self.shape[0], int)

    @property
    def is_column(self) -> bool:
        """Whether it holds one value for each row: ``[batch]`` or ``[batch, 1]``."""
        return self.batched and (len(self.shape) == 1 or (len(self.shape) == 2 and self.shape[1] == 1))


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One named value of a row.

    The columns with the same `input` fill that tensor from left to right, in the order of the signature.

    Attributes:
        name: The key of the value in a record.
        dtype: How the value is written in JSON; the tensor may store it wider (a boolean in a float tensor).
        input: The name of the input tensor that receives it.
        missing: What JSON ``null`` becomes.
        minimum: The least value in the sample, for numbers.
        maximum: The greatest value in the sample, for numbers.
        categories: The distinct values in the sample, for strings and integers, if they are few.
        excluded: The characters that a string may not hold, because the graph would read them differently from the
            original.
        nonempty: Whether a string may not be empty, because the graph would take it for a missing one. Where `missing`
            is ``empty`` it may not be in any case.
    """

    name: str
    dtype: DTypeName
    input: str
    missing: Missing = "refuse"
    minimum: int | float | None = None
    maximum: int | float | None = None
    categories: tuple[Scalar, ...] | None = None
    excluded: str = ""
    nonempty: bool = False

    @property
    def type(self) -> DType:
        """The element type as it is written in JSON."""
        return DTYPES[self.dtype]


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A model's inputs and outputs, and what is known about them.

    Attributes:
        inputs: The tensors that the graph takes.
        outputs: The tensors that it gives, as callers see them (sequences and maps already flattened).
        columns: The named values of a row, in their order; empty where rows are plain tensors.
        task: What the answer means.
        classes: The class labels of a classifier, in the order of the columns of `probabilities`.
        prediction: The output that holds the answer itself; the first one if None.
        probabilities: The output with one probability for each class, if there is one.
        enforce: Which observations of the sample every request must keep to.
        example: One row of the sample, in the order of `columns`, or a nested list for plain tensors.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    columns: tuple[Column, ...] = ()
    task: Task = "other"
    classes: tuple[Scalar, ...] | None = None
    prediction: str | None = None
    probabilities: str | None = None
    enforce: tuple[Enforcement, ...] = ()
    example: tuple[object, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse a signature whose parts contradict each other.

        Raises:
            ValueError: They do; the message says how.
        """
        if not self.inputs:
            raise ValueError("a model without inputs cannot be served")
        _check_unique("input", [tensor.name for tensor in self.inputs])
        _check_unique("output", [tensor.name for tensor in self.outputs])
        _check_unique("column", [column.name for column in self.columns])
        if self.columns:
            _check_columns(self.inputs, self.columns)
            if self.example is not None and len(self.example) != len(self.columns):
                raise ValueError(f"the example has {len(self.example)} values, not {len(self.columns)}")
        outputs = {tensor.name: tensor for tensor in self.outputs}
        for role in ("prediction", "probabilities"):
            name = getattr(self, role)
            if name is not None and name not in outputs:
                raise ValueError(f"`{role}` is {name!r}, which is not one of the outputs {list(outputs)}")
        if self.probabilities is not None:
            _check_probabilities(outputs[self.probabilities], self.classes)

    @property
    def batched(self) -> bool:
        """Whether every input has a variable first axis, and nothing says that they count different things."""
        names = {tensor.shape[0] for tensor in self.inputs if tensor.shape and tensor.shape[0] is not None}
        return all(tensor.batched for tensor in self.inputs) and len(names) <= 1

    @property
    def prediction_output(self) -> str:
        """The name of the output that holds the answer itself."""
        return self.prediction or self.outputs[0].name


def _check_unique(what: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise ValueError(f"the {what} {twice[0]!r} is there twice")


def _check_columns(inputs: tuple[Tensor, ...], columns: tuple[Column, ...]) -> None:
    """Each input has one column for each place, and each column a value that its input can hold."""
    tensors = {tensor.name: tensor for tensor in inputs}
    for column in columns:
        tensor = tensors.get(column.input)
        if tensor is None:
            raise ValueError(f"column {column.name!r} belongs to {column.input!r}, which is not an input")
        if not _holds(tensor.type, column.type):
            raise ValueError(
                f"column {column.name!r} is {column.dtype}, its input {tensor.name!r} is {tensor.dtype}"
            )
        holds = {"refuse": True, "nan": tensor.type.kind == "float", "empty": tensor.type.kind == "string"}
        if not holds[column.missing]:
            raise ValueError(f"column {column.name!r} cannot be missing: its input is {tensor.dtype}")
        if column.excluded and column.type.kind != "string":
            raise ValueError(f"column {column.name!r} excludes characters, but is {column.dtype}")
    for tensor in inputs:
        places = 1 if len(tensor.shape) == 1 else tensor.shape[1] if len(tensor.shape) == 2 else None
        count = sum(column.input == tensor.name for column in columns)
        if not tensor.batched or count != places:
            raise ValueError(f"the input {tensor.name!r} of shape {list(tensor.shape)} has {count} columns")


def _holds(tensor: DType, column: DType) -> bool:
    """Whether a tensor takes every value of a column, floats at worst rounded."""
    if column.name == tensor.name or tensor.kind != "float":
        return column.name == tensor.name
    if column.maximum is None or tensor.maximum is None:
        return column.kind == "bool"
    # The decoder knows no bounds beyond 63 bits: only the tensor's own conversion refuses what uint64 cannot hold.
    return column.name != "uint64" and column.maximum <= tensor.maximum


def _check_probabilities(tensor: Tensor, classes: tuple[Scalar, ...] | None) -> None:
    if len(tensor.shape) != 2 or tensor.type.kind != "float":
        raise ValueError(f"`probabilities` names {tensor.name!r}, which is no matrix of floats")
    if classes is not None and isinstance(tensor.shape[1], int) and len(classes) != tensor.shape[1]:
        raise ValueError(f"there are {len(classes)} classes and {tensor.shape[1]} probabilities")
