"""What plugins do wrong, counted and logged without flooding the log."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from foretell.logs import Logger

__all__ = ["Faults"]

_QUIET_S: Final = 10.0


class Faults:
    """Counts the faults of each plugin, and writes the first and then at most one in ten seconds to the log.

    Args:
        log: Where the lines go.
        clock_s: A monotonic clock, seconds.

    Attributes:
        errors: How often each plugin has failed, by name.
        last: What the last fault was, in words.
    """

    def __init__(self, log: Logger, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.errors: dict[str, int] = {}
        self.last = ""
        self._log = log
        self._clock_s = clock_s
        self._written_s: dict[tuple[str, str], float] = {}
        self._unwritten: dict[tuple[str, str], int] = {}

    def failed(self, plugin: str, hook: str, error: BaseException, *, request_id: str | None = None) -> None:
        """A hook of a plugin raised an exception, did not return in time, or broke a rule."""
        self.errors[plugin] = self.errors.get(plugin, 0) + 1
        self.last = f"{hook}: {type(error).__name__}: {error}"
        silent = self._silent(plugin, hook)
        if silent is not None:
            self._log.error(
                "plugin failed",
                plugin=plugin,
                hook=hook,
                request_id=request_id,
                reason=f"{type(error).__name__}: {error}",
                also=silent,
                exc_info=error,
            )

    def missing(self, plugin: str, reason: str) -> None:
        """An optional plugin is left out."""
        self._log.warning("plugin missing", plugin=plugin, reason=reason)

    def slow(self, plugin: str, hook: str, *, own_us: float, budget_us: float) -> None:
        """A hook of a plugin takes longer than its budget."""
        silent = self._silent(plugin, f"{hook} slow")
        if silent is not None:
            self._log.warning(
                "plugin over its budget",
                plugin=plugin,
                hook=hook,
                own_us=round(own_us, 1),
                budget_us=budget_us,
                also=silent,
            )

    def _silent(self, plugin: str, what: str) -> int | None:
        """How many lines were left out since the last; None if this one is to be left out too."""
        key = (plugin, what)
        now = self._clock_s()
        if now - self._written_s.get(key, -_QUIET_S) < _QUIET_S:
            self._unwritten[key] = self._unwritten.get(key, 0) + 1
            return None
        self._written_s[key] = now
        return self._unwritten.pop(key, 0)
