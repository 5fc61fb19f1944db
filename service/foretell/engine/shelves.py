"""All shelves of a registry: versions are brought in, shown to callers, put to sleep, woken and let go."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from foretell.engine.arrival import Arrival, Refusal
from foretell.engine.cpus import usable_cpus
from foretell.engine.releases import Releases
from foretell.errors import DeadlineError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from foretell.engine.arrival import Outcome, Retry
    from foretell.engine.journal import Journal
    from foretell.engine.loader import Loader
    from foretell.engine.model import Model
    from foretell.engine.resident import Basis, Resident
    from foretell.engine.serving import Serving
    from foretell.engine.shelf import Shelf
    from foretell.engine.version import Version

__all__ = ["Shelves"]

S = TypeVar("S")
"""What a loaded version is made into by whoever serves it."""


class Shelves(Generic[S]):
    """All shelves of a registry.

    Args:
        loader: How versions are loaded.
        serving: How they come to serve.
        max_loaded: How many models may be in memory at once; None for any number.
        show: Lets callers see a model from now on, in one step; None takes it away.
        journal: Is told what becomes of models and versions.

    Attributes:
        opening: Whether the store is being loaded as a whole: plugins look at its versions when all are there.
    """

    def __init__(
        self,
        loader: Loader,
        serving: Serving[S],
        *,
        max_loaded: int | None,
        show: Callable[[str, Model[S] | None], None],
        journal: Journal,
    ) -> None:
        self.opening = False
        self._shelves: dict[str, Shelf[S]] = {}
        self._loader = loader
        self._serving = serving
        self._max_loaded = max_loaded
        self._show = show
        self._journal = journal
        self._releases = Releases(journal)
        self._places = asyncio.Semaphore(usable_cpus())

    @property
    def all(self) -> list[Shelf[S]]:
        """Every shelf, as it stands now."""
        return list(self._shelves.values())

    def get(self, name: str) -> Shelf[S] | None:
        """The shelf of a model."""
        return self._shelves.get(name)

    def open(self) -> None:
        """Begin to load the store as a whole."""
        self.opening = True
        self._places = asyncio.Semaphore(usable_cpus())

    def review_all(self) -> list[Model[S]]:
        """Let plugins look at everything that was loaded, now that all is there; returns the models that changed by it."""
        self.opening = False
        fresh = [resident for shelf in self.all for resident in shelf.unreviewed()]
        refused = self._serving.review(fresh)
        for (name, number), refusal in refused.items():
            self._refuse(self._shelves[name], number, refusal)
        changed = [self._shelves[name] for name in {name for name, _ in refused}]
        for shelf in changed:
            self._present(shelf)
        return [shelf.model for shelf in changed if shelf.model is not None]

    def put(self, shelf: Shelf[S]) -> None:
        """Add a shelf. What the one held that was there under its name is let go when this one is shown."""
        old = self._shelves.get(shelf.name)
        if old is not None and old is not shelf:
            shelf.replaced = [*old.replaced, *self._cleared(old)]
        self._shelves[shelf.name] = shelf

    def remove(self, name: str) -> None:
        """Take a model away."""
        shelf = self._shelves.pop(name)
        self._show(name, None)
        self._releases.let_go([*shelf.replaced, *self._cleared(shelf)])
        if shelf.model is not None:
            self._journal.model_removed(name)

    def bring(self, shelf: Shelf[S], *, retry: Collection[Retry] = (), patient: bool = True) -> None:
        """Bring a shelf in line with what the store says of it; what needs time begins.

        Args:
            shelf: The shelf.
            retry: Which versions that were refused are tried again, beside those that have changed.
            patient: Whether somebody may still be copying files.
        """
        for arrival in shelf.unwanted_arrivals():
            arrival.cancel()
            del shelf.arrivals[arrival.number]
        config = shelf.config
        if config is not None and not shelf.asleep:
            for number in shelf.missing(retry):
                shelf.arrivals[number] = Arrival(
                    shelf.name,
                    number,
                    shelf.entry.versions[number],
                    config,
                    loader=self._loader,
                    places=self._places,
                    patient=patient,
                    on_end=partial(self._ended, shelf),
                )
            for resident in shelf.misfits():
                number = resident.info.version
                refusal = self._serving.retake(resident, shelf.basis(number), config)
                if refusal is None:
                    shelf.refusals.pop(number, None)
                else:
                    self._note(shelf, number, refusal)
        self._present(shelf)

    async def wait(self, shelves: Collection[Shelf[S]], *, timeout_s: float | None = None) -> bool:
        """Wait until nothing is on its way to some shelves; returns false if that takes too long."""
        ends_s = None if timeout_s is None else time.monotonic() + timeout_s
        while tasks := {arrival.task for shelf in shelves for arrival in shelf.arrivals.values()}:
            left_s = None if ends_s is None else max(ends_s - time.monotonic(), 0)
            done, _ = await asyncio.wait(tasks, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not task.cancelled():
                    task.result()
            if not done:
                return False
        return True

    async def wake(self, name: str, *, timeout_s: float | None) -> None:
        """Load a model that is asleep, once for all who wait for it.

        Args:
            name: The model's name.
            timeout_s: How long the caller waits at most, seconds; None for as long as it takes.

        Raises:
            DeadlineError: It takes longer than the caller waits; it is loaded all the same.
        """
        shelf = self._shelves.get(name)
        if shelf is None:
            return
        shelf.waiting += 1
        try:
            if shelf.asleep:
                self._make_room(1)
                shelf.asleep = False
                # Its files lay there when the store was last looked at; should they change meanwhile, it is tried again.
                self.bring(shelf, retry=("any change", "any look"), patient=False)
            if not await self.wait([shelf], timeout_s=timeout_s):
                raise DeadlineError(
                    f"model {name!r} was not loaded before the deadline (X-Request-Timeout, or else limits.deadline_s)"
                )
        finally:
            shelf.waiting -= 1
            # Later: the caller looks up first what it has waited for.
            asyncio.get_running_loop().call_soon(self._make_room)

    def close(self) -> None:
        """Let go of everything at once."""
        for shelf in self.all:
            for resident in [*shelf.replaced, *self._cleared(shelf)]:
                resident.close()
        self._releases.close()

    @staticmethod
    def _cleared(shelf: Shelf[S]) -> list[Resident[S]]:
        """Give up what is on its way to a shelf, and take out what is in memory."""
        for arrival in shelf.arrivals.values():
            arrival.cancel()
        shelf.arrivals.clear()
        gone = list(shelf.residents.values())
        shelf.residents.clear()
        return gone

    def _make_room(self, wanted: int = 0) -> None:
        """Put those models to sleep that were not asked for longest, until no more are in memory than may be.

        Args:
            wanted: For how many more there is to be room.
        """
        if self._max_loaded is None:
            return
        awake = [shelf for shelf in self.all if shelf.residents]
        spare = sorted((shelf for shelf in awake if not shelf.waiting), key=lambda shelf: shelf.asked_ns)
        for shelf in spare[: max(len(awake) + wanted - self._max_loaded, 0)]:
            for arrival in shelf.arrivals.values():
                arrival.cancel()
            shelf.arrivals.clear()
            shelf.asleep = True
            self._present(shelf)

    def _ended(self, shelf: Shelf[S], arrival: Arrival, outcome: Outcome) -> None:
        """A version has arrived, or was refused."""
        number = arrival.number
        del shelf.arrivals[number]
        # It has looked at the files later than the shelf has.
        shelf.stamps[number] = outcome.basis.stamp if isinstance(outcome, Refusal) else outcome[1].stamp
        if isinstance(outcome, Refusal):
            self._note(shelf, number, outcome)
        else:
            self._land(shelf, number, *outcome)
        self.bring(shelf)

    def _land(self, shelf: Shelf[S], number: int, version: Version, basis: Basis) -> None:
        config = shelf.config
        before = shelf.residents.get(number)
        if config is None:  # it was spoilt meanwhile; what is there serves on
            version.close()
        elif before is not None and before.is_like(version, basis):
            version.close()
            before.basis = msgspec.structs.replace(basis, plugins=before.basis.plugins)
            shelf.refusals.pop(number, None)
        else:
            taken = self._serving.take(version, basis, config)
            if isinstance(taken, Refusal):
                version.close()
                self._note(shelf, number, taken)
                return
            taken.ask(time.perf_counter_ns())
            taken.predecessor = before
            shelf.residents[number] = taken
            shelf.infos[number] = taken.info
            shelf.refusals.pop(number, None)

    def _present(self, shelf: Shelf[S]) -> None:
        """Let callers see a shelf as it is now. Between two states that both can be seen there is none that cannot."""
        if shelf.arrivals and (shelf.model is None or shelf.model.asleep):
            return  # at first it is seen with all that it has
        while True:
            built = shelf.build()
            fresh = shelf.unreviewed()
            if built == shelf.built and not fresh:
                return
            model = msgspec.structs.replace(built, failures=dict(built.failures), stand_ins={})
            self._serving.add_stand_ins(model, shelf)
            self._show(shelf.name, model)
            # No request comes in between: plugins see the models as they would be, and what they refuse is gone again.
            refused = {} if self.opening else self._serving.review(fresh)
            for (_, number), refusal in refused.items():
                self._refuse(shelf, number, refusal)
            if not refused:
                break
        before, shelf.model, shelf.built = shelf.model, model, built
        self._releases.let_go(shelf.surplus())
        if self.opening:
            return
        for resident in fresh:
            self._journal.version_loaded(resident.info)
        if before is None:
            self._journal.model_loaded(model)
        else:
            self._journal.model_changed(before, model)

    def _refuse(self, shelf: Shelf[S], number: int, refusal: Refusal) -> None:
        before = shelf.refusals.get(number)
        gone = shelf.refuse(number, refusal)
        if gone is not None:
            self._releases.let_go([gone])
        self._tell(shelf, number, refusal, before)

    def _note(self, shelf: Shelf[S], number: int, refusal: Refusal) -> None:
        before = shelf.refusals.get(number)
        shelf.refusals[number] = refusal
        self._tell(shelf, number, refusal, before)

    def _tell(self, shelf: Shelf[S], number: int, refusal: Refusal, before: Refusal | None) -> None:
        if not self.opening:
            self._journal.version_refused(
                shelf.name,
                number,
                refusal.reason,
                serves_on=number in shelf.residents,
                told=before is None or before.reason != refusal.reason,
            )
