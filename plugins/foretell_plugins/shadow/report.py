"""What the log is told of mirrored requests, without flooding it and without their inputs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from foretell.logs import Logger
    from foretell.plugin import ModelInfo
    from foretell_plugins.shadow.comparison import Comparison

__all__ = ["Report"]

_QUIET_S: Final = 10.0


class Report:
    """Writes the first difference and the first failure of a version, and then one of each in ten seconds at most.

    Args:
        log: Where the lines go.
        version: The version whose requests are mirrored.
        clock_s: A monotonic clock, seconds.
    """

    def __init__(
        self, log: Logger, version: ModelInfo, *, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._version = version
        self._clock_s = clock_s
        self._written_s: dict[str, float] = {}
        self._unwritten: dict[str, int] = {}

    def differed(self, target: ModelInfo, comparison: Comparison, request_id: str) -> None:
        """Two answers do not agree."""
        self._write(
            "shadow differs",
            target,
            request_id=request_id,
            rows=comparison.rows,
            differing=comparison.rows - comparison.agreed,
            first_rows=comparison.differing,
            difference=comparison.difference,
        )

    def failed(self, target: ModelInfo, reason: str, request_id: str) -> None:
        """The target has not answered."""
        self._write("shadow failed", target, request_id=request_id, reason=reason)

    def _write(self, event: str, target: ModelInfo, **fields: Any) -> None:
        now_s = self._clock_s()
        if now_s - self._written_s.get(event, -_QUIET_S) < _QUIET_S:
            self._unwritten[event] = self._unwritten.get(event, 0) + 1
            return
        self._written_s[event] = now_s
        self._log.warning(
            event,
            model=self._version.name,
            version=self._version.version,
            target=f"{target.name}/{target.version}",
            **fields,
            also=self._unwritten.pop(event, 0),
        )
