"""Between the metadata of gRPC and the headers of HTTP, which they are on the wire.

Source: gRPC over HTTP/2, Requests and Responses.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from foretell.prediction import Headers

__all__ = ["Metadata", "headers_of", "metadata_of"]

Metadata = tuple[tuple[str, str | bytes], ...]
"""Names and values; those whose names end in ``-bin`` are bytes."""

_OF_BODIES: Final = frozenset({"content-type", "content-encoding", "content-length"})
"""Headers that would say of a message what only gRPC knows."""

_TIMEOUT: Final = b"x-request-timeout"
_LEAST_S: Final = 0.001
_WAY_S: Final = 0.005
_ROUNDED: Final = 0.01
"""How long before the end of an RPC the answer, if only a refusal, has to be on its way: at the end itself, gRPC
cancels it, and it would be counted as given up by its caller. Clients of gRPC round what they say of the end up, to
three digits."""

_NAME: Final = re.compile(rb"[0-9a-z_.-]+")


def headers_of(metadata: Iterable[tuple[str, str | bytes]], left_s: float | None) -> Headers:
    """The headers of a request, with its deadline among them.

    Args:
        metadata: Its metadata.
        left_s: How long its caller waits, seconds; None if it does not say.
    """
    headers = [
        (name.encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in metadata
        if name not in _OF_BODIES
    ]
    if left_s is not None and not any(name == _TIMEOUT for name, _ in headers):
        headers.append(
            (_TIMEOUT, b"%.6f" % max(left_s - min(_WAY_S + _ROUNDED * left_s, left_s / 2), _LEAST_S))
        )
    return headers


def metadata_of(headers: Iterable[tuple[bytes, bytes]]) -> Metadata:
    """The metadata of an answer; what gRPC would not send is left out."""
    metadata: list[tuple[str, Any]] = []
    for name, value in headers:
        text = _name(name)
        if text is None:
            continue
        if text.endswith("-bin"):
            metadata.append((text, value))
        else:
            written = value.decode("latin-1")
            if written.isascii() and written.isprintable():
                metadata.append((text, written))
    return tuple(metadata)


@lru_cache(256)
def _name(name: bytes) -> str | None:
    """A header's name as gRPC takes it; None if it does not."""
    text = name.decode("latin-1")
    if _NAME.fullmatch(name) is None or text.startswith("grpc-") or text in _OF_BODIES:
        return None
    return text
