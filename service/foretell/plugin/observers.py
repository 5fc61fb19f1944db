"""What takes the records of answered requests: in batches, shortly after the answers were sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from foretell.plugin.faults import Faults
    from foretell.prediction import Observe, RequestRecord

__all__ = ["Observer", "Observers"]

_DELAY_S: Final = 0.02
_MOST: Final = 32
"""More take no less time each, and hold up the event loop: one with a trace takes 0.1 ms."""


class Observer(msgspec.Struct, frozen=True):
    """Something that takes records.

    Attributes:
        name: The plugin's name, or what else it is.
        observe: What takes them.
        budget_us: How long it should take at most for one record, µs.
        opted_out: The models that it is not to see, by name.
        at_once: Whether it takes each record alone and at once.
    """

    name: str
    observe: Observe
    budget_us: float
    opted_out: AbstractSet[str] = frozenset()
    at_once: bool = False


class Observers:
    """Gathers records and hands them on twenty milliseconds later, or when there are 32.

    Args:
        faults: Where the faults of observers go.
    """

    def __init__(self, faults: Faults) -> None:
        self._observers: tuple[Observer, ...] = ()
        self._at_once: tuple[Observer, ...] = ()
        self._faults = faults
        self._records: list[RequestRecord] = []
        self._timer: asyncio.TimerHandle | None = None

    def take(self, observers: Sequence[Observer]) -> None:
        """From now on hand the records to these."""
        self._observers = tuple(each for each in observers if not each.at_once)
        self._at_once = tuple(each for each in observers if each.at_once)

    def add(self, record: RequestRecord) -> None:
        """Take the record of a request whose answer was sent; call it on the event loop."""
        for observer in self._at_once:
            if record.model not in observer.opted_out:
                try:
                    observer.observe((record,))
                except (KeyboardInterrupt, GeneratorExit):
                    raise
                except BaseException as error:  # noqa: BLE001 - the boundary of a plugin
                    self._faults.failed(observer.name, "observe", error)
        records = self._records
        records.append(record)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_DELAY_S, self.flush)
        elif len(records) >= _MOST:
            self.flush()

    def flush(self) -> None:
        """Hand on what has been gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        records, self._records = tuple(self._records), []  # a tuple: none can take records from the others
        if not records:
            return
        for observer in self._observers:
            seen = records
            if observer.opted_out:
                seen = tuple(record for record in records if record.model not in observer.opted_out)
            if seen:
                self._hand(observer, seen)

    def _hand(self, observer: Observer, records: Sequence[RequestRecord]) -> None:
        began = time.perf_counter_ns()
        try:
            observer.observe(records)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - the boundary of a plugin
            self._faults.failed(observer.name, "observe", error)
        own_us = (time.perf_counter_ns() - began) / 1000 / len(records)
        if own_us > observer.budget_us and len(records) >= 16:  # a few records do not tell
            self._faults.slow(observer.name, "observe", own_us=own_us, budget_us=observer.budget_us)
