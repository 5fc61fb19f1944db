"""Letting versions go: each when the last request that holds it has ended, and then its memory."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from foretell.engine.attempt import in_thread
from foretell.engine.memory import give_back

if TYPE_CHECKING:
    from collections.abc import Iterable

    from foretell.engine.journal import Journal
    from foretell.engine.resident import Resident
    from foretell.engine.version import Version
    from foretell.prediction import ModelInfo

__all__ = ["Releases"]

_LINGER_S: Final = 0.05
"""How long what has just been used may still be held, by records that observers have not taken yet."""


class Releases:
    """Lets versions go.

    Args:
        journal: Is told of each that is gone.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._held: dict[int, Resident[Any]] = {}
        self._closed: list[tuple[ModelInfo, ref[Version]]] = []
        self._task: asyncio.Task[None] | None = None

    def let_go(self, residents: Iterable[Resident[Any]]) -> None:
        """Let versions go that nobody can look up any longer."""
        for resident in residents:
            self._held[id(resident)] = resident
            resident.retire(partial(self._on_closed, id(resident)))

    def close(self) -> None:
        """Let go of everything at once."""
        for resident in self._held.values():
            resident.close()
        self._held.clear()
        if self._task is not None:
            self._task.cancel()

    def _on_closed(self, key: int) -> None:
        resident = self._held.pop(key, None)
        if resident is None:
            return
        self._closed.append((resident.info, ref(resident.version)))
        if self._task is None:
            self._task = asyncio.ensure_future(self._give_back())

    async def _give_back(self) -> None:
        """Give back the memory of all that are closed by then."""
        while self._closed:
            await asyncio.sleep(_LINGER_S)
            closed, self._closed = self._closed, []
            await in_thread(partial(give_back, [version for _, version in closed]), "give memory back")
            for info, _ in closed:
                self._journal.version_let_go(info)
        self._task = None
