"""The head of a request, as far as the core of serving reads it."""

from __future__ import annotations

import msgspec

from foretell.prediction import Headers

__all__ = ["Head"]


class Head(msgspec.Struct, frozen=True, gc=False):
    """What the headers of a request say to the core.

    Attributes:
        headers: All of them, names in lower case.
        request_id: ``X-Request-ID``.
        content_type: ``Content-Type``; of several, joined by commas.
        content_encoding: ``Content-Encoding``; of several, joined by commas.
        timeout: ``X-Request-Timeout``.
    """

    headers: Headers
    request_id: bytes | None = None
    content_type: bytes | None = None
    content_encoding: bytes | None = None
    timeout: bytes | None = None

    @classmethod
    def of(cls, headers: Headers) -> Head:
        """What some headers say."""
        request_id = content_type = content_encoding = timeout = None
        for name, value in headers:
            if name == b"content-type":
                content_type = value if content_type is None else content_type + b", " + value
            elif name == b"x-request-id":
                request_id = value
            elif name == b"content-encoding":
                content_encoding = value if content_encoding is None else content_encoding + b", " + value
            elif name == b"x-request-timeout":
                timeout = value
        return cls(headers, request_id, content_type, content_encoding, timeout)
