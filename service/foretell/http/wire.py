"""Answers as HTTP/1.1 has them on the wire, byte for byte as uvicorn writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from foretell.prediction import check_value

if TYPE_CHECKING:
    from foretell.http.answer import Answer

__all__ = ["Wire"]

_LASTING: Final = frozenset({b"content-type", b"x-model-name", b"x-model-version", b"x-foretell-cache"})
"""The headers that have a few values, which come again and again."""

_MOST: Final = 1000


class Wire:
    """Writes answers on connections that stay open.

    Source: RFC 9112, sections 4 to 6.
    """

    def __init__(self) -> None:
        self._defaults: list[tuple[bytes, bytes]] = []
        self._date = b""
        self._lines: dict[tuple[bytes, bytes], bytes] = {}

    def write(self, answer: Answer, defaults: list[tuple[bytes, bytes]]) -> bytes:
        """An answer as it is sent.

        Args:
            answer: The answer.
            defaults: The headers of every answer, the date among them: a new list when they have changed.

        Raises:
            ValueError: A header would break it.
        """
        if defaults is not self._defaults:
            self._defaults = defaults
            self._date = b"".join(map(_line, defaults))
        known = self._lines
        parts = [STATUS_LINE[answer.status], self._date]
        parts += [known.get(header) or self._written(header) for header in answer.headers]
        parts += (b"content-length: ", str(len(answer.body)).encode(), b"\r\n\r\n", answer.body)
        return b"".join(parts)

    def _written(self, header: tuple[bytes, bytes]) -> bytes:
        line = _line(header)
        if header[0] in _LASTING:
            if len(self._lines) >= _MOST:
                self._lines.clear()
            self._lines[header] = line
        return line


def _line(header: tuple[bytes, bytes]) -> bytes:
    name, value = header
    check_value(name, value)
    return name + b": " + value + b"\r\n"
