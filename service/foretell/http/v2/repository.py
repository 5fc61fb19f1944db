"""The model repository extension: what the store holds, and which of it is served.

A model is loaded and unloaded by what its model.toml says, so that every process that follows the store agrees, and
a restart changes nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from foretell.errors import InvalidInputError, NotReadyError, Problem, StillLoadingError, StoreError
from foretell.excerpts import shortened
from foretell.store.decisions import set_enabled
from foretell.store.elsewhere import source_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foretell.engine.model import Absence, Model
    from foretell.engine.registry import Registry
    from foretell.protocols.endpoint import Endpoint

__all__ = ["Repository", "RepositoryEntry"]

State = Literal["READY", "LOADING", "UNAVAILABLE"]

_ABSENCES: Final[dict[Absence, str]] = {
    "loading": "it is being loaded",
    "policy": "`load` in model.toml leaves it out",
    "asleep": "it is loaded when somebody asks it",
}
_UNLOADED: Final = "unloaded"


class RepositoryEntry(msgspec.Struct, frozen=True):
    """One version that the store holds.

    Attributes:
        name: The model's name.
        version: The version's number.
        state: Whether it serves.
        reason: Why it does not.
    """

    name: str
    version: str
    state: State
    reason: str


class Repository:
    """The store, as callers with the admin key may see and change it.

    Args:
        registry: The models.
        alone: Whether no other process answers for the server, or all of them follow the store.
    """

    def __init__(self, registry: Registry[Endpoint], *, alone: bool) -> None:
        self._registry = registry
        self._alone = alone
        self._changing = asyncio.Lock()

    def index(self, *, ready: bool) -> list[RepositoryEntry]:
        """Every version that the store holds.

        Args:
            ready: Whether only those that serve are wanted.
        """
        entries = [entry for model in self._registry.models.values() for entry in _entries(model)]
        entries += [
            RepositoryEntry(name, str(number), "UNAVAILABLE", _UNLOADED)
            for name, numbers in self._registry.disabled.items()
            for number in numbers
        ]
        entries += [
            RepositoryEntry(name, str(number), "LOADING", _ABSENCES["loading"])
            for name, numbers in self._registry.arriving.items()
            for number in numbers
        ]
        entries.sort(key=lambda entry: (entry.name, int(entry.version)))
        return [entry for entry in entries if entry.state == "READY" or not ready]

    async def load(self, name: str, parameters: dict[str, Any]) -> None:
        """Have a model served, as the store has it now; its versions that failed are tried again.

        Args:
            name: The model's name.
            parameters: What the request says besides.

        Raises:
            InvalidInputError: It brings files or a configuration of its own.
            NotFoundError: The store holds no such model.
            NotReadyError: It cannot be loaded, or the other processes would not hear of it.
        """
        for parameter in parameters:
            message = (
                "the store alone says what is loaded: publish a version, or edit model.toml, and load it then"
            )
            raise InvalidInputError(Problem(f"$.parameters.{shortened(parameter)}", message))
        await self._change(name, enabled=True)
        model = self._registry.model(name)
        if model.asleep:
            await self._registry.wake(name, timeout_s=None)
            model = self._registry.model(name)
        if model.default is None:
            reasons = [model.error or "", *(f"version {at}: {why}" for at, why in model.failures.items())]
            raise NotReadyError(f"failed to load {name!r}: " + "; ".join(filter(None, reasons)))

    async def unload(self, name: str) -> None:
        """Have a model served no longer.

        Raises:
            NotFoundError: The store holds no such model.
            NotReadyError: The other processes would not hear of it, or the store cannot be changed.
        """
        await self._change(name, enabled=False)

    async def _change(self, name: str, *, enabled: bool) -> None:
        if self._registry.loading:
            raise StillLoadingError("the models are still being loaded")
        if not self._alone:
            raise NotReadyError(
                "store.follow is off, and the other workers would not hear of it: set it, or serve with one worker"
            )
        async with self._changing:
            await self._registry.refresh()  # it may have come just now, or another worker have changed it
            folder = self._registry.folder(name)
            if source_of(folder) is not None:
                raise InvalidInputError(
                    Problem("$", f"model {name!r} is hosted: DELETE /models/{name} unloads it")
                )
            try:
                await asyncio.to_thread(set_enabled, folder, enabled=enabled)
            except StoreError as error:
                raise NotReadyError(str(error)) from error
            await self._registry.refresh()


def _entries(model: Model[Endpoint]) -> Iterator[RepositoryEntry]:
    for number in model.numbers:
        state: State = "UNAVAILABLE"
        if number in model.versions:
            state, reason = "READY", ""
        elif number in model.failures:
            reason = model.failures[number]
        else:
            absence = model.unloaded[number]
            state = "LOADING" if absence == "loading" else state
            reason = _ABSENCES[absence]
        yield RepositoryEntry(model.name, str(number), state, reason)
