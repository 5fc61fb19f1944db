"""Spans of requests, by OpenTelemetry. Importing this imports nothing of OpenTelemetry's."""

from foretell_plugins.tracing.current import outgoing_headers, tracer
from foretell_plugins.tracing.plugin import Tracing
from foretell_plugins.tracing.settings import TracingConfig

__all__ = ["Tracing", "TracingConfig", "outgoing_headers", "tracer"]
