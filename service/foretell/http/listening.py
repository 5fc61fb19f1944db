"""The sockets that the server listens on, bound before anything slow is done."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from foretell.errors import ListenError

if TYPE_CHECKING:
    from foretell.logs import Logger

__all__ = ["HTTP_FLAGS", "Flags", "announce", "bind", "refusal", "url_of"]

_ABSENT = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
"""What a machine says of an address of a family that it has none of."""


class Flags(NamedTuple):
    """How another place to listen is chosen, for messages.

    Attributes:
        host: What chooses the host.
        port: What chooses the port.
    """

    host: str
    port: str


HTTP_FLAGS: Final = Flags("--host", "--port")


def bind(host: str, port: int, flags: Flags = HTTP_FLAGS) -> list[socket.socket]:
    """Take a port at every address of a host, without listening yet: callers wait for no server that may not come.

    Args:
        host: A name or an address; IPv6 without brackets.
        port: The TCP port; 0 takes a free one at each address.
        flags: How another place is chosen, for messages.

    Returns:
        At least one socket. The caller closes them.

    Raises:
        ListenError: The port is taken or not allowed, or the host is not this machine.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, ValueError) as error:  # ValueError: no name at all
        raise ListenError(
            f"the host {host!r} is not known: choose an address of this machine with {flags.host}"
        ) from error
    sockets: list[socket.socket] = []
    refused: OSError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        try:
            sockets.append(_bound(family, kind, protocol, address))
        except OSError as error:
            refused = error
            if error.errno not in _ABSENT:
                break
    # `localhost` may have an IPv6 address on a machine that does without IPv6.
    if refused is not None and not (sockets and refused.errno in _ABSENT):
        for bound in sockets:
            bound.close()
        raise refusal(refused, host, port, flags) from refused
    return sockets


def _bound(
    family: socket.AddressFamily,
    kind: socket.SocketKind,
    protocol: int,
    address: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes],
) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    try:
        # A port that was in use a moment ago counts as free; one on which something listens does not.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
    except BaseException:
        made.close()
        raise
    return made


def refusal(error: OSError, host: str, port: int, flags: Flags = HTTP_FLAGS) -> ListenError:
    """What to say of an address that cannot be listened on."""
    if error.errno == errno.EADDRINUSE:
        return ListenError(
            f"port {port} of {host} is taken: stop what listens there, or choose another with {flags.port}"
        )
    if error.errno == errno.EACCES:
        return ListenError(
            f"port {port} of {host} is not for this user: choose one from 1024 upwards with {flags.port}"
        )
    if error.errno in _ABSENT:
        return ListenError(f"{host} is no address of this machine: choose another with {flags.host}")
    return ListenError(f"port {port} of {host} cannot be listened on: {error.strerror or error}")


def url_of(host: str, port: int) -> str:
    """The address of a server; that of IPv6 stands in brackets. Source: RFC 3986, section 3.2.2."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def announce(log: Logger, sockets: list[socket.socket], **fields: Any) -> None:
    """Say where something is served, a line for each address."""
    for listening in sockets:
        url = url_of(*listening.getsockname()[:2])
        log.info("serving", url=url, documentation=f"{url}/schema", **fields)
