"""Spans over OTLP on HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExportResult

from foretell_plugins.tracing.otlp_spans import write_spans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from foretell_plugins.tracing.otlp_spans import Written

__all__ = ["OtlpHttp"]


class OtlpHttp(OTLPSpanExporter):
    """OpenTelemetry's exporter, and where its release lets us, one that takes spans that are written already."""

    @property
    def takes_written(self) -> bool:
        """Whether it takes written spans: how it sends them is not public, and was otherwise in earlier releases."""
        client: Any = getattr(self, "_client", None)
        return hasattr(client, "export")

    def export(self, spans: Sequence[ReadableSpan | Written]) -> SpanExportResult:
        """See `SpanExporter`."""
        if self._shutdown or not self.takes_written:
            readable: Any = spans
            return super().export(readable)
        is_sent = self._client.export(write_spans(spans)).success
        return SpanExportResult.SUCCESS if is_sent else SpanExportResult.FAILURE
