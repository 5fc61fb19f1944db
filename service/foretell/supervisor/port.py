"""A port that several workers listen on, each on a socket of its own."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

from foretell.http.listening import HTTP_FLAGS, Flags, bind, refusal

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["SharedPort"]


class SharedPort:
    """One socket for each worker at each address of a host, bound and not listening.

    Connections are spread by the kernel over the sockets that listen. Whoever holds a socket keeps the connections
    that wait in it: they are there for the next one who accepts from it.

    Args:
        host: A name or an address; IPv6 without brackets.
        port: The TCP port; 0 takes a free one at each address, the same for all workers.
        slots: How many workers there are.
        flags: How another place is chosen, for messages.

    Attributes:
        slots: The sockets of each worker, one for each address.

    Raises:
        ListenError: The port is taken or not allowed, or the host is not this machine.
    """

    slots: list[list[socket.socket]]

    def __init__(self, host: str, port: int, slots: int, flags: Flags = HTTP_FLAGS) -> None:
        self.slots = [[] for _ in range(slots)]
        self._stack = ExitStack()
        with ExitStack() as taken, ExitStack() as stack:
            # Sockets that share a port are let in beside others of the same user that do so. One that does not share
            # is refused where anybody listens, and is held until all others are bound.
            for probe in bind(host, port, flags):
                taken.callback(probe.close)
                address = probe.getsockname()
                try:
                    stack.enter_context(_claim(address))
                    for sockets in self.slots:
                        sockets.append(stack.enter_context(_bound(probe, address)))
                except OSError as error:
                    raise refusal(error, host, port, flags) from error
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the sockets; workers may still hold them."""
        self._stack.close()


def _bound(like: socket.socket, address: tuple[str, int]) -> socket.socket:
    made = socket.socket(like.family, like.type, like.proto)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if like.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
    except BaseException:
        made.close()
        raise
    return made


def _claim(address: tuple[str, int]) -> socket.socket:
    """Take an address among the servers that share ports: of two that start at the same moment one is refused.

    It is a name in the abstract namespace of Unix sockets, which like a port belongs to one network namespace, and
    like a port is free as soon as nobody holds it.

    Source: unix(7), abstract sockets.

    Raises:
        OSError: Another server has it.
    """
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        claim.bind(f"\0foretell/{os.getuid()}/{address[0]}:{address[1]}")
    except OSError as error:
        claim.close()
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)) from error
    return claim
