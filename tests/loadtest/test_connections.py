"""Connections are kept and used again, and an answer that does not come whole is none."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from foretell.loadtest.connections import Answer, Connections, NoAnswerError

REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
KEPT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSED = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno"


@contextmanager
def serving(connections: list[list[bytes]]) -> Generator[int]:
    """A server that answers each request of each connection with the next of some bytes, and closes after the last."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for answers in connections:
                accepted, _ = listening.accept()
                with accepted:
                    for answer in answers:
                        if not accepted.recv(65536):
                            break
                        accepted.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(10)
        assert not thread.is_alive()


def test_a_connection_is_used_again() -> None:
    with serving([[KEPT, KEPT, KEPT]]) as port:
        connections = Connections("127.0.0.1", port, 10)
        for _ in range(3):
            assert connections.ask(REQUEST) == Answer(200, b"ok")
        connections.close()
        assert (connections.opened, connections.resent) == (1, 0)


def test_one_that_the_server_closes_is_not() -> None:
    with serving([[CLOSED], [KEPT]]) as port:
        connections = Connections("127.0.0.1", port, 10)
        assert connections.ask(REQUEST) == Answer(503, b"no")
        assert connections.ask(REQUEST) == Answer(200, b"ok")
        connections.close()
        assert (connections.opened, connections.resent) == (2, 0)


def test_what_was_closed_meanwhile_is_asked_again_on_a_new_one() -> None:
    with serving([[KEPT], [KEPT]]) as port:
        connections = Connections("127.0.0.1", port, 10)
        for _ in range(2):
            assert connections.ask(REQUEST) == Answer(200, b"ok")
        connections.close()
        assert (connections.opened, connections.resent) == (2, 1)


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\n\r\n", KEPT[:-1]],
    ids=["nothing", "part of a head", "no length", "part of a body"],
)
def test_what_ends_too_early_is_no_answer(answer: bytes) -> None:
    with serving([[answer]]) as port:
        connections = Connections("127.0.0.1", port, 10)
        with pytest.raises(NoAnswerError):
            connections.ask(REQUEST)


def test_an_answer_may_come_in_pieces() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            accepted, _ = listening.accept()
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with accepted:
                accepted.recv(65536)
                for byte in KEPT:
                    accepted.sendall(bytes([byte]))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        connections = Connections("127.0.0.1", listening.getsockname()[1], 10)
        assert connections.ask(REQUEST) == Answer(200, b"ok")
        connections.close()
        thread.join(10)


def test_who_does_not_answer_is_not_waited_for_for_ever() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        connections = Connections("127.0.0.1", listening.getsockname()[1], 0.05)
        with pytest.raises(TimeoutError):
            connections.ask(REQUEST)


def test_nobody_listens(free_port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        Connections("127.0.0.1", free_port, 10).ask(REQUEST)
