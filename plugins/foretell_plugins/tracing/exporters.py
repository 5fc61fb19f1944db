"""Exporters, imported only when they are wanted: gRPC and requests are large."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from foretell_plugins.tracing.span_queue import readable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

    from foretell_plugins.tracing.part import Part
    from foretell_plugins.tracing.settings import ExporterName, TracingSettings

__all__ = ["make_exporters", "names_of_exporters", "preparation"]


def make_exporters(settings: TracingSettings) -> list[SpanExporter]:
    """What sends spans away. Nothing is connected yet: that is the first export's work.

    Certificates, compression, time-outs, and what else `settings` leaves open are taken from the environment by the
    exporters themselves.
    """
    # Exporters write to the standard library's log, which prints to standard error if nobody has set it up; the
    # plugin says what was lost itself, in the server's log.
    logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
    return [_make(name, settings) for name in settings.exporters]


def preparation(exporters: Sequence[SpanExporter]) -> Callable[[ReadableSpan | Part], object]:
    """What makes of a span, when it ends, what all of some exporters take; it raises where one could not export it."""
    take_written = [getattr(exporter, "takes_written", False) for exporter in exporters]
    if not any(take_written):
        return readable
    from foretell_plugins.tracing.otlp_spans import write

    def tried(span: ReadableSpan | Part) -> ReadableSpan:
        write(span)
        return readable(span)

    return write if all(take_written) else tried


def names_of_exporters(settings: TracingSettings) -> list[str]:
    """What each of them is called in the log: where it sends."""
    sent_to = "" if settings.destination is None else settings.destination.url
    return [sent_to if name == "otlp" else name for name in settings.exporters]


def _make(name: ExporterName, settings: TracingSettings) -> SpanExporter:
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter(service_name=settings.service_name)
    if settings.protocol == "grpc":
        from foretell_plugins.tracing.otlp_grpc import OtlpGrpc

        headers = settings.headers and {key.lower(): value for key, value in settings.headers.items()}
        return OtlpGrpc(endpoint=settings.endpoint, headers=headers)
    from foretell_plugins.tracing.otlp_http import OtlpHttp

    return OtlpHttp(endpoint=settings.endpoint, headers=settings.headers)
