"""Messages that name routes and settings, for callers and operators of an application that holds them elsewhere."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["of_an_argument", "relocated"]

_PATHS: Final = re.compile(r"(?<= )/(?=(?:v1/models|predict|health|admin)\b)|(?<=GET )/(?= )")
_FLAG: Final = "with --store or FORETELL_STORE__PATH"


def relocated(message: str, prefix: str) -> str:
    """A message with the routes that it names where they are.

    Args:
        message: The message, as it is where the routes stand at the root.
        prefix: Under which path of another application they stand; empty where they do not.
    """
    if not prefix:
        return message

    def there(match: re.Match[str]) -> str:
        return prefix if message.startswith(" ", match.end()) else f"{prefix}/"

    return _PATHS.sub(there, message)


def of_an_argument(message: str) -> str:
    """A message about the store, where that is an argument of `ForetellPlugin` and there are no flags."""
    return message.replace(_FLAG, "with the argument store")
