"""What a worker is to do."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import NamedTuple

from foretell.rpc.place import RpcPlace
from foretell.settings import Settings
from foretell.supervisor.channel import Channel
from foretell.supervisor.last_words import LastWords
from foretell.supervisor.messages import FromSupervisor, FromWorker

__all__ = ["Task"]


class Task(NamedTuple):
    """What a worker is told when it is started; it can be handed to a process that is being started.

    Attributes:
        slot: The number of its place.
        settings: The settings.
        origins: Where each setting comes from, by its key; for messages.
        server: What tells the server from others, and not its workers from one another.
        shared_weights: The folder in which they share weights; None if there is none.
        sockets: The sockets of every slot, bound; a worker can take over those of another.
        channel: Its line to its supervisor.
        last_words: Where it writes what kills it.
        must_be_ready: Whether it may serve only if every enabled model answers, since who serves now does so.
        rpc: Where gRPC is served; None if it is not.
    """

    slot: int
    settings: Settings
    origins: dict[str, str]
    server: str
    shared_weights: Path | None
    sockets: list[list[socket.socket]]
    channel: Channel[FromWorker, FromSupervisor]
    last_words: LastWords
    must_be_ready: bool
    rpc: RpcPlace | None
