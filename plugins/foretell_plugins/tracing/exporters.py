"""Exporters, imported only when they are wanted: gRPC and requests are large."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from foretell_plugins.tracing.settings import ExporterName, TracingSettings

__all__ = ["make_exporters", "names_of_exporters"]


def make_exporters(settings: TracingSettings) -> list[SpanExporter]:
    """What sends spans away. Nothing is connected yet: that is the first export's work.

    Certificates, compression, time-outs, and what else `settings` leaves open are taken from the environment by the
    exporters themselves.
    """
    # Exporters write to the standard library's log, which prints to standard error if nobody has set it up; the
    # plugin says what was lost itself, in the server's log.
    logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
    return [_make(name, settings) for name in settings.exporters]


def names_of_exporters(settings: TracingSettings) -> list[str]:
    """What each of them is called in the log: where it sends."""
    sent_to = "" if settings.destination is None else settings.destination.url
    return [sent_to if name == "otlp" else name for name in settings.exporters]


def _make(name: ExporterName, settings: TracingSettings) -> SpanExporter:
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter(service_name=settings.service_name)
    if settings.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        headers = settings.headers and {key.lower(): value for key, value in settings.headers.items()}
        return GrpcExporter(endpoint=settings.endpoint, headers=headers)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

    return HttpExporter(endpoint=settings.endpoint, headers=settings.headers)
