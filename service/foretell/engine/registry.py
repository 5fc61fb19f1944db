"""The models that are served: loaded versions by name, number and alias."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from foretell.errors import ForetellError, NotFoundError, NotReadyError, StoreError
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

S = TypeVar("S")
"""What a loaded version is made into by whoever serves it."""


class Model(msgspec.Struct, Generic[S]):
    """One model of the registry.

    Attributes:
        name: Its name.
        config: What the team decided about it.
        versions: The versions that serve, by number.
        failures: Why each of the others does not.
        error: Why none does although the versions are not to blame; None if nothing is wrong.
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
        return self.version(number)


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
            raise NotReadyError("the models are still being loaded")
        if self.error is not None:
            raise NotReadyError("the model store cannot be read; see GET /health")
        raise NotFoundError(
            f"there is no model {shortened(name)!r}; GET /v1/models lists those that are served"
        )

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

    async def load(self, only: str | None = None) -> None:
        """Load every enabled model of the store, or only one, in a thread; failures are kept, not raised."""
        self.error = None
        try:
            found = await asyncio.to_thread(scan, self._store)
        except StoreError as error:
            self.error = str(error)
            found = {}
        for name, entry in found.items():
            if only in {None, name} and (entry.config is None or entry.config.enabled):
                self.models = {**self.models, name: await asyncio.to_thread(self._load_model, entry)}
        self.loading = False

    def close(self) -> None:
        """Let go of every version."""
        while self._loaded:
            self._loaded.pop().close()

    def _load_model(self, entry: CatalogModel) -> Model[S]:
        config = entry.config or ModelConfig()
        max_rows = config.limits.max_rows or self._max_rows
        versions: dict[int, S] = {}
        failures: dict[int, str] = {} if entry.error is None else dict.fromkeys(entry.versions, entry.error)
        if entry.config is not None:
            for number, folder in entry.versions.items():
                try:
                    version = self._loader.load(entry.name, number, folder, max_rows=max_rows)
                    versions[number] = self._serve(version)
                except ForetellError as error:
                    failures[number] = str(error)
                except Exception as error:  # noqa: BLE001 - whatever a foreign file does to its loading, it harms no other
                    failures[number] = f"{type(error).__name__}: {error}"
                else:
                    self._loaded.append(version)
        reason = entry.error or (None if entry.versions else "it has no versions")
        model = Model(entry.name, config, versions, failures, reason, None)
        model.default = _default(model)
        return model


def _default(model: Model[S]) -> S | None:
    """What `default` of model.toml names; without it, the highest version that serves."""
    choice = model.config.default
    if choice is None:
        return model.versions[max(model.versions)] if model.versions else None
    number = model.config.aliases[choice] if isinstance(choice, str) else choice
    if number not in model.versions:
        model.error = f"its default, version {number}, " + (
            "failed to load" if number in model.failures else "is absent"
        )
    return model.versions.get(number)
