"""A version on its way in: left alone until its files hold still, then loaded and warmed up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Literal, TypeVar

import msgspec

from foretell.engine.attempt import Stop, in_thread, start, timed_out
from foretell.engine.resident import Basis
from foretell.engine.stand_in import StandIn
from foretell.engine.version import Version
from foretell.errors import ForetellError, StoreError
from foretell.store.stamp import Stamp, is_whole, stamp_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from foretell.engine.loader import Loader
    from foretell.store.model_config import ModelConfig

__all__ = ["Arrival", "Outcome", "Refusal", "Retry"]

T = TypeVar("T")

_SETTLE_S: Final = 1.0
"""How long the files of a version must hold still before it is loaded, unless its manifest shows that all are there.
A copy over a slow line pauses for less."""


Retry = Literal["any change", "any look"]
"""When a version that was refused is tried again though neither its files nor its configuration have changed."""


class Refusal(msgspec.Struct, frozen=True):
    """Why a version does not serve.

    Attributes:
        reason: Why.
        basis: What it was tried with: it is tried again when that has changed.
        retry: When else: after any change of the store, since it did not go together with other models; or at each
            look, since something could not be read.
        stand_in: What can stand in its place, as far as its own manifest tells what it takes.
        replaceable: Whether anything may stand in its place at all.
    """

    reason: str
    basis: Basis
    retry: Retry | None = None
    stand_in: StandIn | None = None
    replaceable: bool = True


Outcome = tuple[Version, Basis] | Refusal
"""A loaded version and what it was loaded from, or why there is none."""


class _Trial(msgspec.Struct, frozen=True):
    """A version that was loaded, or what went wrong, and its files before and after."""

    result: Version | Exception
    before: Stamp
    after: Stamp


class Arrival:
    """A version on its way in.

    Args:
        name: The model's name.
        number: The version's number.
        folder: The version's folder.
        config: What model.toml says.
        loader: How versions are loaded.
        places: How many may be loaded at the same time.
        patient: Whether somebody may still be copying files: the first load of a store waits for nobody.
        on_end: Is called with the outcome, unless the arrival was cancelled.

    Attributes:
        task: Ends when it has arrived, or is refused.
        terms: What of model.toml it is loaded by.
    """

    def __init__(
        self,
        name: str,
        number: int,
        folder: Path,
        config: ModelConfig,
        *,
        loader: Loader,
        places: asyncio.Semaphore,
        patient: bool,
        on_end: Callable[[Arrival, Outcome], None],
    ) -> None:
        self.name = name
        self.number = number
        self.terms = Basis.of((), config).terms
        self._folder = folder
        self._config = config
        self._loader = loader
        self._places = places
        self._patient = patient
        self._on_end = on_end
        self._stop = Stop()
        self.task = asyncio.ensure_future(self._run())

    def cancel(self) -> None:
        """Give it up: nobody wants it any longer."""
        self._stop.ask()
        self.task.cancel()

    async def _run(self) -> None:
        while True:
            if self._patient:
                await self._hold_still()
            outcome, still = await self._try()
            if still:
                break
            if not isinstance(outcome, Refusal):
                outcome[0].close()
            self._patient = True
        self._on_end(self, outcome)

    async def _hold_still(self) -> None:
        """Wait until nobody copies files any longer."""
        before = None
        while True:
            stamp = await self._look(stamp_of)
            if stamp == before or await self._look(is_whole):
                return
            before = stamp
            await asyncio.sleep(_SETTLE_S)

    async def _try(self) -> tuple[Outcome, bool]:
        """Load it once; also whether its files have held still meanwhile."""
        stop, config = self._stop, self._config

        def load() -> Version:
            return self._loader.load(self.name, self.number, self._folder, config, stop=stop)

        def trial() -> _Trial:
            before = stamp_of(self._folder)
            try:
                result: Version | Exception = load()
            except Exception as error:  # noqa: BLE001 - whatever a foreign file does to its loading, it harms no other
                result = error
            return _Trial(result, before, stamp_of(self._folder))

        async with self._places:
            future = asyncio.wrap_future(start(trial, f"load {self.name}/{self.number}"))
            try:
                done, _ = await asyncio.wait({future}, timeout=self._loader.timeout_s)
                if not done:
                    basis = Basis.of(await self._look(stamp_of), config)
                    return await self._refusal(timed_out(self._loader.timeout_s), basis), True
                made = future.result()
            finally:
                future.cancel()
                stop.ask()
                self._stop = Stop()
        return await self._judge(made, Basis.of(made.before, config)), made.before == made.after

    async def _judge(self, made: _Trial, basis: Basis) -> Outcome:
        """What a trial came to."""
        result = made.result
        if isinstance(result, Version):
            return result, basis
        unread = isinstance(result, StoreError) and isinstance(result.__cause__, OSError)
        reason = str(result) if isinstance(result, ForetellError) else f"{type(result).__name__}: {result}"
        return await self._refusal(reason, basis, "any look" if unread else None)

    async def _refusal(self, reason: str, basis: Basis, retry: Retry | None = None) -> Refusal:
        def make(folder: Path) -> StandIn | None:
            return self._loader.stand_in(self.name, self.number, folder, self._config, like=None)

        stand_in = await self._look(make)
        return Refusal(reason, basis, retry, stand_in)

    async def _look(self, at: Callable[[Path], T]) -> T:
        """What something finds in the version's folder; the file system may take its time."""
        return await in_thread(lambda: at(self._folder), f"look at {self.name}/{self.number}")
