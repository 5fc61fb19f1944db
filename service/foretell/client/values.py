"""From what callers have (lists, records, frames, arrays) to the body of the native protocol.

numpy and pandas are known by what their objects can do; neither is imported.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from operator import itemgetter
from typing import Any, Final

from foretell.client.errors import InvalidInputError, Problem
from foretell.client.json_values import is_list, is_mapping, is_object, is_sequence

__all__ = ["Data", "encode_data"]

Data = Any
"""What is asked. Rows: a list of lists, records or scalars, or an array. Columns: a dict of lists, or a frame."""

_Place = tuple[Any, Any] | None
"""Where a value stands: the place of what holds it, and its key or index there; None at the top."""

_NO_JSON_KINDS: Final = {"M": "a date", "m": "a duration", "c": "a complex number", "V": "raw bytes"}
"""What an array of this dtype kind holds, where JSON has no form for it. Source: numpy, `numpy.dtype.kind`."""

_MISSING: Final = frozenset({"NAType", "NaTType"})
"""The types of pandas' own missing values."""


def encode_data(data: Data) -> bytes:
    """The body that asks for the predictions of some rows or columns. What is not a number (NaN) becomes null.

    Raises:
        InvalidInputError: A number is infinite, a text is not Unicode, or a column stands twice.
        TypeError: A value is nothing that JSON has a form for, or `data` is neither rows nor columns.
    """
    envelope = _envelope(data)
    try:  # all in C where nothing needs more than a look
        text = _dumps(envelope)
    except (TypeError, ValueError):
        text = _dumps({key: _checked(value, (None, f"$.{key}")) for key, value in envelope.items()})
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        half = text[error.start]
        raise InvalidInputError(
            f"a text holds half a surrogate pair, {half!r}: it is no Unicode text"
        ) from None


def _envelope(data: Data) -> dict[str, Any]:
    """The rows as ``instances``, or the columns as ``inputs``."""
    if _is_frame(data):
        return {"inputs": _columns_of(data)}
    if _is_series(data):
        if data.name is None:
            return {"instances": data.to_list()}
        if not isinstance(data.name, str):
            message = (
                f"a Series stands for a column, and {data.name!r} cannot name one: "
                "pass [series] if it is a row, series.to_list() if it is the values of the only column"
            )
            raise TypeError(message)
        return {"inputs": {data.name: data.to_list()}}
    if is_mapping(data):
        for name in data:
            _check_name(name)
        return {
            "inputs": {key: value.to_list() if _is_series(value) else value for key, value in data.items()}
        }
    if _is_array(data):
        if getattr(data, "ndim", 1) == 0:
            raise TypeError("expected rows, got an array without axes: pass [value]")
        return {"instances": _plain(data, (None, "$.instances"))}
    if is_sequence(data):
        return {"instances": data}
    raise TypeError(
        f"expected rows (a list, an array) or columns (a dict, a DataFrame), got {type(data).__name__}"
    )


def _columns_of(frame: Any) -> dict[str, list[Any]]:
    names: list[Any] = list(frame.columns)
    for name in names:
        _check_name(name)
    name, count = max(Counter(names).items(), key=itemgetter(1), default=("", 0))
    if count > 1:
        raise InvalidInputError(f"the column {name!r} stands {count} times in the DataFrame: leave one")
    return {name: frame[name].to_list() for name in names}


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        message = f"expected columns that are named by texts, got {name!r}: name them, or pass rows (frame.to_numpy())"
        raise TypeError(message)


def _checked(value: Any, place: _Place) -> Any:
    """A value with null for what is missing; what JSON has no form for is refused with its place."""
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        if math.isnan(value):
            return None
        where = _path(place)
        message = f"expected a finite number, got {value}: JSON has no infinity"
        raise InvalidInputError(f"{where}: {message}", errors=(Problem(where, message),))
    if is_object(value):
        return {key: _checked(item, (place, key)) for key, item in value.items()}
    if is_list(value):
        return [_checked(item, (place, at)) for at, item in enumerate(value)]
    return _checked(_plain(value, place), place)


def _plain(value: Any, place: _Place = None) -> Any:
    """Another library's value, or another kind of collection, as JSON's own.

    Raises:
        TypeError: There is no such form.
    """
    if type(value).__name__ in _MISSING:
        return None
    if _is_series(value):
        # As a row: by name where it has names, since its order may be another than the model's.
        names: list[Any] = list(value.index) if hasattr(value, "index") else []
        if names and all(isinstance(name, str) for name in names):
            return dict(zip(names, value.to_list(), strict=True))
        return value.to_list()
    if _is_array(value):
        _check_kind(value, place)
        plain = value.tolist()
        return float(plain) if type(plain) is type(value) else plain  # numpy leaves a longdouble as it is
    if is_mapping(value):
        return dict(value)
    if is_sequence(value):
        return list(value)
    raise _unfit(f"{type(value).__name__} ({repr(value)[:60]})", place)


def _check_kind(value: Any, place: _Place) -> None:
    """Refuse arrays whose elements would become something else: dates would become integers."""
    kind = getattr(value.dtype, "kind", "")
    if kind in _NO_JSON_KINDS and not getattr(value.dtype, "names", None):
        raise _unfit(f"{_NO_JSON_KINDS[kind]} ({value.dtype})", place)


def _unfit(got: str, place: _Place) -> TypeError:
    message = f"{_path(place)}: expected a number, a text, a boolean or None, got {got}"
    return TypeError(f"{message}: convert it as the model's training data were, for instance to a number")


def _path(place: _Place) -> str:
    if place is None:
        return "$"
    holder, step = place
    if holder is None:
        return str(step)
    return f"{_path(holder)}[{step}]" if isinstance(step, int) else f"{_path(holder)}.{step}"


def _is_frame(value: Any) -> bool:
    return hasattr(value, "columns") and hasattr(value, "dtypes")


def _is_series(value: Any) -> bool:
    return hasattr(value, "to_list") and hasattr(value, "dtype") and hasattr(value, "name")


def _is_array(value: Any) -> bool:
    """Whether it is an array, or a scalar of one."""
    return hasattr(value, "tolist") and hasattr(value, "dtype")


_dumps: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
).encode
