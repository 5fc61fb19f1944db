"""What a worker and its supervisor say to each other."""

from __future__ import annotations

import msgspec

__all__ = ["Accept", "Beat", "Failed", "FromSupervisor", "FromWorker", "Leaving", "Ready", "Retire", "Stop"]


class Beat(msgspec.Struct, frozen=True, tag=True):
    """The worker's event loop turns.

    Attributes:
        ready: Whether every enabled model answers.
    """

    ready: bool


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The worker accepts connections from its own sockets."""


class Leaving(msgspec.Struct, frozen=True, tag=True):
    """The worker has been told by somebody else to end."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The worker cannot start.

    Attributes:
        reason: Why, for whoever started the server; None if its log says why.
    """

    reason: str | None


class Accept(msgspec.Struct, frozen=True, tag=True):
    """Accept connections from the sockets of these slots, and of no others.

    Attributes:
        slots: The numbers of the slots.
    """

    slots: list[int]


class Retire(msgspec.Struct, frozen=True, tag=True):
    """Another worker accepts in its place: finish what is there, and end."""


class Stop(msgspec.Struct, frozen=True, tag=True):
    """The whole server ends."""


FromWorker = Beat | Ready | Leaving | Failed
FromSupervisor = Accept | Retire | Stop
