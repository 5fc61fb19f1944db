"""The line between a worker and its supervisor."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from foretell.supervisor.messages import FromSupervisor, FromWorker

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Channel", "open_channel"]

_MAX_BYTES: Final = 64 * 1024

S = TypeVar("S")
R = TypeVar("R")


class Channel(Generic[S, R]):
    """One end: sends messages, hears those of the other, and hears when the other is gone. It never waits.

    It can be handed to a process that is being started.

    Args:
        connected: The end of a pair of sockets that keep messages apart.
        heard: The type of the messages that come.
    """

    def __init__(self, connected: socket.socket, heard: Any) -> None:
        self._socket = connected
        self._socket.setblocking(False)
        self._heard = heard
        self._decoder = msgspec.json.Decoder[R](heard)

    def __reduce__(self) -> tuple[Any, ...]:
        return Channel, (self._socket, self._heard)

    def fileno(self) -> int:
        """The file descriptor to wait for."""
        return self._socket.fileno()

    def send(self, message: S) -> None:
        """Say something; nobody may hear it: the other is gone, or does not listen for so long that the line is full."""
        try:
            self._socket.send(msgspec.json.encode(message))
        except OSError:
            return

    def hear(self) -> Iterator[R | None]:
        """What has come since the last time; None at the end, if the other is gone."""
        while True:
            try:
                packet = self._socket.recv(_MAX_BYTES)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                yield None
                return
            yield self._decoder.decode(packet)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def open_channel() -> tuple[Channel[FromSupervisor, FromWorker], Channel[FromWorker, FromSupervisor]]:
    """A line: the end of the supervisor, and that of the worker."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Channel(ours, FromWorker), Channel(theirs, FromSupervisor)
