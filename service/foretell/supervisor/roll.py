"""The restart of all workers, one after the other, and without a lost request."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

from foretell.errors import SettingsError
from foretell.supervisor.messages import Retire

if TYPE_CHECKING:
    from foretell.logs import Logger
    from foretell.settings import Settings
    from foretell.supervisor.slot import Slot
    from foretell.supervisor.worker import Worker

__all__ = ["Roll"]


class _Going(NamedTuple):
    """A restart that goes on.

    Attributes:
        settings: Those of the new workers.
        slots: Where it is still to be done; the first is at it.
        ending: Who was replaced last, and finishes what it has.
    """

    settings: Settings
    slots: deque[Slot]
    ending: Worker | None


class Roll:
    """Replaces the workers: in each slot the next one starts beside the one that serves, and takes its place when ready.

    Args:
        slots: The places of all workers.
        log: Where events go.
        reload: Gives the settings anew; raises SettingsError.
    """

    def __init__(self, slots: Sequence[Slot], log: Logger, reload: Callable[[], Settings]) -> None:
        self._slots = slots
        self._log = log
        self._reload = reload
        self._asked = False
        self._going: _Going | None = None

    def ask(self) -> None:
        """Replace all workers, as soon as no other restart goes on."""
        self._asked = True

    def go_on(
        self,
        settings: Settings,
        workers: Collection[Worker],
        start: Callable[[Slot, Settings], Worker],
    ) -> None:
        """Take the next step, if there is one.

        Args:
            settings: Those of the server so far.
            workers: Who lives.
            start: Starts who is to take a place, with settings.
        """
        if self._asked and self._going is None:
            self._asked = False
            try:
                new = self._reloaded(settings)
            except SettingsError as error:
                self._log.error("workers are not restarted: the new settings are wrong", reason=str(error))
                return
            self._log.info("restarting workers", workers=len(self._slots))
            self._going = _Going(new, deque(self._slots), None)
        going = self._going
        if going is None or going.ending in workers:
            return
        if not going.slots:
            self._going = None
            self._log.info("workers restarted", workers=len(self._slots))
            return
        slot = going.slots[0]
        if slot.successor is None and (slot.worker is None or slot.is_served):
            slot.start_at = math.inf
            slot.successor = start(slot, going.settings)

    def succeed(self, slot: Slot) -> Worker | None:
        """A successor is ready: it takes the place; returns who was there and retires now, if there was anybody."""
        replaced, slot.worker, slot.successor = slot.worker, slot.successor, None
        if replaced is not None:
            replaced.send(Retire())
        if self._going is not None:
            self._going.slots.popleft()
            if replaced is not None:
                self._going = self._going._replace(ending=replaced)
        return replaced

    def give_up(self, slot: Slot) -> None:
        """A successor could not start: those who serve stay."""
        slot.successor = None
        self._going = None

    def _reloaded(self, settings: Settings) -> Settings:
        """The settings for new workers.

        Raises:
            SettingsError: They are wrong.
        """
        new = self._reload()
        kept = [
            key
            for key in ("host", "port", "workers")
            if getattr(settings.server, key) != getattr(new.server, key)
        ]
        if kept:
            self._log.warning(
                "some new settings need the server to be started anew",
                settings=[f"server.{key}" for key in kept],
            )
        return new
