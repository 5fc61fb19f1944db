"""A worker process, as its supervisor sees it."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any, Final

from foretell.supervisor.channel import open_channel
from foretell.supervisor.last_words import SHOW_STACKS, LastWords
from foretell.supervisor.process import work
from foretell.supervisor.task import Task

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from foretell.rpc.place import RpcPlace
    from foretell.settings import Settings
    from foretell.supervisor.messages import FromSupervisor, FromWorker

__all__ = ["Worker"]

_IMPORT_S: Final = 120.0
"""How long Python and its libraries may take until the first beat; on a cold disk that is many seconds."""

_STACKS_S: Final = 0.5
_TO_THE_SUPERVISOR: Final = (signal.SIGINT, signal.SIGHUP)
"""A terminal sends them to every process of its group. Workers hear of them from their supervisor."""


class Worker:
    """A worker process, started.

    Args:
        slot: The number of its place.
        settings: The settings.
        server: What tells the server from others.
        sockets: The sockets of every slot.
        origins: Where each setting comes from, by its key; for messages.
        shared_weights: The folder in which workers share weights; None if there is none.
        must_be_ready: Whether it may serve only if every enabled model answers.
        rpc: Where gRPC is served; None if it is not.
        now: The time, seconds.

    Attributes:
        slot: The number of its place.
        pid: The process.
        settings: Its settings.
        ready: Whether it accepts connections.
        models_ready: Whether every enabled model answers.
        ending: Whether it was told to end.
        hangs: Whether its event loop has stood still for too long.
        channel: The line to it.
        accepts: The slots whose connections it accepts.
        failure: Why it could not start, as it has said itself.
        kill_at: When it is to be killed; never as long as that is infinite.
    """

    def __init__(
        self,
        slot: int,
        settings: Settings,
        server: str,
        sockets: list[list[socket.socket]],
        *,
        origins: Mapping[str, str],
        shared_weights: Path | None,
        must_be_ready: bool,
        rpc: RpcPlace | None,
        now: float,
    ) -> None:
        self.slot = slot
        self.settings = settings
        self.ready = False
        self.models_ready = False
        self.ending = False
        self.hangs = False
        self.accepts = frozenset({slot})
        self.failure: str | None = None
        self.kill_at = math.inf
        self._ready_at = math.inf
        self._heard_at = now
        self._patience_s = max(_IMPORT_S, settings.server.hang_s)
        self._last_words = LastWords()
        self.channel, theirs = open_channel()
        task = Task(
            slot,
            settings,
            dict(origins),
            server,
            shared_weights,
            sockets,
            theirs,
            self._last_words,
            must_be_ready,
            rpc,
        )
        self._process = multiprocessing.get_context("spawn").Process(
            target=work, args=(task,), name=f"foretell worker {slot}"
        )
        resource_tracker.ensure_running()  # which would undo the blocking of signals
        with _blocked():
            self._process.start()
        theirs.close()
        self.pid = self._process.pid or 0

    @property
    def status(self) -> int | None:
        """How it ended: its exit status, or the negative number of a signal; None while it lives."""
        return self._process.exitcode

    def send(self, message: FromSupervisor) -> None:
        """Tell it something."""
        self.channel.send(message)

    def hear(self) -> Iterator[FromWorker | None]:
        """What it has said since the last time."""
        return self.channel.hear()

    def beat(self, now: float, *, models_ready: bool) -> None:
        """Its event loop turns."""
        self._heard_at = now
        self._patience_s = self.settings.server.hang_s
        self.models_ready = models_ready

    def begin(self, now: float) -> None:
        """It accepts connections from now on."""
        self.ready = True
        self._ready_at = now

    def forgive(self, seconds: float) -> None:
        """Do not count some time in which it could not be heard."""
        self._heard_at += seconds

    def lived_s(self, now: float) -> float:
        """How long it has served, seconds."""
        return max(now - self._ready_at, 0.0)

    def silent_s(self, now: float) -> float:
        """How long its event loop has not turned, seconds."""
        return now - self._heard_at

    @property
    def due(self) -> float:
        """When something must be done about it."""
        return min(self.kill_at, math.inf if self.hangs else self._heard_at + self._patience_s)

    def condemn(self, now: float) -> None:
        """It hangs: have it write down where, and give it a moment for that."""
        self.hangs = True
        with suppress(ProcessLookupError):
            os.kill(self.pid, SHOW_STACKS)
        self.kill_at = now + _STACKS_S

    def kill(self) -> None:
        """End it at once."""
        self.kill_at = math.inf
        self._process.kill()

    def end(self) -> dict[str, Any]:
        """Take leave of a process that has ended; returns what there is to tell, as fields of a log line."""
        self.channel.close()
        status = self._process.exitcode or 0
        told: dict[str, Any] = {"signal": _name(-status)} if status < 0 else {"status": status}
        last_words = self._last_words.read()
        self._last_words.close()
        self._process.close()
        if self.hangs:
            told["hung"] = True
        if self.failure is not None:
            told["reason"] = self.failure
        return told if last_words is None else {**told, "last_words": last_words}

    def abandon(self) -> None:
        """Hang up: it then ends by itself."""
        self.channel.close()


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # of the real-time signals only the first and the last have names
        return str(number)


@contextmanager
def _blocked() -> Generator[None]:
    """What is started now inherits that these signals are blocked, and nobody unblocks them there."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _TO_THE_SUPERVISOR)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
