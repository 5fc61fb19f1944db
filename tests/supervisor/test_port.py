from __future__ import annotations

import socket

import pytest

from foretell.errors import ListenError
from foretell.supervisor.port import SharedPort


def connect(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address[:2], timeout=30)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_all_slots_have_the_same_port_and_nobody_listens_yet(host: str) -> None:
    with SharedPort(host, 0, 3) as shared:
        addresses = {bound.getsockname()[:2] for sockets in shared.slots for bound in sockets}
        assert len(addresses) == 1
        address = addresses.pop()
        assert address[1] > 0
        with pytest.raises(ConnectionRefusedError):
            connect(address)


def test_each_slot_has_a_socket_for_each_address_of_a_name() -> None:
    with SharedPort("localhost", 0, 2) as shared:
        first, second = ([bound.getsockname() for bound in sockets] for sockets in shared.slots)
        assert first == second
        assert len(first) >= 1


def test_connections_are_spread_over_the_slots() -> None:
    with SharedPort("127.0.0.1", 0, 2) as shared:
        listening = [sockets[0] for sockets in shared.slots]
        for bound in listening:
            bound.listen(100)
            bound.setblocking(False)
        clients = [connect(bound.getsockname()) for bound in listening for _ in range(40)]
        counts = [_accept_all(bound) for bound in listening]
        for client in clients:
            client.close()
    assert sum(counts) == 80
    assert min(counts) > 0


def _accept_all(listening: socket.socket) -> int:
    count = 0
    while True:
        try:
            listening.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def test_a_port_on_which_somebody_listens_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"port {port} of 127.0.0.1 is taken: stop what listens there"):
            SharedPort("127.0.0.1", port, 2)


@pytest.mark.parametrize("listens", [True, False], ids=["that listens", "that still loads"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_port_of_another_server_of_several_workers_is_refused(host: str, listens: bool) -> None:
    with SharedPort(host, 0, 2) as first:
        port = first.slots[0][0].getsockname()[1]
        if listens:
            first.slots[1][0].listen()
        with pytest.raises(ListenError, match=f"port {port} of {host} is taken"):
            SharedPort(host, port, 2)
    SharedPort(host, port, 2).close()


def test_a_wildcard_over_a_port_that_is_listened_on_is_refused() -> None:
    with SharedPort("127.0.0.1", 0, 2) as first:
        first.slots[0][0].listen()
        port = first.slots[0][0].getsockname()[1]
        with pytest.raises(ListenError, match=f"port {port} of 0.0.0.0 is taken"):
            SharedPort("0.0.0.0", port, 2)  # noqa: S104 - the very point


def test_one_port_at_two_addresses_is_two_servers() -> None:
    with SharedPort("127.0.0.1", 0, 2) as first:
        port = first.slots[0][0].getsockname()[1]
        with SharedPort("127.0.0.2", port, 2) as second:
            assert second.slots[0][0].getsockname() == ("127.0.0.2", port)


def test_what_waits_in_a_socket_is_there_for_the_next_one_who_accepts() -> None:
    with SharedPort("127.0.0.1", 0, 1) as shared:
        (held,) = shared.slots[0]
        first = held.dup()
        first.listen()
        with connect(held.getsockname()) as client:
            client.sendall(b"hello")
            first.close()
            accepted, _ = held.accept()
            with accepted:
                assert accepted.recv(5) == b"hello"
