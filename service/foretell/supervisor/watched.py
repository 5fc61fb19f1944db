"""The server in a worker process: it does what its supervisor says, and tells it how it is."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final

from foretell.errors import NotReadyError
from foretell.http.server import Server
from foretell.supervisor.messages import Accept, Beat, Leaving, Ready, Retire, Stop

if TYPE_CHECKING:
    from collections.abc import Iterable

    from litestar import Litestar

    from foretell.http.acceptor import Acceptor
    from foretell.http.lifecycle import Lifecycle
    from foretell.logs import Logger
    from foretell.supervisor.task import Task

__all__ = ["WatchedServer"]

_MOST_BEAT_S: Final = 1.0
_BEATS: Final = 5
"""So many beats fit into the silence after which a worker counts as hanging."""

_LOOK_S: Final = 0.05


class WatchedServer(Server):
    """A server that accepts from its slot's sockets, from those of dead workers while they are replaced, and beats.

    Args:
        app: The application.
        log: Where events go.
        lifecycle: The one that the application was made with.
        task: What the supervisor wants.
    """

    def __init__(self, app: Litestar, log: Logger, lifecycle: Lifecycle, task: Task) -> None:
        super().__init__(app, task.settings.server, log, lifecycle)
        self.for_good = False
        self._task = task
        self._beat_s = min(task.settings.server.hang_s / _BEATS, _MOST_BEAT_S)
        self._adopted: dict[int, list[Acceptor]] = {}
        self._adopting = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._told = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Load and listen, within the supervisor's hearing from the first moment."""
        asyncio.get_running_loop().add_reader(self._task.channel.fileno(), self._hear)
        self._beat()
        await super().startup(sockets)

    async def check_readiness(self) -> None:
        """See that it is as good as the one in whose place it comes."""
        if not self._task.must_be_ready:
            return
        while self.lifecycle.loading and not self.should_exit:  # noqa: ASYNC110 - a signal may set the latter
            await asyncio.sleep(_LOOK_S)
        if not self.lifecycle.ready and not self.should_exit:
            raise NotReadyError("not every enabled model is ready, which those before were; the log says why")

    def told_to_serve(self, sockets: list[socket.socket]) -> None:  # noqa: ARG002 - the supervisor says where
        """Tell the supervisor."""
        self._task.channel.send(Beat(self.lifecycle.ready))
        self._task.channel.send(Ready())

    def told_to_stop(self) -> None:
        """Tell the supervisor, if it does not know."""
        if not self._told:
            self._task.channel.send(Leaving())

    def stop_accepting(self, acceptors: Iterable[Acceptor] | None = None) -> None:
        """Accept no more connections, and if from nobody at all, let go of every slot's sockets."""
        super().stop_accepting(acceptors)
        if acceptors is None:
            for sockets in self._task.sockets:
                for bound in sockets:
                    bound.close()

    def _beat(self) -> None:
        self._task.channel.send(Beat(self.lifecycle.ready))
        asyncio.get_running_loop().call_later(self._beat_s, self._beat)

    def _hear(self) -> None:
        for message in self._task.channel.hear():
            match message:
                case Accept(slots):
                    task = asyncio.ensure_future(self._accept(set(slots) - {self._task.slot}))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                case Retire():
                    self._told = True
                    self.stop_accepting()
                    self.leave()
                case Stop() | None:
                    if message is None:  # it is gone, and nobody would take this worker's place
                        asyncio.get_running_loop().remove_reader(self._task.channel.fileno())
                    self._told = self.for_good = True
                    if self.lifecycle.closing:
                        self.lifecycle.close()
                    self.leave()

    async def _accept(self, slots: set[int]) -> None:
        """Accept from the sockets of some other slots, and only those."""
        async with self._adopting:
            for slot in self._adopted.keys() - slots:
                self.stop_accepting(self._adopted.pop(slot))
            for slot in slots - self._adopted.keys():
                held = self._task.sockets[slot]
                if all(bound.fileno() >= 0 for bound in held):
                    self._adopted[slot] = await self.accept_from([bound.dup() for bound in held])
