"""Spans on their way out: gathered, exported by a thread of its own, and counted where they are lost."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import attach, set_value
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from foretell_plugins.otlp import Complaints
from foretell_plugins.tracing.part import Part

if TYPE_CHECKING:
    from opentelemetry.context import Context

__all__ = ["SpanQueue", "readable"]

_FULL: Final = "the queue is full"
_NOT_IN_TIME: Final = "the export was not done when the server ended"


def readable(span: ReadableSpan | Part) -> ReadableSpan:
    """A span as any exporter takes it."""
    return span.readable() if isinstance(span, Part) else span


class SpanQueue(SpanProcessor):
    """Takes spans that have ended, and exports them in batches. What it cannot hold or export is counted and let go.

    The processor of OpenTelemetry's SDK does the same, but tells nobody how many spans it lost.

    Args:
        exporters: Where the spans go; each gets all of them.
        most_spans: How many may wait.
        batch_spans: How many are exported at once.
        delay_s: How long they wait for others, seconds.
        dropped: Is told how many spans were lost, and why; from any thread.
        names: What each exporter is called in such a reason, in the same order.
        prepare: What is made of a span when it ends, for exporters that all take that; they get a `ReadableSpan` otherwise.
    """

    def __init__(
        self,
        exporters: Sequence[SpanExporter],
        *,
        most_spans: int,
        batch_spans: int,
        delay_s: float,
        dropped: Callable[[int, str], None],
        names: Sequence[str] = (),
        prepare: Callable[[ReadableSpan | Part], object] = readable,
    ) -> None:
        self._exporters = tuple(zip(exporters, chain(names, repeat("")), strict=False))
        self._late = ": ".join(filter(None, (", ".join(names), _NOT_IN_TIME)))
        self._complaints = Complaints()
        self._most = most_spans
        self._batch = batch_spans
        self._delay_s = delay_s
        self._dropped = dropped
        self._prepare = prepare
        self._waiting: deque[Any] = deque()
        self._going_out = 0
        self._changed = threading.Condition()
        self._closing = False
        self._over = False
        self._thread = threading.Thread(target=self._work, name="foretell-spans", daemon=True)
        self._thread.start()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """A span begins: nothing to do."""

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span that has ended; never waits."""
        context = span.context
        if context is not None and context.trace_flags.sampled:
            self._take(span)

    def end_part(self, part: Part) -> None:
        """Take a part of a request that is traced; never waits."""
        self._take(part)

    def _take(self, span: ReadableSpan | Part) -> None:
        try:
            prepared = self._prepare(span)
        except Exception as error:  # noqa: BLE001 - a plugin's span: whatever is odd about it costs it alone
            self._dropped(1, f"a span could not be written: {type(error).__name__}: {error}")
            return
        with self._changed:
            full = len(self._waiting) >= self._most or self._closing
            if not full:
                self._waiting.append(prepared)
                if len(self._waiting) in {1, self._batch}:
                    self._changed.notify()
        if full:
            self._dropped(1, self._late if self._closing else _FULL)

    def close(self, wait_s: float) -> None:
        """Export what waits, for so long at most, and let the exporters go. What is left then is lost.

        Args:
            wait_s: How long to wait, seconds.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(wait_s)
        with self._changed:
            self._over = True
            left = len(self._waiting) + self._going_out
            self._waiting.clear()
        if left:
            self._dropped(left, self._late)
        for exporter, _ in self._exporters:
            exporter.shutdown()

    def _work(self) -> None:
        # Instrumented HTTP clients make no spans of exports.
        attach(set_value("suppress_instrumentation", True))
        with self._complaints.heard():
            while (batch := self._next()) is not None:
                lost = [
                    reason
                    for exporter, name in self._exporters
                    if batch and (reason := self._export(exporter, name, batch))
                ]
                with self._changed:
                    self._going_out = 0
                    told = self._over  # whoever closed has counted this batch already
                if lost and not told:
                    self._dropped(len(batch), lost[0])

    def _next(self) -> list[Any] | None:
        """The next batch, when its time has come; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            self._changed.wait_for(lambda: self._closing or len(self._waiting) >= self._batch, self._delay_s)
            count = min(self._batch, len(self._waiting))
            if self._over or (self._closing and not count):
                return None
            self._going_out = count
            return [self._waiting.popleft() for _ in range(count)]

    def _export(self, exporter: SpanExporter, name: str, batch: Sequence[Any]) -> str | None:
        """Export spans; tells why that failed."""
        began = time.monotonic()
        self._complaints.take()
        try:
            if exporter.export(batch) is SpanExportResult.SUCCESS:
                return None
        except Exception as error:  # noqa: BLE001 - whatever an exporter raises, the spans are lost and counted
            reason = f"{type(error).__name__}: {error}"
        else:
            reason = f"the exporter failed after {time.monotonic() - began:.1f} s"
            said = self._complaints.take()
            if said is not None:
                reason += f": {said}"
        return f"{name}: {reason}" if name else reason
