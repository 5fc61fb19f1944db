"""A log line for each request that is worth it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from foretell.errors import QueueFullError, RunError
from foretell.excerpts import shortened

if TYPE_CHECKING:
    from foretell.logs.logger import Logger
    from foretell.prediction import RequestRecord

__all__ = ["RequestLog"]

_SHOWN_REASON = 2000
_QUIET_NS = 1_000_000_000
"""Of the requests that a full queue turns away, one in this time leaves a line: they come by the thousand, and when there
is least time for writing."""


class RequestLog:
    """Writes one line for each failed request, and for a fraction of the others.

    Of those that a model's full queue turns away, one in a second leaves a line, which says how many were left out.

    Args:
        log: Where the lines go.
        fraction: Which fraction of the successful predictions leaves a line, 0 to 1.
        chance: A random source that gives numbers from 0 to 1.
    """

    def __init__(self, log: Logger, *, fraction: float, chance: Callable[[], float] = random.random) -> None:
        self._log = log
        self._fraction = fraction
        self._chance = chance
        self._told: dict[str, _Told] = {}

    def observe(self, records: Sequence[RequestRecord]) -> None:
        """Write the lines of some requests."""
        for record in records:
            if record.failure is not None:
                if isinstance(record.failure, QueueFullError):
                    self._write_turned_away(record, record.failure)
                else:
                    self._write_failure(record, record.failure)
            elif self._fraction and self._chance() < self._fraction:
                self._log.info("request", **_fields(record))

    def _write_turned_away(self, record: RequestRecord, failure: Exception) -> None:
        told = self._told.get(record.model)
        if told is not None and record.finished_ns - told.last_ns < _QUIET_NS:
            told.left_out += 1
            return
        self._told[record.model] = _Told(record.finished_ns)
        self._write_failure(record, failure, also=0 if told is None else told.left_out)

    def _write_failure(self, record: RequestRecord, failure: Exception, **more: int) -> None:
        fields = _fields(record) | more
        if record.status == 500:
            self._log.error("request failed", **fields, exc_info=failure)
            return
        if isinstance(failure.__cause__, RunError):  # the caller is not told what the runtime said
            fields["cause"] = shortened(str(failure.__cause__), _SHOWN_REASON)
        self._log.warning("request refused", **fields, reason=shortened(str(failure), _SHOWN_REASON))


class _Told:
    """What was written of the requests that a model's full queue turned away.

    Attributes:
        last_ns: When the last that left a line was answered, ns.
        left_out: How many have left none since.
    """

    def __init__(self, last_ns: int) -> None:
        self.last_ns = last_ns
        self.left_out = 0


def _fields(record: RequestRecord) -> dict[str, Any]:
    """A record as the fields of a log line; durations in milliseconds."""
    fields: dict[str, Any] = {
        "request_id": record.request_id,
        "protocol": record.protocol,
        "model": record.model or None,
        "version": record.version or None,
        "rows": record.rows or None,
        "status": record.status,
        "latency_ms": round((record.finished_ns - record.started_ns) / 1e6, 3),
    }
    if record.predicted_ns:
        # Between the two it may have waited for the others that are answered in the same turn of the loop.
        begun_ns = record.queued_ns or record.decoded_ns
        fields["run_ms"] = round((record.predicted_ns - begun_ns) / 1e6, 3)
    if record.trace_id is not None:
        fields |= {"trace_id": record.trace_id, "span_id": record.span_id}
    return {key: value for key, value in fields.items() if value is not None}
