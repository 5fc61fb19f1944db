"""Spans over OTLP on gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from foretell_plugins.tracing.otlp_spans import write_spans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from foretell_plugins.tracing.otlp_spans import Written

__all__ = ["OtlpGrpc"]


class OtlpGrpc(OTLPSpanExporter):
    """OpenTelemetry's exporter, and where its release lets us, one that takes spans that are written already.

    Attributes:
        takes_written: Whether it takes them: how it makes messages of them is not public.
    """

    takes_written: Final = hasattr(OTLPSpanExporter, "_translate_data")

    def _translate_data(self, data: Sequence[ReadableSpan | Written]) -> ExportTraceServiceRequest:
        return ExportTraceServiceRequest.FromString(write_spans(data))
