"""The plugin: decides which requests are traced, keeps their span current, and ends it after the answer was sent."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Final

from foretell.plugin import (
    Host,
    Instrument,
    ModelInfo,
    Plugin,
    Predict,
    RequestRecord,
    Shortcut,
    Stage,
)
from foretell_plugins.tracing.current import follow_requests
from foretell_plugins.tracing.sampling import make_decide
from foretell_plugins.tracing.settings import TracingConfig, resolve
from foretell_plugins.tracing.traced_version import NOTE, TracedVersion
from foretell_plugins.tracing.traceparent import Parent, parent_of

if TYPE_CHECKING:
    from litestar import Litestar

    from foretell.logs import Logger
    from foretell_plugins.tracing.spans import OpenSpan, Spans

__all__ = ["Tracing"]

_QUIET_S: Final = 10.0


class Tracing(Plugin[TracingConfig]):
    """Sends spans of requests to an OpenTelemetry receiver.

    Attributes:
        dropped_spans: How many spans were lost since the server started: the exporter failed, or fell behind.
    """

    stage: ClassVar[Stage] = Stage.OBSERVE

    def __init__(self, config: TracingConfig) -> None:
        super().__init__(config)
        self.dropped_spans = 0
        self._settings = resolve(config, os.environ)
        self._random = Random()  # noqa: S311 - identities, no secrets; not shared, so that nobody else seeds it
        self._decide = make_decide(
            self._settings.sampler,
            self._settings.ratio,
            self._random,
            heeds_callers=self._settings.trace_context,
        )
        self._spans: Spans | None = None
        self._log: Logger | None = None
        self._dropping = threading.Lock()
        self._told = 0
        self._told_s = -_QUIET_S

    def why_not(self, model: ModelInfo) -> str | None:
        """Why predictions are not traced: no exporter, for instance."""
        del model
        return self._settings.idle

    def on_start(self, host: Host) -> None:
        """Keep the server's log."""
        self._log = host.log
        for sentence in self._settings.ignored:
            host.log.warning("variable ignored", plugin="tracing", reason=sentence)
        for sentence in self._settings.doubts:
            host.log.warning("check the settings", plugin="tracing", reason=sentence)
        destination = self._settings.destination
        if destination is not None and destination.is_default and self._settings.idle is None:
            host.log.info(
                "spans are sent to the default endpoint",
                plugin="tracing",
                endpoint=destination.url,
                reason="no endpoint is set: set plugins.config.tracing.endpoint or OTEL_EXPORTER_OTLP_ENDPOINT",
            )

    @asynccontextmanager
    async def lifespan(self, app: Litestar) -> AsyncGenerator[None]:
        """Export spans while the server runs; in the process that answers, after any fork."""
        del app
        if self._settings.idle is not None:
            yield
            return
        from foretell_plugins.tracing.exporters import make_exporters, names_of_exporters, preparation
        from foretell_plugins.tracing.span_queue import SpanQueue
        from foretell_plugins.tracing.spans import Spans

        self._random.seed()  # a fork copies what was seeded before it
        exporters = make_exporters(self._settings)
        queue = SpanQueue(
            exporters,
            names=names_of_exporters(self._settings),
            most_spans=self._settings.queue_spans,
            batch_spans=self._settings.batch_spans,
            delay_s=self._settings.delay_s,
            dropped=self._dropped,
            prepare=preparation(exporters),
        )
        if self.config.global_api and not follow_requests() and self._log is not None:
            self._log.warning(
                "global_api has no effect",
                plugin="tracing",
                reason="the process has a tracer provider already",
            )
        self._spans = Spans(self._settings, queue, self._random)
        try:
            yield
        finally:
            self._spans = None
            await asyncio.to_thread(queue.close, self._settings.shutdown_s)
            self._tell("the server ended")

    def concerns(self, record: RequestRecord) -> bool:
        """Decide on each request; one that is not traced goes on at once."""
        place = self._decide(record.headers)
        if place is None or self._spans is None:  # without them, the server is about to end
            return False
        record.note(NOTE, place)
        return True

    def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Shortcut[Any]:
        """Go around the requests that are traced."""
        del call_next
        return TracedVersion(lambda: self._spans, model)

    def observe(self, records: Sequence[RequestRecord]) -> None:
        """End the spans of traced requests, and make those of requests that were refused before the chain."""
        spans = self._spans
        for record in records:
            if record.notes is None and record.failure is None and record.rows:
                continue  # it got to the chain, and is not traced, like most
            try:
                self._finish(record, spans)
            except Exception as error:  # noqa: BLE001 - one request's oddities are not to cost the spans of others
                self._dropped(1, f"a span could not be made: {type(error).__name__}: {error}")

    def _finish(self, record: RequestRecord, spans: Spans | None) -> None:
        if record.notes is not None and NOTE in record.notes:
            noted: OpenSpan | Parent = record.notes[NOTE]
            if spans is not None:
                # It is opened here where the request went no further.
                opened = spans.open(record, noted, None) if isinstance(noted, Parent) else noted
                spans.finish(opened, record)
        elif not record.rows:  # it never reached the chain, where requests are decided on
            place = None if spans is None else self._decide(record.headers)
            if place is not None and spans is not None:
                spans.finish(spans.open(record, place, None), record)
            else:
                _name_trace(record)
        elif record.failure is not None:
            _name_trace(record)

    def instruments(self) -> Iterable[Instrument]:
        """How many spans were lost."""
        yield Instrument(
            "foretell_spans_dropped_total", "counter", "Spans that were lost.", [({}, self.dropped_spans)]
        )

    def _dropped(self, count: int, reason: str) -> None:
        """Count lost spans, and say so: the first at once, then at most once in ten seconds."""
        with self._dropping:
            self.dropped_spans += count
            silent = time.monotonic() - self._told_s < _QUIET_S
        if not silent:
            self._tell(reason)

    def _tell(self, reason: str) -> None:
        with self._dropping:
            new, self._told = self.dropped_spans - self._told, self.dropped_spans
            self._told_s = time.monotonic()
        if new and self._log is not None:
            self._log.warning(
                "spans dropped", plugin="tracing", count=new, total=self.dropped_spans, reason=reason
            )


def _name_trace(record: RequestRecord) -> None:
    """Let the log line of an untraced request name the caller's trace."""
    parent = parent_of(record.headers)
    if parent is not None:
        record.trace_id = f"{parent.trace_id:032x}"
