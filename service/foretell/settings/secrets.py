"""What of a setting is shown to people: everything but passwords, keys and the like."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

__all__ = ["is_secret", "masked"]

_MASK: Final = "***"
_WORDS: Final = ("key", "token", "secret", "password", "passwd", "credential", "headers")
_HASH: Final = "key_sha256"
_HASH_SHOWN: Final = 8
"""So many digits of the admin key's hash tell which key is meant, and are of no use to anybody else."""

# The password of a URL, up to the last @: one that was not escaped may hold an @ itself.
_PASSWORD: Final = re.compile(r"(://[^\s/:@]*:)\S*@")
_PARAMETER: Final = re.compile(rf"([?&;][^=&;\s]*(?:{'|'.join(_WORDS)})[^=&;\s]*=)[^&;\s]*", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Whether what stands under a name is to be kept from sight."""
    return any(word in name.lower() for word in _WORDS)


def masked(path: Sequence[str], value: Any) -> Any:
    """A value as it may be shown.

    Args:
        path: The names of the tables that it stands in, and its own, from the first that says what it is for.
        value: The value.

    Returns:
        The same, with ``***`` for passwords in URLs and for texts and numbers under names of secrets, in nested tables
        and lists too. Of the admin key's hash the first digits are left.
    """
    if isinstance(value, Mapping):
        table = cast("Mapping[str, Any]", value)
        return {key: masked((*path, key), below) for key, below in table.items()}
    if isinstance(value, (list, tuple)):
        return [masked(path, each) for each in cast("Sequence[Any]", value)]
    if value is None or isinstance(value, bool) or value == "":
        return value
    if any(map(is_secret, path)):
        return f"{value[:_HASH_SHOWN]}…" if path == (_HASH,) else _MASK
    if isinstance(value, str):
        return _PARAMETER.sub(rf"\1{_MASK}", _PASSWORD.sub(rf"\1{_MASK}@", value))
    return value
