"""Connections of HTTP/1.1, kept and used again: as little as it takes to send what is written and to read the answer."""

from __future__ import annotations

import re
import socket
import time
from typing import Final, NamedTuple, Self
from urllib.parse import urlsplit

__all__ = ["Answer", "Connections", "NoAnswerError"]

_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3})\b")
_CLOSE: Final = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_READ: Final = 65536


class NoAnswerError(ConnectionError):
    """A question was sent, and no whole answer came."""


class Answer(NamedTuple):
    """An answer.

    Attributes:
        status: Its status.
        body: Its body.
    """

    status: int
    body: bytes


class Connections:
    """The connections to a server that are free.

    Under gevent, whose sockets wait without holding up others, any number of questions may be outstanding.

    Args:
        host: The server.
        port: Its port.
        timeout_s: How long each step of an answer is waited for, seconds.

    Attributes:
        opened: How many connections were opened.
        resent: How many questions were sent again.
    """

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self._address = host, port
        self._timeout_s = timeout_s
        self._free: list[socket.socket] = []
        self.opened = 0
        self.resent = 0

    @classmethod
    def to(cls, url: str, timeout_s: float) -> Self:
        """Those to a server.

        Args:
            url: The server.
            timeout_s: See the class.
        """
        parts = urlsplit(url)
        return cls(parts.hostname or "127.0.0.1", parts.port or 80, timeout_s)

    def ask(self, request: bytes) -> Answer:
        """Send a request, and read the answer.

        A kept connection may have been closed by the server just before: what was not even begun to be answered is sent
        again on a new one, as any client does.

        Raises:
            OSError: No connection, or no answer in time.
            NoAnswerError: The connection ended before the answer did.
        """
        while self._free:
            kept = self._free.pop()
            answer = self._ask(kept, request)
            if answer is not None:
                return answer
            self.resent += 1
        answer = self._ask(self._open(), request)
        if answer is None:
            raise NoAnswerError("the connection was closed before an answer came")
        return answer

    def close(self) -> None:
        """Close what is free."""
        while self._free:
            self._free.pop().close()

    def _open(self) -> socket.socket:
        opened = socket.create_connection(self._address, self._timeout_s)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.opened += 1
        return opened

    def _ask(self, connection: socket.socket, request: bytes) -> Answer | None:
        """The answer; None if the connection ended before its first byte."""
        try:
            answer, stays = _exchanged(connection, request, time.monotonic() + self._timeout_s)
        except BaseException:
            connection.close()
            raise
        if stays:
            self._free.append(connection)
        else:
            connection.close()
        return answer


def _exchanged(connection: socket.socket, request: bytes, until: float) -> tuple[Answer | None, bool]:
    """The answer to a request, None if the connection ended before its first byte; and whether the connection stays."""
    try:
        connection.sendall(request)
    except (BrokenPipeError, ConnectionResetError):
        return None, False
    read = bytearray()
    while (end := read.find(_END)) < 0:
        if not _more(connection, read, until):
            if read:
                raise NoAnswerError("the connection ended within the head of an answer")
            return None, False
    head = bytes(read[:end])
    length, status = _LENGTH.search(head), _STATUS.match(head)
    if length is None or status is None:
        raise NoAnswerError(f"an answer without a status or a length: {head[:200]!r}")
    whole = end + len(_END) + int(length[1])
    while len(read) < whole:
        if not _more(connection, read, until):
            raise NoAnswerError("the connection ended within the body of an answer")
    return Answer(int(status[1]), bytes(read[end + len(_END) : whole])), _CLOSE.search(head) is None


def _more(connection: socket.socket, read: bytearray, until: float) -> bool:
    """Read what has come; whether there was anything."""
    if time.monotonic() > until:
        raise TimeoutError("no whole answer in time")
    try:
        data = connection.recv(_READ)
    except ConnectionResetError:
        return False
    read += data
    return bool(data)
