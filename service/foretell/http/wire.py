"""Answers as HTTP/1.1 has them on the wire, byte for byte as uvicorn writes them."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from foretell.http.answer import Answer

__all__ = ["Wire"]

_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus
}
_OTHER: Final = b"HTTP/1.1 %d \r\n"


class Wire:
    """Writes answers on connections that stay open.

    Source: RFC 9112, sections 4 to 6.
    """

    def __init__(self) -> None:
        self._defaults: list[tuple[bytes, bytes]] = []
        self._written = b""

    def write(self, answer: Answer, defaults: list[tuple[bytes, bytes]]) -> bytes:
        """An answer as it is sent.

        Args:
            answer: The answer.
            defaults: The headers of every answer, the date among them: a new list when they have changed.
        """
        if defaults is not self._defaults:
            self._defaults = defaults
            self._written = b"".join([b"%b: %b\r\n" % header for header in defaults])
        status, body = answer.status, answer.body
        return b"%b%b%bcontent-length: %d\r\n\r\n%b" % (
            _STATUS_LINES.get(status) or _OTHER % status,
            self._written,
            b"".join([b"%b: %b\r\n" % header for header in answer.headers]),
            len(body),
            body,
        )
