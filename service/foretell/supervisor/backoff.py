"""How long to wait before something that keeps dying is started again."""

from __future__ import annotations

from typing import Final

__all__ = ["Backoff"]

_FIRST_S: Final = 0.5
_MOST_S: Final = 30.0
_HEALTHY_S: Final = 60.0
"""Who has lived for so long has died of something else than its start."""


class Backoff:
    """Waits that grow: none the first time, then 0.5 s, twice as long each time, and at most 30 s."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def after(self, lived_s: float) -> float:
        """How long to wait now, seconds.

        Args:
            lived_s: How long the one that has died had lived, seconds.
        """
        wait_s = 0.0 if lived_s >= _HEALTHY_S else self._next_s
        self._next_s = min(max(2 * wait_s, _FIRST_S), _MOST_S)
        return wait_s
