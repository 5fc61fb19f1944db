"""The models that are served: loaded versions by name, number and alias, in line with their store."""

from __future__ import annotations

import asyncio
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from foretell.engine.attempt import start
from foretell.engine.journal import Journal
from foretell.engine.serving import Serving
from foretell.engine.shelf import Shelf
from foretell.engine.shelves import Shelves
from foretell.engine.use import Use
from foretell.errors import AsleepError, NotFoundError, NotReadyError, StillLoadingError, StoreError
from foretell.excerpts import shortened
from foretell.store.snapshot import take_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from foretell.engine.arrival import Retry
    from foretell.engine.loader import Loader
    from foretell.engine.model import Model
    from foretell.engine.stand_in import StandIn
    from foretell.engine.version import Version
    from foretell.prediction import ModelInfo
    from foretell.store.catalog import CatalogModel
    from foretell.store.model_config import ModelConfig
    from foretell.store.snapshot import Snapshot
    from foretell.store.stamp import Stamp

__all__ = ["Registry"]

_MAX_COMPARED: Final = 300
_MAX_NAME: Final = 64

_LAST_RUNS_S: Final = 2.0
"""How long the end of a registry waits for runs that were given up, seconds: they end between two operators."""

_PATIENCE_S: Final = 30.0
"""How long a store may take to be looked at before that is reported; a network file system may hang for hours."""

S = TypeVar("S")
"""What a loaded version is made into by whoever serves it."""


class Registry(Generic[S]):
    """The models of one store, loaded.

    Args:
        store: The store's folder.
        loader: How versions are loaded.
        serve: Makes a loaded version into what serves it; called once for each.
        stand_in: The same for what stands where a version failed to load; None if nothing can answer for it.
        review: Is handed what was loaded, after each load, and says why a version among it must not serve, by model
            name and number.
        use_of: Who uses what serves a version: it is not closed before they have finished.
        lazy: Whether a model is loaded when it is first asked.
        max_loaded_models: How many models may be in memory at once; None for any number. Needs `lazy`.
        may_be_empty: Whether a server without models is ready.
        journal: Is told what becomes of models and versions.

    Attributes:
        models: The models that are enabled, by name. Replaced, never changed in place.
        error: Why the store could not be read when it was last looked at; None if it could. What was loaded before
            serves on.
        loading: Whether the first load is still going on.
        journal: What is told what becomes of models and versions.
    """

    def __init__(
        self,
        store: Path,
        loader: Loader,
        *,
        serve: Callable[[Version, ModelConfig], S],
        stand_in: Callable[[StandIn, ModelConfig], S | None] = lambda _, __: None,
        review: Callable[[Sequence[ModelInfo]], Mapping[tuple[str, int], str]] = lambda _: {},
        use_of: Callable[[S], Use] = lambda _: Use(),
        lazy: bool = False,
        max_loaded_models: int | None = None,
        may_be_empty: bool = False,
        journal: Journal | None = None,
    ) -> None:
        self.models: dict[str, Model[S]] = {}
        self.error: str | None = None
        self.loading = True
        self.journal = Journal() if journal is None else journal
        self._store = store
        self._lazy = lazy
        self._may_be_empty = may_be_empty
        self._pool = loader.pool
        self._shelves: Shelves[S] = Shelves(
            loader,
            Serving(loader, serve=serve, stand_in=stand_in, review=review, use_of=use_of),
            max_loaded=max_loaded_models,
            show=self._show,
            journal=self.journal,
        )
        self._snapshot: Snapshot | None = None
        self._disabled: frozenset[str] = frozenset()
        self._looking = asyncio.Lock()

    @property
    def ready(self) -> bool:
        """Whether every enabled model is loaded and warmed up, and there is one if there has to be."""
        if self.loading or not (self.models or self._may_be_empty):
            return False
        return all(model.ready for model in self.models.values())

    def model(self, name: str) -> Model[S]:
        """A model by its name.

        Raises:
            NotFoundError: There is none, or it is not enabled.
            NotReadyError: The store is still being loaded, or could not be.
        """
        model = self.models.get(name)
        if model is not None:
            return model
        if self.loading:
            raise StillLoadingError("the models are still being loaded")
        if self.error is not None:
            raise NotReadyError("the model store cannot be read; see GET /health")
        if name in self.arriving:
            raise StillLoadingError(f"model {name!r} is still being loaded")
        if name in self._disabled:
            raise NotFoundError(f"model {name!r} is disabled: its model.toml says `enabled = false`")
        raise NotFoundError(
            f"there is no model {shortened(name)!r}{self.hint(name)}; GET /v1/models lists those that are served"
        )

    def hint(self, name: str) -> str:
        """What a misspelt name may have been meant to be; empty where nothing is close, or comparing costs too much."""
        if len(name) > _MAX_NAME or len(self.models) > _MAX_COMPARED:
            return ""
        close = get_close_matches(name, self.models, n=1)
        return f"; did you mean {close[0]!r}?" if close else ""

    @property
    def disabled(self) -> dict[str, list[int]]:
        """The models that the store holds and that are not to be served, and their versions."""
        found = {} if self._snapshot is None else self._snapshot.models
        return {name: list(found[name].versions) for name in sorted(self._disabled & found.keys())}

    @property
    def arriving(self) -> dict[str, list[int]]:
        """The models that are to be served and of which nothing is loaded yet, and their versions."""
        found = {} if self._snapshot is None else self._snapshot.models
        names = found.keys() - self._disabled - self.models.keys()
        return {name: list(found[name].versions) for name in sorted(names) if self._shelves.get(name)}

    def folder(self, name: str) -> Path:
        """The folder of a model that the store holds, whether it is served or not.

        Raises:
            NotFoundError: It holds none of that name.
        """
        if name not in self._disabled:
            self.model(name)
        return self.place(name)

    def place(self, name: str) -> Path:
        """Where in the store a model of some name is, or would be."""
        return self._store / name

    def default(self, name: str) -> S:
        """What answers for a model when the caller names no version.

        Raises:
            NotFoundError: There is no such model.
            NotReadyError: None of its versions can answer, and nothing stands in their place.
            AsleepError: It is loaded when somebody asks; see `wake`.
        """
        model = self.model(name)
        default = model.default or model.default_stand_in
        if default is None:
            if model.asleep:
                raise AsleepError(name)
            raise NotReadyError(f"model {name!r} has no version that can answer; see GET /v1/models/{name}")
        return default

    async def load(
        self,
        only: str | None = None,
        *,
        on_found: Callable[[int], None] = lambda _: None,
        on_loaded: Callable[[Model[S]], None] = lambda _: None,
    ) -> None:
        """Load every enabled model of the store anew, or only one; failures are kept, not raised.

        Versions load in daemon threads, as many at a time as there are usable CPUs. One that takes too long has failed:
        it gives up its place, and keeps neither the others nor the end of the process waiting.

        Args:
            only: The model to load; all if None.
            on_found: Is told how many models there are to load, before the first is.
            on_loaded: Is told of each model when nothing of it is left to load.
        """
        snapshot = None
        self.error = None
        try:
            snapshot = await self._look()
        except StoreError as error:
            self.error = str(error)
        found = {} if snapshot is None else snapshot.models
        chosen = [entry for name, entry in found.items() if only in {None, name}]
        enabled = [entry for entry in chosen if self._enabled(entry)]
        self._disabled = frozenset(entry.name for entry in chosen if not self._enabled(entry))
        self._snapshot = snapshot
        on_found(len(enabled))
        self._shelves.open()

        async def load_model(shelf: Shelf[S]) -> None:
            self._shelves.bring(shelf, patient=False)
            await self._shelves.wait([shelf])
            if shelf.model is not None:
                on_loaded(shelf.model)

        async with asyncio.TaskGroup() as group:
            for entry in enabled:
                old = self._shelves.get(entry.name)
                infos = None if old is None else old.infos
                shelf: Shelf[S] = Shelf(entry, _stamps(snapshot, entry), asleep=self._lazy, infos=infos)
                self._shelves.put(shelf)
                group.create_task(load_model(shelf))
        for model in self._shelves.review_all():
            on_loaded(model)
        self.loading = False

    async def look(self) -> None:
        """Look at the store, and begin what follows from it; what is loaded serves on until something is in its place.

        A store that cannot be read, or is another and empty, changes nothing: it is reported in `error`.
        """
        async with self._looking:  # what was seen later is not followed by what was seen before
            await self._follow()

    async def _follow(self) -> None:
        try:
            snapshot = await self._look()
            _check_not_vanished(self._snapshot, snapshot, self._store)
        except StoreError as error:
            self._unreadable(str(error))
            return
        if self.error is not None:
            self.error = None
            self.journal.store_readable()
        retry: tuple[Retry, ...] = ("any look",)
        if snapshot != self._snapshot:
            retry = ("any look", "any change")
        self._snapshot = snapshot
        enabled = {name: entry for name, entry in snapshot.models.items() if self._enabled(entry)}
        self._disabled = frozenset(snapshot.models.keys() - enabled.keys())
        for shelf in self._shelves.all:
            if shelf.name not in enabled:
                self._shelves.remove(shelf.name)
        for name, entry in enabled.items():
            shelf = self._shelves.get(name) or Shelf[S](entry, {}, asleep=self._lazy)
            shelf.follow(entry, _stamps(snapshot, entry))
            self._shelves.put(shelf)
            self._shelves.bring(shelf, retry=retry)

    async def refresh(self) -> None:
        """Bring what is served in line with the store, and wait until that is done."""
        await self.look()
        await self._shelves.wait(self._shelves.all)

    async def wake(self, name: str, *, timeout_s: float | None) -> None:
        """Load a model that is asleep, once for all who wait for it.

        Args:
            name: The model's name.
            timeout_s: How long the caller waits at most, seconds; None for as long as it takes.

        Raises:
            DeadlineError: It takes longer than the caller waits; it is loaded all the same.
        """
        await self._shelves.wake(name, timeout_s=timeout_s)

    def close(self) -> None:
        """Let go of every version, and let the threads end when nothing is left to run."""
        self._shelves.close()
        self._pool.close(waits_s=_LAST_RUNS_S)

    def _show(self, name: str, model: Model[S] | None) -> None:
        """Let callers see a model from now on."""
        models = {**self.models}
        if model is None:
            models.pop(name, None)
        else:
            models[name] = model
            if name not in self.models:  # of a thousand models that wake one after another, none is new
                models = {name: models[name] for name in sorted(models)}
        self.models = models

    def _enabled(self, entry: CatalogModel) -> bool:
        """Whether a model is to be served; while its model.toml cannot be read, that stays as it was."""
        return entry.name not in self._disabled if entry.config is None else entry.config.enabled

    async def _look(self) -> Snapshot:
        """Look at the store, for as long as that may take.

        Raises:
            StoreError: It cannot be read.
        """
        future = asyncio.wrap_future(start(partial(take_snapshot, self._store), "look at the store"))
        done, _ = await asyncio.wait({future}, timeout=_PATIENCE_S)
        if not done:
            self._unreadable(f"the model store {str(self._store)!r} has not answered for {_PATIENCE_S:g} s")
        return await future

    def _unreadable(self, reason: str) -> None:
        if self.error != reason:
            self.error = reason
            self.journal.store_unreadable(reason)


def _stamps(snapshot: Snapshot | None, entry: CatalogModel) -> dict[int, Stamp]:
    return (
        {} if snapshot is None else {number: snapshot.stamps[entry.name, number] for number in entry.versions}
    )


def _check_not_vanished(before: Snapshot | None, now: Snapshot, store: Path) -> None:
    """Take an empty folder that is not the one of before for a store that is not mounted now.

    Raises:
        StoreError: It is.
    """
    if before is not None and before.models and not now.models and before.identity != now.identity:
        raise StoreError(
            f"the model store {str(store)!r} is another folder than before, and empty: what was loaded serves on"
        )
