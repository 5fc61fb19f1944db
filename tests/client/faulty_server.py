"""A server that answers as it is told to, right or wrong."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, Self

from foretell.client import Prediction

Act = bytes | Callable[[socket.socket], None]
"""What is done once a request was read: bytes that are sent, or what is to be done with the connection."""

ANSWER = {"predictions": [3.0], "model_name": "m", "model_version": "1", "request_id": "r"}
PREDICTION = Prediction([3.0], None, "m", "1", "r")


class Asked(NamedTuple):
    """A request that was read."""

    target: str
    headers: dict[str, str]
    body: bytes


class FaultyServer:
    """Answers each connection by the next of some acts; what comes after the last is refused.

    Attributes:
        url: Where it listens.
        asked: What it was asked so far.
    """

    def __init__(self, *acts: Act) -> None:
        self.asked: list[Asked] = []
        self._acts = acts
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # it is closed already where every act was asked for
            self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(30)

    def _serve(self) -> None:
        for act in self._acts:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                break
            with connection, contextlib.suppress(OSError):
                self.asked.append(_read(connection))
                if isinstance(act, bytes):
                    connection.sendall(act)
                else:
                    act(connection)
        self._listening.close()


def _read(connection: socket.socket) -> Asked:
    with connection.makefile("rb") as file:
        first = file.readline().decode()
        if not first:
            raise ConnectionError("nothing was asked")
        target = first.split(" ")[1]
        headers: dict[str, str] = {}
        while line := file.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return Asked(target, headers, file.read(int(headers.get("content-length", 0))))


def answer(status: int = 200, body: Any = ANSWER, **headers: str) -> bytes:
    """A whole answer; of a body that is no bytes its JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"content_length": str(len(content)), "connection": "close", **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + content


def problem(status: int, detail: str, **headers: str) -> bytes:
    """An error as foretell tells it."""
    body: dict[str, Any] = {
        "status": status,
        "detail": detail,
        "errors": [],
        "request_id": "r",
        "error": detail,
    }
    return answer(status, body, **{"content_type": "application/problem+json", **headers})


def reset(connection: socket.socket) -> None:
    """Break the connection as a process does that dies."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hang(connection: socket.socket) -> None:
    """Answer nothing until the other side is gone."""
    connection.recv(1)


def cut(connection: socket.socket) -> None:
    """End in the middle of the body."""
    connection.sendall(answer()[:-10])


def drip(connection: socket.socket) -> None:
    """Send the answer so slowly that each piece comes soon enough, and all of them do not."""
    whole = answer()
    head, _, body = whole.partition(b"\r\n\r\n")
    connection.sendall(head + b"\r\n\r\n")
    pause = threading.Event()
    for at in range(len(body)):
        connection.sendall(body[at : at + 1])
        pause.wait(0.05)
