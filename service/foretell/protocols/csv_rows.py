"""Tables as CSV: rows of texts, made into the values that a signature's columns take.

Source: RFC 4180; what stands for a missing value is what pandas' `read_csv` takes for one.
"""

from __future__ import annotations

import csv
import io
import math
import re
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from foretell.errors import InvalidInputError, MalformedError, Problem
from foretell.excerpts import shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from foretell.signature import Signature, Tensor
    from foretell.tensors import DType

__all__ = ["rows_of_csv"]

_MISSING: Final = frozenset(
    (
        *("", "NA", "N/A", "n/a", "<NA>", "#N/A", "#NA", "#N/A N/A", "NaN", "nan", "-NaN", "-nan"),
        *("null", "NULL", "None", "1.#IND", "1.#QNAN", "-1.#IND", "-1.#QNAN"),
    )
)
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?")
_MAX_DIGITS: Final = 40
_MORE_COLUMNS: Final = 1000
"""How many columns a table may have beside twice those of the model."""

_EXACT: Final = 2**53
"""Below it every whole number is a float64 too."""

_TRUTHS: Final = {"true": True, "false": False, "1": True, "0": False}


def rows_of_csv(body: bytes, signature: Signature, *, max_rows: int) -> list[Any]:
    """Read a table.

    Its first line may name the columns: then they may stand in any order, and those that the model does not take are
    left out. If it does not, the values stand in the order of the signature.

    Args:
        body: The table, UTF-8.
        signature: What the model takes.
        max_rows: The greatest number of rows.

    Returns:
        A list of values for each row, in the order of the signature, or the value itself for a tensor of one axis; a text that is no value of its column stays one.

    Raises:
        MalformedError: It is no CSV.
        InvalidInputError: A column is missing or there twice, or there are too many rows.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedError(f"the body is not UTF-8: {error.reason}") from error
    head_end = body.find(b"\n")
    most = _MORE_COLUMNS + 2 * max(len(signature.columns), _row_size(signature.inputs[0]))
    if body.count(b",", 0, len(body) if head_end < 0 else head_end) > most:
        raise InvalidInputError(Problem("$", f"the first line has more than {most} values"))
    lines = (line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line)
    rows: list[Any] = []
    try:
        first = next(lines, None)
        if first is None:
            raise MalformedError("the body is empty; send a line of values for each row")
        take, named = _reader_of(first, signature)
        for line in lines if named else chain([first], lines):
            rows.append(take(line, len(rows)))
            if len(rows) > max_rows:
                raise InvalidInputError(Problem("$", f"expected 1 to {max_rows} rows, got more"))
    except csv.Error as error:
        raise MalformedError(f"the body is no CSV: {error}") from error
    return rows


def _reader_of(head: list[str], signature: Signature) -> tuple[Callable[[list[str], int], Any], bool]:
    """What makes a row of a line and its number, and whether the first line holds names."""
    if not signature.columns:
        return _reader_of_numbers(head, signature)
    columns = signature.columns
    names = [column.name for column in columns]
    named = not set(names).isdisjoint(head)
    order = positions(names, head) if named else range(len(names))
    width = len(head) if named else len(names)
    kinds = [(column.type, column.missing != "refuse") for column in columns]

    def take(line: list[str], at: int) -> list[Any]:
        if len(line) != width:
            message = f"expected {width} values ({_shown(head if named else names)}), got {len(line)}"
            raise InvalidInputError(Problem(f"$[{at}]", message))
        return [
            _value(line[place], dtype, may_miss=may_miss)
            for place, (dtype, may_miss) in zip(order, kinds, strict=True)
        ]

    return take, named


def _reader_of_numbers(head: list[str], signature: Signature) -> tuple[Callable[[list[str], int], Any], bool]:
    """The same for rows that are plain tensors: the first line holds names if not one of its values is a number."""
    tensor = signature.inputs[0]
    dtype = tensor.type
    named = dtype.kind != "string" and all(isinstance(_value(each, dtype), str) for each in head)
    scalar = len(tensor.shape) == 1

    def take(line: list[str], at: int) -> Any:
        del at
        values = [_value(each, dtype) for each in line]
        return values[0] if scalar and len(values) == 1 else values

    return take, named


def positions(names: Sequence[str], head: Sequence[Any]) -> list[int]:
    """Where each column of a signature stands in a table.

    Args:
        names: The columns of the signature.
        head: The names of the table's columns.

    Raises:
        InvalidInputError: One is not there, or twice.
    """
    places: dict[Any, int] = {}
    twice: set[Any] = set()
    for place, name in enumerate(head):
        if name in places:
            twice.add(name)
        places[name] = place
    for name in names:
        if name not in places or name in twice:
            what = "is there twice" if name in twice else "is missing"
            raise InvalidInputError(
                Problem("$", f"the column {shortened(name)!r} {what}; the model takes: {_shown(names)}")
            )
    return [places[name] for name in names]


def _value(text: str, dtype: DType, *, may_miss: bool = True) -> Any:
    """The value of a cell; the text itself where it is none."""
    if text in _MISSING and (may_miss or dtype.kind != "string"):
        return None
    if dtype.kind == "string":
        return text
    plain = text.strip()
    if dtype.kind == "bool":
        return _TRUTHS.get(plain.lower(), text)
    if not _NUMBER.fullmatch(plain):
        return text
    if dtype.kind == "int" and plain.lstrip("+-").isdigit() and len(plain) <= _MAX_DIGITS:
        return int(plain)
    number = float(plain)
    if dtype.kind == "int" and number.is_integer() and abs(number) < _EXACT:
        return int(number)
    return number if math.isfinite(number) else text


def _row_size(tensor: Tensor) -> int:
    """How many values a row of a tensor has, as far as that is declared."""
    return math.prod(length for length in tensor.shape[1:] if isinstance(length, int))


def _shown(names: Sequence[str]) -> str:
    return ", ".join(shortened(name) for name in names[:12]) + (", …" if len(names) > 12 else "")
