"""What the JSON decoder found wrong, said so that the caller can mend it: place, value, remedy."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

import msgspec

from foretell.errors import InvalidInputError, MalformedError, Problem, RequestError
from foretell.protocols.json_values import is_list, is_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foretell.signature import Column, Scalar, Signature

__all__ = ["DECODE_ERRORS", "complaint"]

DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Everything that a msgspec decoder raises on bad input."""

# Field names and values come from the caller, and may look like a place themselves.
_PLACE: Final = re.compile(
    r"(?s)(Object [a-z ]+ field `.*?`|Invalid enum value (?:'.*'|\".*\"|-?\d+)|[^O].*?) - at `(\$.*)`"
)
_INDEX: Final = re.compile(r"\[(\d+)\]")
_BYTE: Final = re.compile(r"\(byte (\d+)\)")
_LENGTH: Final = re.compile(r"Expected `array` of length (.+)")
_FIELD: Final = re.compile(r"(?s)Object (missing required|contains unknown) field `(.*)`")
_EXPECTED: Final = re.compile(r"(?s)Expected (.+?)(?:, got `(\w+)`)?")
_NOT_JSON: Final = re.compile(rb"-?(?:NaN|Infinity|nan|inf)\b")
_SHOWN_CHARACTERS: Final = 60
_SHOWN_NAMES: Final = 12


def complaint(error: Exception, body: bytes, request_type: type, signature: Signature) -> RequestError:
    """Turn a decoder's error into one for the caller.

    Args:
        error: One of `DECODE_ERRORS`.
        body: The body that was decoded.
        request_type: The Struct that the body was to be.
        signature: What the model takes.
    """
    if isinstance(error, msgspec.ValidationError):
        members = [field.encode_name for field in msgspec.structs.fields(request_type)]
        return InvalidInputError(_problem(str(error), body, members, signature))
    return MalformedError(_malformed(error, body))


def _malformed(error: Exception, body: bytes) -> str:
    if not body.strip():
        return "the body is empty; send a JSON object"
    if isinstance(error, UnicodeDecodeError):
        return f"the body is not UTF-8: {error.reason}"
    if isinstance(error, RecursionError):
        return "the JSON is nested too deeply"
    message = str(error)
    if match := _BYTE.search(message):
        at = int(match[1])
        # The decoder stops at the token, behind its sign, or at the end of what might have become a null.
        starts = (max(0, start) for start in (at - 4, at - 1, at))
        token = next(filter(None, (_NOT_JSON.match(body, start) for start in starts)), None)
        if token:
            shown = token[0].decode()
            return f"{shown} at byte {token.start()} is not JSON; send null for a missing value, where the model allows one"
    if "truncated" in message:
        return "the JSON is cut short"
    return f"the {message}"


def _problem(message: str, body: bytes, members: Sequence[str], signature: Signature) -> Problem:
    match = _PLACE.fullmatch(message)
    what, path = (match[1], match[2]) if match else (message, "$")
    of_model = [column.name for column in signature.columns] or [tensor.name for tensor in signature.inputs]
    keys, value = _find(path, body, [*members, *of_model])
    if field := _FIELD.fullmatch(what):
        known = of_model if keys else members
        return Problem(path, _explain_field(field[2], value, known, missing=field[1] == "missing required"))
    return Problem(path, _explain(what, keys, value, signature))


def _explain(what: str, keys: Sequence[str | int], value: Any, signature: Signature) -> str:
    if (match := _LENGTH.fullmatch(what)) and is_list(value):
        return _explain_length(match[1], value, keys, signature)
    if what.startswith("Invalid enum value"):
        column = _column(keys, signature)
        allowed = (
            f"one of {_names(column.categories)}" if column and column.categories else "an allowed value"
        )
        got = _shortened(what.removeprefix("Invalid enum value ")) if value is _UNKNOWN else _shown(value)
        return f"expected {allowed}, got {got}"
    if what == "Expected `str` of length >= 1":
        column = _column(keys, signature)
        nullable = column is not None and column.missing != "refuse"
        remedy = "send null for a missing value" if nullable else "this value may not be missing"
        return f'expected a text, got ""; {remedy}'
    if what == "Number out of range":
        return "expected a number that a 64-bit float can hold"
    if what == "Integer value out of range":
        return "expected an integer of fewer digits"
    if match := _EXPECTED.fullmatch(what):
        expected = match[1].replace("`", "").replace(" | ", " or ").replace("array", "list")
        got = _shown(value) if value is not _UNKNOWN else match[2]
        remedy = "; this value may not be missing" if match[2] == "null" and keys else ""
        return f"expected {expected}, got {got}{remedy}" if got else f"expected {expected}"
    return what


def _explain_field(name: str, value: Any, known: Sequence[str], *, missing: bool) -> str:
    """A record, a column form or the body itself has one key too few or too many."""
    if missing:
        got = f", got {_names(list(value))}" if is_object(value) and value else ""
        return f"{_shortened(name)!r} is missing: expected {_names(known)}{got}"
    close = get_close_matches(_shortened(name), known, n=1)
    hint = f"did you mean {_shortened(close[0])!r}? " if close else ""
    return f"{_shortened(name)!r} is not known: {hint}expected {_names(known)}"


def _explain_length(expected: str, value: list[Any], keys: Sequence[str | int], signature: Signature) -> str:
    """A list is too long or too short; only lists of rows have a range of lengths, all others one."""
    number = expected.removeprefix(">= ").removeprefix("<= ")
    counts_rows = bool(signature.columns) or signature.batched
    in_columns = keys[:1] == ["inputs"] and all(isinstance(key, str) for key in keys)
    if keys == ["instances"] or (in_columns and counts_rows):
        bound = {">": " or more", "<": " or fewer"}.get(expected[0], "")
        return f"expected {number}{bound} rows, got {len(value)}"
    names = [column.name for column in signature.columns]
    if names:
        return f"expected {len(names)} values ({_names(names)}), got {len(value)}"
    return f"expected {number} values, got {len(value)}"


def _column(keys: Sequence[str | int], signature: Signature) -> Column | None:
    """The column that a path leads to: by name in a record or column form, by place in a list, or the only one."""
    columns = signature.columns
    names = [key for key in keys[1:] if isinstance(key, str)]
    if names:
        return next((column for column in columns if column.name == names[0]), None)
    if len(columns) == 1:
        return columns[0]
    last = keys[-1] if keys else None
    return columns[last] if isinstance(last, int) and last < len(columns) else None


_UNKNOWN: Final = object()


def _find(path: str, body: bytes, names: Sequence[str]) -> tuple[list[str | int], Any]:
    """Follow a path of msgspec's into a body.

    Args:
        path: The path.
        body: The body.
        names: Every key that a path can hold.

    Returns:
        The path's keys, and the value there if the body can be read.
    """
    try:
        value: Any = msgspec.json.decode(body)
    except DECODE_ERRORS:
        value = _UNKNOWN
    keys: list[str | int] = []
    at = 1
    while at < len(path):
        key: str | int | None
        if index := _INDEX.match(path, at):
            key, at = int(index[1]), index.end()
        else:
            key = _name(path, at + 1, names)
            if key is None:
                return keys, _UNKNOWN
            at += 1 + len(key)
        keys.append(key)
        try:
            value = value[key]
        except (TypeError, LookupError):
            value = _UNKNOWN
    return keys, value


def _name(path: str, at: int, names: Sequence[str]) -> str | None:
    """The name that a path goes on with; names may themselves hold dots and brackets, so the longest that fits."""
    fitting = [
        name
        for name in names
        if path.startswith(name, at) and (path[at + len(name) : at + len(name) + 1] in {"", ".", "["})
    ]
    return max(fitting, key=len, default=None)


def _shown(value: Any) -> str:
    return _shortened(msgspec.json.encode(value).decode())


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


def _names(names: Sequence[Scalar]) -> str:
    shown = ", ".join(
        repr(_shortened(name) if isinstance(name, str) else name) for name in names[:_SHOWN_NAMES]
    )
    return shown if len(names) <= _SHOWN_NAMES else f"{shown} and {len(names) - _SHOWN_NAMES} more"
