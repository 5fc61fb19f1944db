"""The trace that a call belongs to, if the caller's process traces with OpenTelemetry."""

from __future__ import annotations

import sys

__all__ = ["trace_headers"]


def trace_headers() -> dict[str, str]:
    """``traceparent`` and ``tracestate`` of the current span; nothing where there is none.

    OpenTelemetry is imported only if something else has done so: otherwise there can be no current span.

    Source: W3C Trace Context.
    """
    if "opentelemetry.trace" not in sys.modules:
        return {}
    from opentelemetry.trace import get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    headers: dict[str, str] = {}
    if get_current_span().get_span_context().is_valid:
        TraceContextTextMapPropagator().inject(headers)
    return headers
