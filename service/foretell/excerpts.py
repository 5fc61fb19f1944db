"""What messages and log lines show of a caller's text."""

from __future__ import annotations

from typing import Final

__all__ = ["shortened"]

_SHOWN_CHARACTERS: Final = 60


def shortened(text: str, characters: int = _SHOWN_CHARACTERS) -> str:
    """The beginning of a text, with an ellipsis where it goes on.

    Args:
        text: The text.
        characters: How much of it is shown at most.
    """
    return text if len(text) <= characters else text[:characters] + "…"
