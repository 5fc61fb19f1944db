"""What text from the environment or the command line means for a plugin: what the types of its Struct say."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from foretell.errors import PluginError
from foretell.plugin.config_types import alternatives, element_of, is_list, is_table, type_below, values_of
from foretell.settings.expectation import expectation
from foretell.settings.secrets import masked
from foretell.settings.text_value import TextValue

if TYPE_CHECKING:
    from foretell.plugin.configuration import Place

__all__ = ["read", "toml_value"]

_TABLE: Final = '{name = "value"}'
_LIST: Final = '["a", "b"]'


def read(value: Any, expected: Any, place: Place, below: tuple[str, ...] = ()) -> Any:
    """A value whose text is read as the type says; the rest stays as it is.

    Args:
        value: A value of the settings: a table, a list, a `TextValue`, or anything else.
        expected: The type.
        place: The table that it stands in, for messages.
        below: Under which names.

    Raises:
        PluginError: The text is nothing that the type takes.
    """
    if isinstance(value, TextValue):
        return _read_text(value.text, expected, place, below)
    if isinstance(value, Mapping):
        table = cast("Mapping[str, Any]", value)
        return {
            key: read(each, type_below(expected, key), place, (*below, key)) for key, each in table.items()
        }
    return value


def toml_value(text: str) -> Any:
    """What a text means where nobody says which type is expected: a TOML value if it is one, else itself."""
    try:
        document = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    value = document["value"]
    overflown = isinstance(value, float) and math.isinf(value) and "inf" not in text
    return text if len(document) > 1 or overflown else value


def _read_text(text: str, expected: Any, place: Place, below: tuple[str, ...]) -> Any:
    kinds = alternatives(expected)
    lists, tables = any(map(is_list, kinds)), any(map(is_table, kinds))
    if not text and type(None) in kinds:
        return None
    written = toml_value(text)
    if Any in kinds or object in kinds:
        return written
    if (lists and isinstance(written, list)) or (tables and isinstance(written, dict)):
        return cast("Any", written)
    if str in kinds and type(written) in kinds:
        return written
    if str in kinds or values_of(expected):
        return text
    try:
        return _as_in_a_file(msgspec.convert(text, expected, strict=False), text)
    except msgspec.ValidationError as error:
        if lists and not text.lstrip().startswith("["):
            words = [word.strip() for word in text.split(",")]
            return [
                _read_text(word, element_of(expected, at), place, below)
                for at, word in enumerate(filter(None, words))
            ]
        key = ".".join((place.key, *below))
        origin = place.origin(*below)
        shown = masked(below, text)
        if tables:
            told = f"expected a table, got {shown!r}: write {_TABLE}, or set {key}.<name> for each name"
        elif lists:
            told = f"expected a list, got {shown!r}: write {_LIST}, or a, b"
        else:
            wanted = expectation(expected)
            told = (
                f"expected {wanted}, got {shown!r}" if wanted else f"{str(error)[0].lower()}{str(error)[1:]}"
            )
        raise PluginError(f"{'' if origin is None else f'{origin}: '}{key}: {told}") from error


def _as_in_a_file(value: Any, text: str) -> Any:
    """A converted value as a file would hold it; what no file can hold stays text."""
    return value if isinstance(value, (str, int, float, type(None))) else text
