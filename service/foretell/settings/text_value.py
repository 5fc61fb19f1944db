"""A value that was written as text, and whose type only a plugin knows."""

from __future__ import annotations

import msgspec

__all__ = ["TextValue"]


class TextValue(msgspec.Struct, frozen=True):
    """What the environment or the command line says of a plugin's key: text, until the plugin's Struct is known.

    Attributes:
        text: The text.
    """

    text: str
