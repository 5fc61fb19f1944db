"""What the JSON decoder found wrong, said so that the caller can mend it: place, value, remedy."""

from __future__ import annotations

import re
from difflib import get_close_matches
from heapq import nsmallest
from typing import TYPE_CHECKING, Any, Final

import msgspec

from foretell.errors import InvalidInputError, MalformedError, Problem, RequestError
from foretell.excerpts import shortened
from foretell.protocols.json_values import is_list, is_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foretell.signature import Column, Scalar, Signature

__all__ = ["DECODE_ERRORS", "complaint", "malformed"]

DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Everything that a msgspec decoder raises on bad input."""

_BEFORE_PLACE: Final = " - at `$"
_SURROGATE: Final = re.compile(
    # The first half of a pair, and behind it something that neither is nor may still become the second half.
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?=[^\\]|\\[^u]|\\u[^dD]|\\u[dD][^c-fC-F])"
)
_INDEX: Final = re.compile(r"\[(\d{1,18})\]")
_BYTE: Final = re.compile(r"\(byte (\d+)\)")
_LENGTH: Final = re.compile(r"Expected `array` of length (.+)")
_UNKNOWN_FIELD: Final = "Object contains unknown field "
_FIELD: Final = re.compile(r"(?s)Object (missing required|contains unknown) field `(.*)`")
_EXPECTED: Final = re.compile(r"(?s)Expected (.+?)(?:, got `(\w+)`)?")
_NOT_JSON: Final = re.compile(rb"-?(?:NaN|Infinity|nan|inf)\b")
_MEMBERS_OF_ROWS: Final = ("instances", "dataframe_records", "data")
"""The members of requests, of any protocol, that are lists of rows."""

_SHOWN_NAMES: Final = 12
_SHOWN_TEXT: Final = 200
_COMPARED_NAMES: Final = 50
_IMITATIONS: Final = 8
_SECOND_LOOK_BYTES: Final = 64 * 1024
"""Bodies up to this length are read a second time to show the value; a refusal must not cost more than an answer."""


def complaint(error: Exception, body: bytes, request_type: type, signature: Signature) -> RequestError:
    """Turn a decoder's error into one for the caller.

    Args:
        error: One of `DECODE_ERRORS`.
        body: The body that was decoded.
        request_type: The Struct that the body was to be.
        signature: What the model takes.
    """
    if isinstance(error, msgspec.ValidationError):
        return InvalidInputError(_problem(str(error), body, request_type, signature))
    return MalformedError(malformed(error, body))


def malformed(error: Exception, body: bytes) -> str:
    """What keeps a body from being JSON."""
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
        if half := _SURROGATE.search(body):
            return f"{half[0].decode()} at byte {half.start()} is half a surrogate pair; send both halves, or none"
        return "the JSON is cut short"
    return f"the {message}"


def _problem(message: str, body: bytes, request_type: type, signature: Signature) -> Problem:
    members = [field.encode_name for field in msgspec.structs.fields(request_type)]
    of_model = [column.name for column in signature.columns] or [tensor.name for tensor in signature.inputs]
    what, path, keys = _split(message, body, members, of_model)
    value = _value(keys, body)
    if field := _FIELD.fullmatch(what):
        known = of_model if keys else members
        return Problem(path, _explain_field(field[2], value, known, missing=field[1] == "missing required"))
    return Problem(path, _explain(what, keys, value, signature))


def _split(
    message: str, body: bytes, members: Sequence[str], of_model: Sequence[str]
) -> tuple[str, str, list[str | int]]:
    """What msgspec found, where, and the keys on the way there.

    The place is what msgspec itself put at the end: the caller's keys and values stand left of it. It puts none for
    the root, where the only caller's text is an unknown key.
    """
    if message.endswith("`") and not _is_unknown_member(message, body, members):
        end = len(message)
        # Names of the model may imitate a place too; then the one further left is whole.
        for _ in range(_IMITATIONS):
            end = message.rfind(_BEFORE_PLACE, 0, end)
            if end < 0:
                break
            path = message[end + len(_BEFORE_PLACE) - 1 : -1]
            keys = _keys(path, members, of_model)
            if keys is not None:
                return message[:end], path, keys
    return message, "$", []


def _is_unknown_member(message: str, body: bytes, members: Sequence[str]) -> bool:
    """Whether a message is about a key of the body itself, which imitates a place."""
    if not message.startswith(_UNKNOWN_FIELD) or (b" - at `$" not in body and b"\\" not in body):
        return False
    # The keys of the body alone, what they hold unread.
    keys = msgspec.defstruct(
        "Keys",
        [
            (f"m{at}", msgspec.Raw | msgspec.UnsetType, msgspec.field(name=name, default=msgspec.UNSET))
            for at, name in enumerate(members)
        ],
        forbid_unknown_fields=True,
    )
    try:
        msgspec.json.decode(body, type=keys)
    except msgspec.ValidationError as error:
        return str(error) == message
    except DECODE_ERRORS:
        return False
    return False


def _explain(what: str, keys: Sequence[str | int], value: Any, signature: Signature) -> str:
    if (match := _LENGTH.fullmatch(what)) and (is_list(value) or value is _UNKNOWN):
        got = f", got {len(value)}" if is_list(value) else ""
        return _explain_length(match[1], keys, signature) + got
    if what.startswith("Invalid enum value"):
        column = _column(keys, signature)
        allowed = (
            f"one of {_names(column.categories)}" if column and column.categories else "an allowed value"
        )
        got = shortened(what.removeprefix("Invalid enum value ")) if value is _UNKNOWN else _shown(value)
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
    return shortened(what, _SHOWN_TEXT)


def _explain_field(name: str, value: Any, known: Sequence[str], *, missing: bool) -> str:
    """A record, a column form or the body itself has one key too few or too many."""
    if missing:
        got = f", got {_names(list(value))}" if is_object(value) and value else ""
        return f"{shortened(name)!r} is missing: expected {_names(known)}{got}"
    close = get_close_matches(shortened(name), _similar(name, known), n=1)
    hint = f"did you mean {shortened(close[0])!r}? " if close else ""
    return f"{shortened(name)!r} is not known: {hint}expected {_names(known)}"


def _explain_length(expected: str, keys: Sequence[str | int], signature: Signature) -> str:
    """A list is too long or too short; only lists of rows have a range of lengths, all others one."""
    number = expected.removeprefix(">= ").removeprefix("<= ")
    counts_rows = bool(signature.columns) or signature.batched
    in_columns = keys[:1] == ["inputs"] and all(isinstance(key, str) for key in keys)
    of_rows = len(keys) == 1 and keys[0] in _MEMBERS_OF_ROWS
    if of_rows or (in_columns and counts_rows):
        bound = {">": " or more", "<": " or fewer"}.get(expected[0], "")
        return f"expected {number}{bound} rows"
    names = [column.name for column in signature.columns]
    if names:
        return f"expected {len(names)} values ({_names(names)})"
    return f"expected {number} values"


def _similar(name: str, known: Sequence[str]) -> Sequence[str]:
    """The names worth a comparison, which is dear: of many, those of the most similar length and letters."""
    if len(known) <= _COMPARED_NAMES:
        return known
    letters = set(shortened(name))
    return nsmallest(
        _COMPARED_NAMES,
        known,
        key=lambda other: abs(len(other) - len(name)) + len(letters.symmetric_difference(other)),
    )


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


def _keys(path: str, members: Sequence[str], of_model: Sequence[str]) -> list[str | int] | None:
    """The keys of a path that leads through the body by names that it can have; None if it does not."""
    keys: list[str | int] = []
    at = 1
    while at < len(path):
        if keys and (index := _INDEX.match(path, at)):
            keys.append(int(index[1]))
            at = index.end()
            continue
        name = _name(path, at + 1, of_model if keys else members) if path[at] == "." else None
        if name is None:
            return None
        keys.append(name)
        at += 1 + len(name)
    return keys


def _value(keys: Sequence[str | int], body: bytes) -> Any:
    """The value at a place of a body; unknown if the body cannot be read, or is too long to be read again."""
    if len(body) > _SECOND_LOOK_BYTES:
        return _UNKNOWN
    try:
        value: Any = msgspec.json.decode(body)
        for key in keys:
            value = value[key]
    except (*DECODE_ERRORS, TypeError, LookupError):
        return _UNKNOWN
    return value


def _name(path: str, at: int, names: Sequence[str]) -> str | None:
    """The name that a path goes on with; names may themselves hold dots and brackets, so the longest that fits."""
    fitting = [
        name
        for name in names
        if path.startswith(name, at) and (path[at + len(name) : at + len(name) + 1] in {"", ".", "["})
    ]
    return max(fitting, key=len, default=None)


def _shown(value: Any) -> str:
    return shortened(msgspec.json.encode(value).decode())


def _names(names: Sequence[Scalar]) -> str:
    shown = ", ".join(
        repr(shortened(name) if isinstance(name, str) else name) for name in names[:_SHOWN_NAMES]
    )
    return shown if len(names) <= _SHOWN_NAMES else f"{shown} and {len(names) - _SHOWN_NAMES} more"
