"""What other plugins may use of the trace of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from foretell_plugins.tracing.traceparent import parent_of

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from foretell.prediction import RequestRecord

__all__ = ["PROVIDER_KEY", "outgoing_headers", "tracer"]

PROVIDER_KEY: Final = "foretell-tracer-provider"
"""Where OpenTelemetry's context keeps the provider of the request's own server."""


def tracer(name: str) -> Tracer:
    """A tracer whose spans join the trace of the request that is being answered; one that does nothing if it has none.

    Ask for it while answering, not at import: two applications in one process trace to two places.

    Args:
        name: What the spans are of; usually ``__name__``.
    """
    from opentelemetry import context
    from opentelemetry.trace import NoOpTracerProvider, TracerProvider

    provider = context.get_value(PROVIDER_KEY)
    if not isinstance(provider, TracerProvider):
        provider = NoOpTracerProvider()
    return provider.get_tracer(name)


def outgoing_headers(record: RequestRecord) -> dict[str, str]:
    """The headers that hand the trace on to another service, for clients that are not instrumented.

    A request that is not traced hands on what its caller said, so that services further on do not begin a trace in
    its middle.

    Args:
        record: The record of the request.
    """
    parent = parent_of(record.headers)
    headers: dict[str, str] = {}
    if record.span_id is not None:
        flags = 1 if parent is None else 1 | parent.flags & 2
        headers["traceparent"] = f"00-{record.trace_id}-{record.span_id}-{flags:02x}"
    elif parent is not None:
        headers["traceparent"] = f"00-{parent.trace_id:032x}-{parent.span_id:016x}-{parent.flags & 2:02x}"
    also = [b"baggage"] if parent is None else [b"tracestate", b"baggage"]
    for name in also:
        values = [value.decode("latin-1") for key, value in record.headers if key == name]
        if values:
            headers[name.decode()] = ",".join(values)
    return headers


def follow_requests() -> bool:
    """Let spans that are opened with ``opentelemetry.trace.get_tracer`` join the trace of their request.

    Returns:
        Whether it is so now; somebody else may have set the process's provider before.
    """
    from opentelemetry import trace

    from foretell_plugins.tracing.following import FollowingProvider

    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):  # nobody has set one
        trace.set_tracer_provider(FollowingProvider())
    return isinstance(trace.get_tracer_provider(), FollowingProvider)
