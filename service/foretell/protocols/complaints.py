"""What the JSON decoder found wrong, said so that the caller can mend it: place, value, remedy."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

import msgspec

from foretell.errors import InvalidInputError, MalformedError, Problem, RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foretell.signature import Column, Signature

__all__ = ["DECODE_ERRORS", "complaint"]

DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Everything that a msgspec decoder raises on bad input."""

_PLACE: Final = re.compile(r"(?s)(.*?)(?: - at `(\$.*)`)?")
_BYTE: Final = re.compile(r"\(byte (\d+)\)")
_LENGTH: Final = re.compile(r"Expected `array` of length (.+)")
_FIELD: Final = re.compile(r"(?s)Object (missing required|contains unknown) field `(.*)`")
_EXPECTED: Final = re.compile(r"(?s)Expected (.+?)(?:, got `(\w+)`)?")
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
        token = re.match(rb"-?(?:NaN|Infinity|nan|inf)\b", body[at : at + 12]) or re.match(
            rb"-?(?:NaN|Infinity|nan|inf)\b", body[max(0, at - 1) : at + 12]
        )
        if token:
            return (
                f"{token[0].decode()} at byte {at} is not JSON; send null for a missing value, "
                "where the model allows one"
            )
    return "the JSON is cut short" if "truncated" in message else message[0].lower() + message[1:]


def _problem(message: str, body: bytes, members: Sequence[str], signature: Signature) -> Problem:
    match = _PLACE.fullmatch(message)
    what, path = (match[1], match[2] or "$") if match else (message, "$")
    keys, value = _find(path, body)
    if field := _FIELD.fullmatch(what):
        of_model = [column.name for column in signature.columns] or [
            tensor.name for tensor in signature.inputs
        ]
        known = of_model if keys else members
        return Problem(path, _explain_field(field[2], value, known, missing=field[1] == "missing required"))
    return Problem(path, _explain(what, keys, value, signature))


def _explain(what: str, keys: Sequence[str | int], value: Any, signature: Signature) -> str:
    if (match := _LENGTH.fullmatch(what)) and isinstance(value, list):
        return _explain_length(match[1], value, keys, signature)
    if what.startswith("Invalid enum value"):
        column = _column(keys, signature)
        allowed = column.categories if column and column.categories else ()
        return f"expected one of {_names(list(allowed))}, got {_shown(value)}"
    if what == "Number out of range":
        return "expected a number that a 64-bit float can hold"
    if match := _EXPECTED.fullmatch(what):
        expected = match[1].replace("`", "").replace(" | ", " or ").replace("array", "list")
        got = _shown(value) if value is not _UNKNOWN else match[2] or "something else"
        remedy = "; this value may not be missing" if match[2] == "null" and keys else ""
        return f"expected {expected}, got {got}{remedy}"
    return what


def _explain_field(name: str, value: Any, known: Sequence[str], *, missing: bool) -> str:
    """A record, a column form or the body itself has one key too few or too many."""
    if missing:
        got = f", got {_names(list(value))}" if isinstance(value, dict) and value else ""
        return f"{name!r} is missing: expected {_names(known)}{got}"
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{name!r} is not known: {hint}expected {_names(known)}"


def _explain_length(expected: str, value: list[Any], keys: Sequence[str | int], signature: Signature) -> str:
    """A list is too long or too short; only lists of rows have a range of lengths, all others one."""
    number = expected.removeprefix(">= ").removeprefix("<= ")
    if keys and all(isinstance(key, str) for key in keys) and keys[-1] != "features":
        bound = {">": " or more", "<": " or fewer"}.get(expected[0], "")
        return f"expected {number}{bound} rows, got {len(value)}"
    names = [column.name for column in signature.columns]
    if names:
        return f"expected {len(names)} values ({_names(names)}), got {len(value)}"
    return f"expected {number} values, got {len(value)}"


def _column(keys: Sequence[str | int], signature: Signature) -> Column | None:
    """The column that a path leads to: by name in a record or column form, by place in a list."""
    by_name = {column.name: column for column in signature.columns}
    for key in reversed(keys):
        if isinstance(key, str) and key in by_name:
            return by_name[key]
    last = keys[-1] if keys else None
    return signature.columns[last] if isinstance(last, int) and last < len(signature.columns) else None


_UNKNOWN: Final = object()


def _find(path: str, body: bytes) -> tuple[list[str | int], Any]:
    """Follow a path of msgspec's into a body: its keys, and the value there if the body can be read so far."""
    try:
        value: Any = msgspec.json.decode(body)
    except DECODE_ERRORS:
        value = _UNKNOWN
    keys: list[str | int] = []
    at = 1
    while at < len(path):
        key = _index(path, at) if path[at] == "[" else _key(path, at + 1, value)
        if key is None:
            return keys, _UNKNOWN
        at += len(f"[{key}]") if isinstance(key, int) else 1 + len(key)
        keys.append(key)
        try:
            value = value[key]
        except (TypeError, LookupError):
            value = _UNKNOWN
    return keys, value


def _index(path: str, at: int) -> int | None:
    digits = path[at + 1 : path.index("]", at)]
    return int(digits) if digits.isdecimal() else None


def _key(path: str, at: int, value: Any) -> str | None:
    """The key that a path goes on with; keys may themselves hold dots and brackets, so the longest that fits."""
    known = list(value) if isinstance(value, dict) else [path[at:].split(".", maxsplit=1)[0].split("[", maxsplit=1)[0]]
    fitting = [
        key
        for key in known
        if path.startswith(key, at) and (path[at + len(key) : at + len(key) + 1] in {"", ".", "["})
    ]
    return max(fitting, key=len, default=None)


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


def _names(names: Sequence[object]) -> str:
    shown = ", ".join(repr(name) for name in names[:_SHOWN_NAMES])
    return shown if len(names) <= _SHOWN_NAMES else f"{shown} and {len(names) - _SHOWN_NAMES} more"
