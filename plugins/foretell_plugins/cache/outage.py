"""Whether Redis is asked: after some failures in a row it is left alone for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from foretell.logs import Logger

__all__ = ["FAILURES", "Outage"]

FAILURES: Final = 3
"""After so many in a row it is left alone."""

_PAUSE_S: Final = 5.0


class Outage:
    """Follows how calls end, and says in the log when Redis is lost and when it is back.

    Args:
        log: Where that is written.
        clock_s: A monotonic clock, seconds.

    Attributes:
        failures: How many calls have failed.
        lost: Whether it did not answer when it was asked last.
    """

    def __init__(self, log: Logger, clock_s: Callable[[], float]) -> None:
        self.failures = 0
        self.lost = False
        self._log = log
        self._clock_s = clock_s
        self._in_a_row = 0
        self._until_s = float("-inf")

    @property
    def over(self) -> bool:
        """Whether it is asked at the moment."""
        return self._clock_s() >= self._until_s

    def ended(self) -> None:
        """It has answered."""
        self._in_a_row = 0
        if self.lost:
            self.lost = False
            self._log.info("the shared cache is back")

    def failed(self, reason: str) -> None:
        """It has not answered, and why."""
        self.failures += 1
        self._in_a_row += 1
        if self._in_a_row < FAILURES:
            return
        self._until_s = self._clock_s() + _PAUSE_S
        if not self.lost:
            self.lost = True
            self._log.warning(
                "the shared cache is lost; models are asked instead", reason=reason, pause_s=_PAUSE_S
            )
