"""Questions that are being answered: who asks the same meanwhile, waits for that answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from foretell.errors import RunError

if TYPE_CHECKING:
    from foretell.plugin import PredictResponse
    from foretell_plugins.cache.memory import MemoryKey

__all__ = ["Flight", "Flights"]


class Flight:
    """One question that is being answered."""

    __slots__ = ("_landing",)

    def __init__(self) -> None:
        self._landing: asyncio.Future[PredictResponse | BaseException | None] | None = None

    async def wait(self) -> PredictResponse | None:
        """Wait for the answer; None if whoever asked first did not get one and the question must be asked again.

        Raises:
            RunError: The model failed, as it would again.
        """
        if self._landing is None:
            self._landing = asyncio.get_running_loop().create_future()
        # Shielded: one who stops waiting must not end it for the others.
        outcome = await asyncio.shield(self._landing)
        if isinstance(outcome, RunError):
            raise RunError(str(outcome)) from outcome
        return None if isinstance(outcome, BaseException) else outcome

    def land(self, outcome: PredictResponse | BaseException | None) -> None:
        """Tell those who wait, if any; None if there is nothing to tell."""
        if self._landing is not None and not self._landing.done():
            self._landing.set_result(outcome)


class Flights:
    """The questions that are being answered, by key."""

    def __init__(self) -> None:
        self._flights: dict[MemoryKey, Flight] = {}

    def find(self, key: MemoryKey) -> Flight | None:
        """The flight of an equal question; None if there is none."""
        return self._flights.get(key)

    def start(self, key: MemoryKey) -> Flight:
        """Begin to answer a question that nobody is answering."""
        flight = self._flights[key] = Flight()
        return flight

    def end(self, key: MemoryKey, outcome: PredictResponse | BaseException | None) -> None:
        """The question has been answered, or could not be."""
        self._flights.pop(key).land(outcome)
