"""A question that a load test asks: the bytes of its request, and the bodies that are right answers to it."""

from __future__ import annotations

import msgspec

__all__ = ["Question", "request_bytes"]


class Question(msgspec.Struct, frozen=True, gc=False):
    """A request whose answer is known.

    Attributes:
        protocol: How it is asked; see `forms.FORMS`.
        model: Who is asked.
        rows: How many rows it has.
        request: The request as it is sent, without its ``Host``.
        expected: The bodies that are right.
    """

    protocol: str
    model: str
    rows: int
    request: bytes
    expected: tuple[bytes, ...]


def request_bytes(path: str, headers: dict[str, str], body: bytes) -> bytes:
    """A request of HTTP/1.1 by POST on a connection that is kept."""
    head = [f"POST {path} HTTP/1.1", "Host: foretell"]
    head += [f"{name}: {value}" for name, value in headers.items()]
    head.append(f"Content-Length: {len(body)}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body
