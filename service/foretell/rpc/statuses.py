"""From an answer's HTTP status to the status of an RPC: the one place that knows which is which.

Source: gRPC status codes and their use.
"""

from __future__ import annotations

from typing import Any, Final

import grpc

from foretell.excerpts import shortened

__all__ = ["detail_of", "status_of"]

_Code: Final = grpc.StatusCode
_STATUSES: Final[dict[int, Any]] = {
    400: _Code.INVALID_ARGUMENT,
    403: _Code.PERMISSION_DENIED,
    404: _Code.NOT_FOUND,
    413: _Code.RESOURCE_EXHAUSTED,
    429: _Code.RESOURCE_EXHAUSTED,
    503: _Code.UNAVAILABLE,
    504: _Code.DEADLINE_EXCEEDED,
}
_SHOWN: Final = 1_000
"""Longer messages would not fit into what clients take of metadata, which is 8 KB."""


def status_of(status: int) -> Any:
    """The status of an RPC whose answer has some HTTP status, which is no success."""
    return _STATUSES.get(status, _Code.INTERNAL)


def detail_of(detail: str) -> str:
    """What a client is told of what went wrong."""
    return shortened(detail, _SHOWN)
