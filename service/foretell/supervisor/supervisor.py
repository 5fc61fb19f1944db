"""The parent of the worker processes: starts, watches, replaces and ends them."""

from __future__ import annotations

import math
import selectors
import signal
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from foretell.errors import ForetellError
from foretell.http.listening import announce
from foretell.rpc.place import GRPC_FLAGS, RpcPlace, host_and_port, place_of
from foretell.settings.fingerprint import fingerprint
from foretell.supervisor.adoption import adopt
from foretell.supervisor.messages import Accept, Beat, Failed, Leaving, Ready, Stop
from foretell.supervisor.port import SharedPort
from foretell.supervisor.roll import Roll
from foretell.supervisor.shared_folder import shared_folder
from foretell.supervisor.signals import Signals
from foretell.supervisor.slot import Slot
from foretell.supervisor.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from foretell.logs import Logger
    from foretell.settings import Settings

__all__ = ["Supervisor"]

_FORCED: Final = 128 + signal.SIGINT
"""The exit status of a server that was told twice."""

_OVERTIME_S: Final = 3.0
"""How much longer than `server.drain_s` a worker may take, for what its plugins do at the end."""


_LATE_S: Final = 0.1
"""If it wakes up so much too late, it was stopped, or the machine stood still, and nobody could be heard meanwhile."""


class Supervisor:
    """Runs a server of several workers.

    Args:
        settings: The settings.
        workers: How many there shall be.
        log: Where events go.
        reload: Gives the settings anew, for workers that are started after SIGHUP; raises SettingsError.
        origins: Where each setting comes from, by its key; for messages of workers.
        clock: A clock that never goes back, seconds.
    """

    def __init__(
        self,
        settings: Settings,
        workers: int,
        log: Logger,
        *,
        reload: Callable[[], Settings],
        origins: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._server = fingerprint(settings)
        self._log = log
        self._origins = origins or {}
        self._clock = clock
        self._slots = [Slot(number) for number in range(workers)]
        self._roll = Roll(self._slots, log, reload)
        self._workers: set[Worker] = set()
        self._selector = selectors.DefaultSelector()
        self._port: SharedPort
        self._rpc: RpcPlace | None = None
        self._shared_weights: Path | None = None
        self._served = False
        self._stopping = False
        self._status = 0
        self._reason: str | None = None

    def run(self) -> int:
        """Serve until told to stop; takes over the signals of the process, so call it from the main thread.

        Returns:
            The exit status.

        Raises:
            ListenError: A port is taken, or a host is not this machine.
            MissingExtraError: gRPC is to be served, and what it needs is not installed.
            SettingsError: gRPC and HTTP are to be served on one port.
            ForetellError: A worker could not start, when the server was started; the message is the worker's.
        """
        server = self._settings.server
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
        rpc = host_and_port(self._settings)
        with (
            ExitStack() as ports,
            SharedPort(server.host, server.port, len(self._slots)) as self._port,
            Signals(numbers) as signals,
            shared_folder(self._log) as self._shared_weights,
        ):
            if rpc is not None:  # gRPC binds in the workers: what is held here keeps the place free for them
                held = ports.enter_context(SharedPort(*rpc, 1, GRPC_FLAGS))
                self._rpc = place_of(held.slots[0], shared=True)
            self._selector.register(signals, selectors.EVENT_READ)
            try:
                for slot in self._slots:
                    slot.worker = self._start(slot, self._settings)
                while self._workers or not self._stopping:
                    self._sleep()
                    for number in signals.caught():
                        self._obey(number)
                    self._attend()
            finally:
                for worker in self._workers:  # none, but where the supervisor itself has failed
                    worker.abandon()
                self._selector.close()
        if self._reason is not None:
            raise ForetellError(self._reason)
        if self._served:
            self._log.info("stopped")
        return self._status

    def _sleep(self) -> None:
        """Wait until something happens or is due."""
        due = min(
            [worker.due for worker in self._workers] + [slot.start_at for slot in self._slots],
            default=math.inf,
        )
        slept = self._clock()
        self._selector.select(None if due == math.inf else max(due - slept, 0))
        woke = self._clock()
        if woke - max(due, slept) > _LATE_S:
            for worker in self._workers:
                worker.forgive(woke - slept)

    def _obey(self, number: signal.Signals) -> None:
        """Do what a signal says."""
        if number == signal.SIGHUP:
            self._roll.ask()
        elif number in {signal.SIGINT, signal.SIGTERM} and not self._stopping:
            self._stop()
        elif number == signal.SIGINT:
            self._log.warning("stopped at once")
            self._status = _FORCED
            for worker in self._workers:
                worker.kill()

    def _attend(self) -> None:
        """See to everybody."""
        now = self._clock()
        for worker in list(self._workers):
            ended = worker.status is not None  # asked first: what it has said before is heard below
            self._hear(worker, now)
            if ended:
                self._bury(worker, now)
            elif worker.due <= now:
                self._condemn(worker, now)
        if not self._stopping:
            for slot in self._slots:
                if slot.start_at <= now:
                    slot.start_at = math.inf
                    slot.worker = self._start(slot, self._settings)
            if self._served:
                self._roll.go_on(self._settings, self._workers, self._succeed)
            self._assign()

    # ------------------------------------------------------------------ single workers

    def _start(self, slot: Slot, settings: Settings, *, must_be_ready: bool = False) -> Worker:
        worker = Worker(
            slot.number,
            settings,
            self._server,
            self._port.slots,
            origins=self._origins,
            shared_weights=self._shared_weights,
            must_be_ready=must_be_ready,
            rpc=self._rpc,
            now=self._clock(),
        )
        self._workers.add(worker)
        self._selector.register(worker.channel, selectors.EVENT_READ)
        self._log.info("worker started", worker=slot.number, pid=worker.pid)
        return worker

    def _succeed(self, slot: Slot, settings: Settings) -> Worker:
        """Start who is to take a place; where every model is ready now, it must be so then."""
        must_be_ready = slot.worker is not None and slot.worker.models_ready
        return self._start(slot, settings, must_be_ready=must_be_ready)

    def _hear(self, worker: Worker, now: float) -> None:
        for message in worker.hear():
            match message:
                case Beat(models_ready):
                    worker.beat(now, models_ready=models_ready)
                case Ready():
                    worker.begin(now)
                    self._welcome(worker, now)
                case Failed(reason):
                    worker.failure = reason
                case Leaving():
                    self._log.warning(
                        "worker was told to end, and not by its supervisor",
                        worker=worker.slot,
                        pid=worker.pid,
                    )
                    self._dismiss(worker, now)
                    slot = self._slots[worker.slot]
                    if slot.worker is worker:
                        slot.worker = None
                        slot.start_at = now
                case None:
                    self._unwatch(worker)

    def _welcome(self, worker: Worker, now: float) -> None:
        """A worker accepts connections."""
        slot = self._slots[worker.slot]
        slot.open = True
        self._log.info("worker ready", worker=worker.slot, pid=worker.pid)
        if slot.successor is worker:
            self._settings = worker.settings
            replaced = self._roll.succeed(slot)
            if replaced is not None:
                self._dismiss(replaced, now)
        if not self._served and not self._stopping and all(each.is_served for each in self._slots):
            self._served = True
            more = {} if self._rpc is None else self._rpc.fields
            announce(self._log, self._port.slots[0], workers=len(self._slots), **more)

    def _dismiss(self, worker: Worker, now: float) -> None:
        """A worker ends: it has as long for it as it is allowed, and no longer."""
        worker.ending = True
        worker.kill_at = min(worker.kill_at, now + worker.settings.server.drain_s + _OVERTIME_S)

    def _condemn(self, worker: Worker, now: float) -> None:
        """A worker's time is up."""
        if worker.kill_at <= now:
            if not worker.hangs:
                self._log.error("worker does not end and is killed", worker=worker.slot, pid=worker.pid)
            worker.kill()
            return
        silent_s = round(worker.silent_s(now), 1)
        self._log.error("worker hangs", worker=worker.slot, pid=worker.pid, silent_s=silent_s)
        worker.condemn(now)

    def _bury(self, worker: Worker, now: float) -> None:
        """A worker has ended."""
        self._unwatch(worker)
        self._workers.discard(worker)
        slot, status, lived_s = self._slots[worker.slot], worker.status, worker.lived_s(now)
        told = {"worker": worker.slot, "pid": worker.pid, "lived_s": round(lived_s, 1), **worker.end()}
        if self._stopping or (worker.ending and slot.successor is not worker):
            orderly = status == 0 or not worker.ready
            (self._log.info if orderly else self._log.error)("worker ended", **told)
        elif slot.successor is worker:
            self._roll.give_up(slot)
            if slot.worker is None:  # nobody is there who could stay
                told["restart_in_s"] = self._refill(slot, lived_s, now)
            self._log.error("workers are not restarted: the first new one could not start", **told)
        elif not self._served:
            if worker.failure is None:
                self._log.error("worker died", **told)
            self._reason = self._reason or worker.failure
            self._status = 1
            self._stop()
        else:
            slot.worker = None
            if slot.successor is None:
                told["restart_in_s"] = self._refill(slot, lived_s, now)
            self._log.error("worker died", **told)

    @staticmethod
    def _refill(slot: Slot, lived_s: float, now: float) -> float:
        """An empty place is to get a worker, with the settings that hold; returns in how many seconds."""
        wait_s = slot.backoff.after(lived_s)
        slot.start_at = now + wait_s
        return wait_s

    def _unwatch(self, worker: Worker) -> None:
        """Wait no longer for what a worker says."""
        if worker.channel in self._selector.get_map():
            self._selector.unregister(worker.channel)

    def _assign(self) -> None:
        """Have the connections of dead workers accepted by others."""
        serving = {slot.number: slot.worker for slot in self._slots if slot.is_served and slot.worker}
        orphans = {slot.number for slot in self._slots if slot.open and not slot.is_served}
        wanted = adopt({own: worker.accepts for own, worker in serving.items()}, orphans)
        for own, worker in serving.items():
            if worker.accepts != wanted[own]:
                worker.accepts = wanted[own]
                worker.send(Accept(sorted(worker.accepts)))

    # ------------------------------------------------------------------ all of them

    def _stop(self) -> None:
        """End the server: workers finish what they have."""
        now = self._clock()
        self._stopping = True
        if self._served:
            self._log.info("stopping", waits_at_most_s=self._settings.server.drain_s)
        for slot in self._slots:
            slot.start_at = math.inf
        for worker in self._workers:
            self._hear(worker, now)  # it may have begun to accept connections this moment
            if worker.ready:
                worker.send(Stop())
                self._dismiss(worker, now)
            else:  # it holds nothing yet
                worker.kill()
        self._port.close()
