"""From a plugin's table in the settings to its Struct, with every mistake named by its place and in words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, TypeVar, cast

import msgspec

from foretell.errors import PluginError
from foretell.plugin.config_types import element_of, keys_of, struct_in, told_of, type_below, values_of
from foretell.settings.secrets import masked

__all__ = ["Place", "convert", "did_you_mean"]

S = TypeVar("S", bound=msgspec.Struct)

_AT: Final = re.compile(r" - at `\$([^`]*)`$")
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`")


class Place(msgspec.Struct, frozen=True):
    """Where a plugin's table stands.

    Attributes:
        key: As messages name it: ``plugins.config.cache``.
        origins: Where each setting comes from, by its key, as far as that is known.
        file: The file, where the table is in one that is no settings file.
    """

    key: str
    origins: Mapping[str, str] = {}
    file: str | None = None

    def __str__(self) -> str:
        return self.named()

    def named(self, *below: str) -> str:
        """The table, after the origin of what is set in it under some names."""
        origin = self.origin(*below)
        return self.key if origin is None else f"{origin}: {self.key}"

    def origin(self, *below: str) -> str | None:
        """Where a value was set: itself, or a table that it is in; or all of this table, if that was in one place."""
        if self.file is not None:
            return self.file
        for end in range(len(below), -1, -1):
            found = self.origins.get(".".join((self.key, *below[:end])))
            if found is not None:
                return found
        inside = {origin for key, origin in self.origins.items() if key.startswith(f"{self.key}.")}
        return inside.pop() if len(inside) == 1 else None


def convert(table: Mapping[str, Any], struct: type[S], place: Place, *, besides: Sequence[str] = ()) -> S:
    """A table as a Struct.

    Args:
        table: The table; what was text is read already.
        struct: What it is converted into.
        place: Where it stands.
        besides: Keys that may stand in the table and are not the Struct's.

    Raises:
        PluginError: A key is misspelt, absent or ill-typed.
    """
    try:
        return msgspec.convert(table, struct)
    except msgspec.ValidationError as error:
        message = str(error)
        at = _AT.search(message)
        steps = [name or number for name, number in _STEP.findall(at[1])] if at else []
        what = message[: at.start()] if at else message
        complaint = f"{message[0].lower()}{message[1:]}"
        unknown = _UNKNOWN.fullmatch(what)
        owner, expected = _along(struct, steps)
        where = place.named(*steps)
        if unknown is not None:
            where = place.named(*steps, unknown[1])
            complaint += did_you_mean(unknown[1], keys_of(owner), "its keys are", besides)
        elif what.startswith("Invalid enum value"):
            complaint += did_you_mean(str(_value(table, steps)), values_of(expected), "its values are")
        elif "matching regex" in what and (told := told_of(expected)) is not None:
            complaint = f"expected {told}, got {masked(steps, _value(table, steps))!r}{at[0] if at else ''}"
        else:
            complaint += f"; its keys are: {', '.join(keys_of(owner)) or 'none'}"
        raise PluginError(f"{where}: {complaint}") from error


def did_you_mean(word: str, known: Sequence[str], they_are: str, besides: Sequence[str] = ()) -> str:
    """What may have been meant by a word that is none of those known, and which there are.

    Args:
        word: The word.
        known: What is known.
        they_are: What to say before them.
        besides: What may have been meant too.
    """
    close = get_close_matches(word, [*known, *besides], n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"; {meant}{they_are}: {', '.join(known) or 'none'}"


def _along(struct: type[msgspec.Struct], steps: Sequence[str]) -> tuple[type[msgspec.Struct], Any]:
    """The last Struct on the way to a place, and the type there; None where that is not known."""
    owner: type[msgspec.Struct] = struct
    expected: Any = struct
    for step in steps:
        expected = element_of(expected) if step.isdigit() or step == "..." else type_below(expected, step)
        owner = struct_in(expected) or owner
    return owner, expected


def _value(table: Any, steps: Sequence[str]) -> Any:
    """What stands at a place; None where the way there is not told."""
    for step in steps:
        if isinstance(table, Mapping):
            table = cast("Mapping[str, Any]", table).get(step)
        elif isinstance(table, (list, tuple)) and step.isdigit():
            table = cast("Sequence[Any]", table)[int(step)]
        else:
            return None
    return table
