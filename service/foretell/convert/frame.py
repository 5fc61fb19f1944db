"""The sample as rows of JSON values, and rows of JSON values as what the estimator takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np

from foretell.convert.cells import is_missing, plain
from foretell.convert.native import holds, is_integer
from foretell.errors import ConversionError, InvalidNameError
from foretell.signature import check_record_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foretell.signature import Scalar
    from foretell.tensors import Array

__all__ = ["MAX_CATEGORIES", "Frame", "Kind", "Observed", "Row"]

Kind = Literal["bool", "int", "float", "string"]
"""Which JSON value a column holds."""

Row = tuple["Scalar | None", ...]
"""The values of a row as they come out of JSON."""

MAX_CATEGORIES: Final = 100
"""More distinct values than this are no list of choices any more."""


_DTYPE: Any = np.dtype


class Observed(msgspec.Struct, frozen=True):
    """What the sample tells of one column.

    Attributes:
        name: Its name.
        kind: Which JSON value it holds.
        native: The dtype that the estimator was shown, of numpy or pandas; None in arrays of objects.
        absent: What the estimator was shown where a value is missing; meaningless where none is.
        nullable: Whether a value is missing in the sample.
    """

    name: str
    kind: Kind
    native: Any = None
    absent: Any = None
    nullable: bool = False


class Frame(msgspec.Struct, frozen=True):
    """The sample.

    Attributes:
        columns: What is known of each column.
        rows: The values, row by row.
        form: What the estimator takes: an array of numbers, an array of objects, a pandas DataFrame, or a flat
            list of texts.
        sample: The sample as the estimator takes it, in its own dtypes.
    """

    columns: tuple[Observed, ...]
    rows: tuple[Row, ...]
    form: Literal["numbers", "objects", "frame", "texts"]
    sample: Any

    @classmethod
    def of(cls, sample: Any, estimator: Any, feature_names: Sequence[str] | None = None) -> Frame:
        """Read a sample.

        Args:
            sample: A DataFrame, a two-dimensional array or list of rows, or a flat list of texts.
            estimator: The estimator that it is for; the columns it was trained on are picked by their names.
            feature_names: The columns' names, for samples that have none.

        Raises:
            ConversionError: The sample is empty, has no rows and columns, or holds what JSON cannot.
        """
        import pandas as pd

        if hasattr(sample, "to_pandas"):
            sample = sample.to_pandas()
        if hasattr(sample, "toarray"):
            sample = sample.toarray()
        trained_on = getattr(estimator, "feature_names_in_", None)
        if isinstance(sample, pd.Series) or _is_texts(sample):
            return cls._of_texts(sample, feature_names)
        if isinstance(sample, pd.DataFrame):
            table = _pick(sample, trained_on)
            if feature_names is not None and list(feature_names) != list(table.columns):
                raise ConversionError(
                    f"feature_names are {list(feature_names)!r}, but the sample has the columns "
                    f"{list(table.columns)!r}: leave feature_names out"
                )
            return cls._of_table(table, "frame")
        array = _as_array(sample)
        names = _names(array.shape[1], trained_on, feature_names)
        form: Literal["numbers", "objects"] = "numbers" if array.dtype.kind in "buif" else "objects"
        table = pd.DataFrame(
            {name: list(array[:, index]) for index, name in enumerate(names)},
            dtype=np.float64 if array.dtype.kind == "b" else array.dtype,
        )
        if trained_on is not None:
            return cls._of_table(table, "frame")
        return msgspec.structs.replace(cls._of_table(table, form), sample=array)

    @classmethod
    def _of_texts(cls, sample: Any, feature_names: Sequence[str] | None) -> Frame:
        texts = [value if isinstance(value, str) else None for value in list(sample)]
        if None in texts:
            raise ConversionError(
                "a flat sample must hold texts only; give numbers as rows and columns, and no missing texts"
            )
        name = feature_names[0] if feature_names else getattr(sample, "name", None)
        column = Observed(name if isinstance(name, str) and name else "text", "string")
        return cls((column,), tuple((text,) for text in texts), "texts", sample)

    @classmethod
    def _of_table(cls, table: Any, form: Any) -> Frame:
        _check_names(list(table.columns))
        if not len(table):
            raise ConversionError("the sample has no rows: give some of the training data's")
        columns: list[Observed] = []
        values: list[list[Scalar | None]] = []
        for name in table.columns:
            column, cells = _observe(name, table[name], in_objects=form == "objects")
            columns.append(column)
            values.append(cells)
        return cls(tuple(columns), tuple(zip(*values, strict=True)), form, table)

    def as_floats(self, names: Sequence[str]) -> Frame:
        """The same with these columns of integers as floats, for tensors that hold both."""
        chosen = frozenset(names)
        change = [column.kind == "int" and column.name in chosen for column in self.columns]
        if not any(change):
            return self
        columns = tuple(
            msgspec.structs.replace(column, kind="float") if changed else column
            for column, changed in zip(self.columns, change, strict=True)
        )
        rows = tuple(
            tuple(
                float(value) if changed and value is not None else value
                for value, changed in zip(row, change, strict=True)
            )
            for row in self.rows
        )
        return msgspec.structs.replace(self, columns=columns, rows=rows)

    def present(self, at: int) -> list[Any]:
        """The values of a column that are not missing."""
        return [row[at] for row in self.rows if row[at] is not None]

    def take(self, begin: int, end: int) -> Any:
        """A copy of some rows of the sample itself, as it was given."""
        rows = self.sample.iloc[begin:end] if hasattr(self.sample, "iloc") else self.sample[begin:end]
        return rows.copy() if hasattr(rows, "copy") else rows

    def held(self, rows: Sequence[Row]) -> Array:
        """``bool[rows]``: which rows the sample's own dtypes can hold."""
        picky = [
            (at, column.native)
            for at, column in enumerate(self.columns)
            if is_integer(column.native) or hasattr(column.native, "categories")
        ]
        numeric = [(at, native) for at, native in picky if self.columns[at].kind != "string"]
        return np.array([all(holds(native, row[at]) for at, native in numeric) for row in rows], bool)

    def restore(self, rows: Sequence[Row], *, as_float64: bool = False) -> Any:
        """Rows in the form that the estimator takes, in the sample's own dtypes where those hold all the values.

        Args:
            rows: The rows.
            as_float64: Give all numbers as float64 instead.
        """
        if self.form == "texts":
            return [row[0] for row in rows]
        columns = [
            _restore(column, [row[at] for row in rows], as_float64=as_float64)
            for at, column in enumerate(self.columns)
        ]
        if self.form == "numbers":
            return np.column_stack(columns)
        if self.form == "objects":
            array = np.empty((len(rows), len(self.columns)), object)
            for at, cells in enumerate(columns):
                array[:, at] = cells
            return array
        import pandas as pd

        return pd.DataFrame(dict(zip([column.name for column in self.columns], columns, strict=True)))


def _is_texts(sample: Any) -> bool:
    if isinstance(sample, (list, tuple)):
        rows: list[Any] = list(sample)  # pyright: ignore[reportUnknownArgumentType] - of whatever they are
        return bool(rows) and isinstance(rows[0], str)
    return getattr(sample, "ndim", None) == 1 and sample.dtype.kind in "OUT"


def _as_array(sample: Any) -> Any:
    try:
        array = np.asarray(sample)
        if array.dtype.kind not in "buif":
            array = np.asarray(sample, object)
    except ValueError as error:
        raise ConversionError(f"the sample is no table: {error}") from error
    if array.ndim != 2:
        raise ConversionError(
            f"the sample has the shape {array.shape}, but rows and columns are needed: "
            "give one row as [[…]], or one column as reshape(-1, 1)"
        )
    return array


def _names(width: int, trained_on: Any, feature_names: Sequence[str] | None) -> list[str]:
    names = feature_names if feature_names is not None else trained_on
    if names is None:
        return [f"x{index}" for index in range(width)]
    if len(names) != width:
        raise ConversionError(
            f"the sample has {width} columns, but there are {len(names)} names: {list(names)!r}"
        )
    return [str(name) for name in names]


def _pick(table: Any, trained_on: Any) -> Any:
    """The columns that the estimator was trained on, in its order."""
    if trained_on is None or list(table.columns) == list(trained_on):
        return table
    absent = [name for name in trained_on if name not in table.columns]
    if absent:
        raise ConversionError(
            f"the sample lacks the columns {absent!r} that {'was' if len(absent) == 1 else 'were'} in the training data"
        )
    return table[list(trained_on)]


def _check_names(names: list[Any]) -> None:
    odd = [name for name in names if not isinstance(name, str) or not name]
    if odd:
        raise ConversionError(
            f"column names must be non-empty strings, got {odd[0]!r}: rename it "
            "(frame.columns = frame.columns.astype(str)) and train again"
        )
    try:
        for name in names:
            check_record_key(name)
    except InvalidNameError as error:
        raise ConversionError(str(error)) from error
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConversionError(f"the column name {twice[0]!r} is there twice: rename one and train again")


def _observe(name: str, series: Any, *, in_objects: bool) -> tuple[Observed, list[Scalar | None]]:
    values = series.tolist()
    missing = [is_missing(value) for value in values]
    present: list[Any] = [plain(value) for value, absent in zip(values, missing, strict=True) if not absent]
    kind = _kind(name, present, str(series.dtype))
    if kind == "float":
        present = [float(value) for value in present]
        if not all(math.isfinite(value) for value in present):
            raise ConversionError(
                f"the column {name!r} holds an infinity, which JSON cannot express: replace it or leave the row out"
            )
    filled = iter(present)
    cells: list[Scalar | None] = [None if absent else next(filled) for absent in missing]
    if kind == "string" and any(missing) and "" in present:
        raise ConversionError(
            f"the column {name!r} holds both missing and empty strings, which the served model cannot tell apart: "
            "replace one of them before training"
        )
    first = next((value for value, absent in zip(values, missing, strict=True) if absent), None)
    return Observed(name, kind, None if in_objects else series.dtype, first, any(missing)), cells


def _kind(name: str, present: list[Any], dtype: str) -> Kind:
    types: set[type] = {type(value) for value in present}
    if types <= {str} and (present or dtype in {"object", "str", "string", "category"}):
        return "string"
    if types == {bool}:
        return "bool"
    if types == {int}:
        if any(not -(2**63) <= value < 2**63 for value in present):
            raise ConversionError(f"the column {name!r} holds an integer beyond 64 bits: use floats")
        return "int"
    if types <= {int, float}:
        return "float"
    kinds = " and ".join(sorted(kind.__name__ for kind in types))
    advice = "use one type" if len(types) > 1 else "turn it into numbers or strings"
    raise ConversionError(
        f"the column {name!r} holds {kinds}, which is neither numbers, strings nor booleans alone: "
        f"{advice} and train again"
    )


def _restore(column: Observed, values: list[Any], *, as_float64: bool) -> Any:
    import pandas as pd

    native = column.native
    if column.kind == "float" and getattr(native, "kind", "O") == "O":
        as_float64 = as_float64 or not hasattr(native, "categories")
    if column.kind in {"int", "float"} and (as_float64 or not all(holds(native, value) for value in values)):
        if as_float64 or None in values or not all(value == int(value) for value in values):
            return np.array([math.nan if value is None else value for value in values], np.float64)
        native = np.dtype(np.int64)  # which is what integers become that nobody gave a dtype
    absent = column.absent if column.nullable else math.nan
    filled = [absent if value is None else value for value in values]
    if native is None:
        return pd.Series(filled, dtype=object)
    with np.errstate(over="ignore"):
        return (
            np.array(filled, native)
            if isinstance(native, _DTYPE) and native.kind in "biuf"
            else pd.Series(filled, dtype=native)
        )
