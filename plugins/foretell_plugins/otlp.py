"""Where OpenTelemetry's exporters send, and what they say when they cannot. Importing this imports nothing of theirs."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Final, Literal

import msgspec

__all__ = ["URL_FORM", "Complaints", "Destination", "destination_of"]

URL_FORM: Final = "a URL that begins with http:// or https://"
"""What an endpoint is, for messages."""

_DEFAULTS: Final = {"http/protobuf": "http://localhost:4318", "grpc": "http://localhost:4317"}
_SECRETS: Final = re.compile(r"(?<=://)[^/@]*@")
_LONGEST: Final = 500
_KEPT: Final = 2
"""The last line tells that it was given up, the one before it why."""


class Destination(msgspec.Struct, frozen=True):
    """Where an exporter sends.

    Attributes:
        url: The URL, without a password that may stand in it.
        variable: The variable that says so; None if none does.
        is_default: Whether nothing says so, so that it is the exporter's own default.
        doubt: Why nothing will arrive there, as a sentence for the log; None if nothing speaks against it.
    """

    url: str
    variable: str | None = None
    is_default: bool = False
    doubt: str | None = None


def destination_of(
    environ: Mapping[str, str],
    signal: Literal["traces", "metrics"],
    protocol: Literal["http/protobuf", "grpc"],
    given: str | None,
) -> Destination:
    """Where the exporter of a signal sends.

    Args:
        environ: The environment.
        signal: What is sent.
        protocol: How.
        given: The URL that the exporter is given; None if it looks at the environment itself.

    Source: OpenTelemetry protocol exporter, section Endpoint URLs for OTLP/HTTP.
    """
    if given is not None:
        return Destination(_SECRETS.sub("", given))
    path = f"/v1/{signal}" if protocol == "http/protobuf" else ""
    for variable in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        value = environ.get(variable, "").strip()
        if value:
            own = variable != "OTEL_EXPORTER_OTLP_ENDPOINT"  # it is taken as it stands
            url = _SECRETS.sub("", value if own else value.rstrip("/") + path)
            return Destination(url, variable, doubt=_doubt(environ, protocol, variable, url))
    return Destination(_DEFAULTS[protocol] + path, is_default=True)


def _doubt(environ: Mapping[str, str], protocol: str, variable: str, url: str) -> str | None:
    if url.lower().startswith(("http://", "https://")):
        return None
    begins = f"{variable} sends to {url!r}, which begins with neither http:// nor https://: "
    if protocol == "http/protobuf":
        return f"{begins}nothing will arrive there. Put one of them before it"
    if environ.get("OTEL_EXPORTER_OTLP_INSECURE", "").strip().lower() == "true":
        return None
    return f"{begins}TLS is spoken to it. Put http:// before it if the receiver speaks none"


class Complaints(logging.Handler):
    """Keeps what exporters write to the standard library's log: they return no reason for what they could not send.

    Only what is written in the thread that asks is kept, so that several exporters do not take each other's words.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what is said."""
        last: list[str] = self._said.__dict__.setdefault("last", [])
        last.append(record.getMessage()[:_LONGEST])
        del last[:-_KEPT]

    def take(self) -> str | None:
        """The last that was said in this thread since this was asked; None for nothing."""
        return "; ".join(self._said.__dict__.pop("last", ())) or None

    @contextmanager
    def heard(self) -> Generator[None]:
        """Listen within this block."""
        logger = logging.getLogger("opentelemetry")
        logger.addHandler(self)
        try:
            yield
        finally:
            logger.removeHandler(self)
