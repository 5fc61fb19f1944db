"""Where gRPC is served: taken before anything slow is done, and without importing gRPC."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, NamedTuple

from foretell.errors import MissingExtraError, SettingsError
from foretell.http.listening import Flags

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from foretell.settings import Settings

__all__ = ["GRPC_FLAGS", "RpcPlace", "host_and_port", "place_of"]

GRPC_FLAGS: Final = Flags("--set grpc.host=ADDRESS", "--grpc-port")
"""How another place is chosen, for messages."""


class RpcPlace(NamedTuple):
    """Where gRPC is served; it can be handed to a process that is being started.

    Attributes:
        addresses: As gRPC writes them, for instance ``127.0.0.1:8001`` or ``[::1]:8001``.
        shared: Whether several workers listen there.
    """

    addresses: tuple[str, ...]
    shared: bool

    @property
    def fields(self) -> dict[str, str]:
        """What the log says of it."""
        return {"grpc": ", ".join(self.addresses)}


def host_and_port(settings: Settings) -> tuple[str, int] | None:
    """Where gRPC is to be served; None if it is not.

    Raises:
        MissingExtraError: What it needs is not installed.
        SettingsError: HTTP is to be served there.
    """
    port = settings.grpc.port
    if port is None:
        return None
    if find_spec("grpc") is None or find_spec("google.protobuf") is None:
        raise MissingExtraError("grpc", "serving gRPC (grpc.port)")
    host = settings.grpc.host or settings.server.host
    if port and (host, port) == (settings.server.host, settings.server.port):
        raise SettingsError(f"grpc.port and server.port are both {port}: choose another with --grpc-port")
    return host, port


def place_of(sockets: Iterable[socket.socket], *, shared: bool) -> RpcPlace:
    """The place that sockets hold, which are bound and do not listen."""
    addresses: list[str] = []
    for bound in sockets:
        host, port = bound.getsockname()[:2]
        addresses.append(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    return RpcPlace(tuple(addresses), shared)
