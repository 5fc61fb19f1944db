"""Tables as CSV: rows of texts, made into the values that a signature's columns take.

Source: RFC 4180; what stands for a missing value is what pandas' `read_csv` takes for one.
"""

from __future__ import annotations

import csv
import io
import math
import re
from typing import TYPE_CHECKING, Any, Final

from foretell.errors import InvalidInputError, MalformedError, Problem
from foretell.excerpts import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foretell.signature import Signature
    from foretell.tensors import DType

__all__ = ["rows_of_csv"]

_MISSING: Final = frozenset(
    (
        *("", "NA", "N/A", "n/a", "<NA>", "#N/A", "#NA", "#N/A N/A", "NaN", "nan", "-NaN", "-nan"),
        *("null", "NULL", "None", "1.#IND", "1.#QNAN", "-1.#IND", "-1.#QNAN"),
    )
)
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_MAX_DIGITS: Final = 40
_EXACT: Final = 2**53
"""Below it every whole number is a float64 too."""

_TRUTHS: Final = {"true": True, "false": False, "1": True, "0": False}


def rows_of_csv(body: bytes, signature: Signature, *, max_rows: int) -> list[list[Any]]:
    """Read a table.

    Its first line may name the columns: then they may stand in any order, and those that the model does not take are
    left out. If it does not, the values stand in the order of the signature.

    Args:
        body: The table, UTF-8.
        signature: What the model takes.
        max_rows: The greatest number of rows.

    Returns:
        A list of values for each row, in the order of the signature; a text that is no value of its column stays one.

    Raises:
        MalformedError: It is no CSV.
        InvalidInputError: A column is missing or there twice, or there are too many rows.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedError(f"the body is not UTF-8: {error.reason}") from error
    lines: list[list[str]] = []
    try:
        for line in csv.reader(io.StringIO(text, newline=""), strict=True):
            if line:
                lines.append(line)
            if len(lines) > max_rows + 1:
                raise InvalidInputError(Problem("$", f"expected 1 to {max_rows} rows, got more"))
    except csv.Error as error:
        raise MalformedError(f"the body is no CSV: {error}") from error
    if not lines:
        raise MalformedError("the body is empty; send a line of values for each row")
    if signature.columns:
        return _of_columns(lines, signature)
    return _of_numbers(lines, signature)


def _of_columns(lines: list[list[str]], signature: Signature) -> list[list[Any]]:
    columns = signature.columns
    names = [column.name for column in columns]
    head = lines[0]
    named = not set(names).isdisjoint(head)
    order = positions(names, head) if named else range(len(names))
    width = len(head) if named else len(names)
    kinds = [(column.type, column.missing != "refuse") for column in columns]
    rows: list[list[Any]] = []
    for at, line in enumerate(lines[named:]):
        if len(line) != width:
            message = f"expected {width} values ({_shown(head if named else names)}), got {len(line)}"
            raise InvalidInputError(Problem(f"$[{at}]", message))
        rows.append(
            [
                _value(line[place], dtype, may_miss=may_miss)
                for place, (dtype, may_miss) in zip(order, kinds, strict=True)
            ]
        )
    return rows


def _of_numbers(lines: list[list[str]], signature: Signature) -> list[list[Any]]:
    dtype = signature.inputs[0].type
    if dtype.kind != "string" and any(isinstance(_value(each, dtype), str) for each in lines[0]):
        lines = lines[1:]
    return [[_value(each, dtype) for each in line] for line in lines]


def positions(names: Sequence[str], head: Sequence[Any]) -> list[int]:
    """Where each column of a signature stands in a table.

    Args:
        names: The columns of the signature.
        head: The names of the table's columns.

    Raises:
        InvalidInputError: One is not there, or twice.
    """
    for name in names:
        count = list(head).count(name)
        if count != 1:
            what = "is missing" if count == 0 else "is there twice"
            raise InvalidInputError(
                Problem("$", f"the column {shortened(name)!r} {what}; the model takes: {_shown(names)}")
            )
    return [list(head).index(name) for name in names]


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


def _shown(names: Sequence[str]) -> str:
    return ", ".join(shortened(name) for name in names[:12]) + (", …" if len(names) > 12 else "")
