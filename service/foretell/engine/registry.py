"""The models that are served: loaded versions by name, number and alias."""

from __future__ import annotations

import asyncio
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import msgspec

from foretell.engine.attempt import Stop, start, timed_out
from foretell.engine.cpus import usable_cpus
from foretell.errors import ForetellError, NotFoundError, NotReadyError, StillLoadingError, StoreError
from foretell.excerpts import shortened
from foretell.store.catalog import scan
from foretell.store.model_config import ModelConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from foretell.engine.loader import Loader
    from foretell.engine.version import Version
    from foretell.store.catalog import CatalogModel

__all__ = ["Model", "Registry"]

_MAX_COMPARED: Final = 300
_MAX_NAME: Final = 64

S = TypeVar("S")
"""What a loaded version is made into by whoever serves it."""


class Model(msgspec.Struct, Generic[S]):
    """One model of the registry.

    Attributes:
        name: Its name.
        config: What the team decided about it.
        versions: The versions that serve, by number.
        failures: Why each of the others does not.
        error: Why callers who name no version get no answer; None if nothing is wrong.
        default: What answers when a caller names no version; None while nothing can.
    """

    name: str
    config: ModelConfig
    versions: dict[int, S]
    failures: dict[int, str]
    error: str | None
    default: S | None

    @property
    def ready(self) -> bool:
        """Whether callers who name no version get an answer."""
        return self.default is not None

    def version(self, number: int) -> S:
        """What serves a version.

        Raises:
            NotFoundError: The model has no such version.
            NotReadyError: The version failed to load.
        """
        served = self.versions.get(number)
        if served is not None:
            return served
        if number in self.failures:
            raise NotReadyError(
                f"version {number} of {self.name!r} failed to load; see GET /v1/models/{self.name}"
            )
        known = ", ".join(map(str, sorted(self.versions | dict.fromkeys(self.failures)))) or "none"
        raise NotFoundError(f"model {self.name!r} has no version {shortened(str(number))}; it has: {known}")

    def alias(self, alias: str) -> S:
        """What serves the version that an alias points at.

        Raises:
            NotFoundError: The model has no such alias, or it points at a version that does not exist.
            NotReadyError: The version failed to load, or the model's aliases cannot be read.
        """
        number = self.config.aliases.get(alias)
        if number is None and self.error is not None and not self.versions:
            raise NotReadyError(f"model {self.name!r} cannot serve; see GET /v1/models/{self.name}")
        if number is None:
            known = ", ".join(sorted(self.config.aliases)) or "none"
            raise NotFoundError(f"model {self.name!r} has no alias {shortened(alias)!r}; it has: {known}")
        if number not in self.versions and number not in self.failures:
            known = ", ".join(map(str, sorted({*self.versions, *self.failures}))) or "none"
            raise NotFoundError(
                f"the alias {alias!r} of {self.name!r} points at version {number}, which does not exist; it has: {known}"
            )
        return self.version(number)

    @property
    def dangling(self) -> dict[str, int]:
        """The aliases that point at a version that does not serve, and that version."""
        return {
            alias: number
            for alias, number in sorted(self.config.aliases.items())
            if number not in self.versions
        }


class Registry(Generic[S]):
    """The models of one store, loaded.

    Args:
        store: The store's folder.
        loader: How versions are loaded.
        max_rows: The greatest number of rows in one request, where model.toml does not say.
        serve: Makes a loaded version into what serves it; called once for each.

    Attributes:
        models: The models that are enabled, by name. Replaced, never changed in place.
        error: Why the store could not be read; None if it could.
        loading: Whether the first load is still going on.
    """

    def __init__(self, store: Path, loader: Loader, *, max_rows: int, serve: Callable[[Version], S]) -> None:
        self.models: dict[str, Model[S]] = {}
        self.error: str | None = None
        self.loading = True
        self._store = store
        self._loader = loader
        self._max_rows = max_rows
        self._serve = serve
        self._loaded: list[Version] = []
        self._disabled: frozenset[str] = frozenset()

    @property
    def ready(self) -> bool:
        """Whether every enabled model is loaded and warmed up, and there is at least one."""
        return not self.loading and bool(self.models) and all(model.ready for model in self.models.values())

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

    def default(self, name: str) -> S:
        """What answers for a model when the caller names no version.

        Raises:
            NotFoundError: There is no such model.
            NotReadyError: None of its versions can answer.
        """
        model = self.model(name)
        if model.default is None:
            raise NotReadyError(f"model {name!r} has no version that can answer; see GET /v1/models/{name}")
        return model.default

    async def load(
        self,
        only: str | None = None,
        *,
        on_found: Callable[[int], None] = lambda _: None,
        on_loaded: Callable[[Model[S]], None] = lambda _: None,
    ) -> None:
        """Load every enabled model of the store, or only one; failures are kept, not raised.

        Versions load in daemon threads, as many at a time as there are usable CPUs. One that takes too long has failed:
        it gives up its place, and keeps neither the others nor the end of the process waiting.

        Args:
            only: The model to load; all if None.
            on_found: Is told how many models there are to load, before the first is.
            on_loaded: Is told of each model when nothing of it is left to load.
        """
        self.error = None
        try:
            found = await asyncio.to_thread(scan, self._store)
        except StoreError as error:
            self.error = str(error)
            found = {}
        chosen = [entry for name, entry in found.items() if only in {None, name}]
        self._disabled = frozenset(entry.name for entry in chosen if not _enabled(entry))
        enabled = [entry for entry in chosen if _enabled(entry)]
        on_found(len(enabled))
        places = asyncio.Semaphore(usable_cpus())

        async def load_model(entry: CatalogModel) -> None:
            model = await self._load_model(entry, places)
            models = {**self.models, entry.name: model}
            self.models = {name: models[name] for name in sorted(models)}
            on_loaded(model)

        async with asyncio.TaskGroup() as group:
            for entry in enabled:
                group.create_task(load_model(entry))
        self.loading = False

    def close(self) -> None:
        """Let go of every version."""
        while self._loaded:
            self._loaded.pop().close()

    async def _load_model(self, entry: CatalogModel, places: asyncio.Semaphore) -> Model[S]:
        config = entry.config or ModelConfig()
        versions: dict[int, S] = {}
        failures: dict[int, str] = {} if entry.error is None else dict.fromkeys(entry.versions, entry.error)
        if entry.config is not None:
            loads = [self._try_version(entry, config, number, places) for number in entry.versions]
            for number, loaded in zip(entry.versions, await asyncio.gather(*loads), strict=True):
                if isinstance(loaded, str):
                    failures[number] = loaded
                else:
                    version, versions[number] = loaded
                    self._loaded.append(version)
        reason = entry.error or (None if entry.versions else "it has no versions")
        model = Model(entry.name, config, versions, failures, reason, None)
        model.default = _default(model)
        return model

    async def _try_version(
        self, entry: CatalogModel, config: ModelConfig, number: int, places: asyncio.Semaphore
    ) -> tuple[Version, S] | str:
        """A version and what serves it, or the reason why it does not."""
        stop = Stop()

        def load() -> tuple[Version, S]:
            max_rows = config.limits.max_rows or self._max_rows
            folder = entry.versions[number]
            version = self._loader.load(
                entry.name, number, folder, max_rows=max_rows, warm_up=config.warm_up, stop=stop
            )
            return version, self._serve(version)

        async with places:
            future = asyncio.wrap_future(start(load, f"load {entry.name}/{number}"))
            try:
                done, _ = await asyncio.wait({future}, timeout=self._loader.timeout_s)
                return future.result() if done else timed_out(self._loader.timeout_s)
            except ForetellError as error:
                return str(error)
            except Exception as error:  # noqa: BLE001 - whatever a foreign file does to its loading, it harms no other
                return f"{type(error).__name__}: {error}"
            finally:
                future.cancel()
                stop.ask()


def _enabled(entry: CatalogModel) -> bool:
    return entry.config is None or entry.config.enabled


def _default(model: Model[S]) -> S | None:
    """What `default` of model.toml names; without it, the highest version that serves."""
    choice = model.config.default
    if choice is None:
        if model.failures and not model.versions and model.error is None:
            model.error = "none of its versions can serve; each has its reason"
        return model.versions[max(model.versions)] if model.versions else None
    number = model.config.aliases[choice] if isinstance(choice, str) else choice
    if number not in model.versions:
        model.error = f"its default, version {number}, " + (
            "failed to load" if number in model.failures else "is absent"
        )
    return model.versions.get(number)
