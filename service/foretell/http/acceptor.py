"""Accepts connections, as many in a turn of the event loop as wait, so that nobody waits for those that are busy already.

libuv accepts one connection of a socket in a turn. Where a turn serves hundreds of busy connections it takes long, and those
who connect then would wait for as many turns as others are before them: half a minute was seen.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final

from foretell.http.turning_away import waits

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Acceptor"]

_AT_ONCE: Final = 64
"""How many are accepted in a turn at most: each costs some 0.1 ms, and those that are connected wait for it."""


class Acceptor:
    """Accepts the connections of a socket.

    Args:
        bound: The socket, bound.
        make_protocol: Makes the protocol of a connection.

    Attributes:
        bound: The socket.
        server: What the event loop calls it; None before it is opened.
    """

    def __init__(self, bound: socket.socket, make_protocol: Callable[[], asyncio.Protocol]) -> None:
        self.bound = bound
        self.server: asyncio.Server | None = None
        self._make_protocol = make_protocol
        self._closed = False
        self._turn: asyncio.Handle | None = None
        self._opening: set[asyncio.Task[object]] = set()

    async def open(self, backlog: int) -> None:
        """Listen, and accept.

        Args:
            backlog: How many connections may wait.
        """
        loop = asyncio.get_running_loop()
        self.bound.setblocking(False)
        self.server = await loop.create_server(self._first, sock=self.bound, backlog=backlog)

    def close(self) -> None:
        """Accept no more; those that are accepted stay."""
        self._closed = True
        if self.server is not None:
            self.server.close()

    @property
    def waits(self) -> bool:
        """Whether a connection waits to be accepted, or has been and is not open yet."""
        return bool(self._opening) or waits(self.bound)

    def _first(self) -> asyncio.Protocol:
        """The protocol of the connection that the loop has accepted; the others that wait come after it."""
        if self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._others)
        return self._make_protocol()

    def _others(self) -> None:
        self._turn = None
        loop = asyncio.get_running_loop()
        for _ in range(_AT_ONCE):
            if self._closed:
                return
            try:
                accepted, _ = self.bound.accept()
            except OSError:  # nobody waits, or there is no descriptor left, which the loop sees itself
                return
            accepted.setblocking(False)
            task = loop.create_task(self._connect(loop, accepted))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _connect(self, loop: asyncio.AbstractEventLoop, accepted: socket.socket) -> None:
        try:
            await loop.connect_accepted_socket(self._make_protocol, accepted)
        except OSError:  # it is gone already
            accepted.close()
