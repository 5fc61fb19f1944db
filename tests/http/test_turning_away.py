from __future__ import annotations

import socket

import pytest

from foretell.http.turning_away import turn_away, waits


def test_who_comes_later_is_turned_away_and_who_came_before_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        assert not waits(listening)
        with socket.create_connection(address, timeout=30) as before:
            turn_away(listening)
            with socket.socket() as later:
                later.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    later.connect(address)
            before.sendall(b"question")
            assert waits(listening)
            accepted, _ = listening.accept()
            with accepted:
                assert accepted.recv(8) == b"question"
                accepted.sendall(b"answer")
                assert before.recv(6) == b"answer"
        assert not waits(listening)


def test_a_socket_that_knows_no_filters_is_left_as_it_is() -> None:
    with socket.socket() as closed:
        closed.close()
        turn_away(closed)
