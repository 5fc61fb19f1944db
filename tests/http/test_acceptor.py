"""Connections are accepted as fast as they come, however busy those are that were accepted before."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
import uvloop

from foretell.http.acceptor import Acceptor

MANY = 100


class Greeting(asyncio.Protocol):
    """Says hello to whoever connects."""

    def __init__(self, met: list[asyncio.BaseTransport]) -> None:
        self._met = met

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._met.append(transport)
        cast("asyncio.Transport", transport).write(b"hello")  # uvloop's is no subclass of asyncio's


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Runs a coroutine on an event loop."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run_it(going: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(going)

    return run_it


def listening() -> socket.socket:
    """A socket that is bound to a free port."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.bind(("127.0.0.1", 0))
    return bound


def connect(bound: socket.socket, count: int) -> list[socket.socket]:
    """So many clients, whose connections wait."""
    return [socket.create_connection(bound.getsockname(), timeout=10) for _ in range(count)]


async def close_all(clients: list[socket.socket], met: list[asyncio.BaseTransport]) -> None:
    """Close both ends."""
    for client in clients:
        client.close()
    for transport in met:
        transport.close()
    for _ in range(5):
        await asyncio.sleep(0)


async def turns(until: Callable[[], bool], most: int) -> int:
    """How many turns of the loop it takes."""
    for turn in range(most):
        if until():
            return turn
        await asyncio.sleep(0)
    raise AssertionError(f"not after {most} turns")


def test_many_that_wait_are_accepted_in_a_few_turns(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    async def accept() -> None:
        met: list[asyncio.BaseTransport] = []
        acceptor = Acceptor(listening(), lambda: Greeting(met))
        await acceptor.open(2048)
        clients = connect(acceptor.bound, MANY)
        assert await turns(lambda: len(met) == MANY, 20) < 20
        assert [await asyncio.to_thread(client.recv, 5) for client in clients] == [b"hello"] * MANY
        assert not acceptor.waits
        acceptor.close()
        await close_all(clients, met)

    run(accept())


def test_who_waits_is_left_when_it_closes(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    async def close() -> None:
        met: list[asyncio.BaseTransport] = []
        bound = listening()
        another = bound.dup()
        acceptor = Acceptor(bound, lambda: Greeting(met))
        await acceptor.open(2048)
        clients = connect(another, 3)
        assert acceptor.waits
        acceptor.close()
        for _ in range(5):
            await asyncio.sleep(0)
        assert met == []
        another.setblocking(True)  # the other holder of the socket gets them
        accepted = [another.accept()[0] for _ in clients]
        for each in [*clients, *accepted, another]:
            each.close()

    run(close())


def test_delay_is_off_for_each_of_them(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    async def look() -> None:
        met: list[asyncio.BaseTransport] = []
        acceptor = Acceptor(listening(), lambda: Greeting(met))
        await acceptor.open(2048)
        clients = connect(acceptor.bound, 5)
        await turns(lambda: len(met) == len(clients), 20)
        sockets = [transport.get_extra_info("socket") for transport in met]
        assert [each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for each in sockets] == [1] * 5
        peers = {transport.get_extra_info("peername") for transport in met}
        assert peers == {client.getsockname() for client in clients}
        acceptor.close()
        await close_all(clients, met)

    run(look())
