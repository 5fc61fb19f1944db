"""The models that are served: loaded versions by name, number and alias."""

from __future__ import annotations

import asyncio
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from foretell.engine.attempt import Stop, start, timed_out
from foretell.engine.cpus import usable_cpus
from foretell.engine.model import Model, choose_default, named_default, without
from foretell.errors import ForetellError, NotFoundError, NotReadyError, StillLoadingError, StoreError
from foretell.excerpts import shortened
from foretell.store.catalog import scan
from foretell.store.model_config import ModelConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from foretell.engine.loader import Loader
    from foretell.engine.stand_in import StandIn
    from foretell.engine.version import Version
    from foretell.prediction import ModelInfo
    from foretell.store.catalog import CatalogModel

__all__ = ["Registry"]

_MAX_COMPARED: Final = 300
_MAX_NAME: Final = 64

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

    Attributes:
        models: The models that are enabled, by name. Replaced, never changed in place.
        error: Why the store could not be read; None if it could.
        loading: Whether the first load is still going on.
    """

    def __init__(
        self,
        store: Path,
        loader: Loader,
        *,
        serve: Callable[[Version, ModelConfig], S],
        stand_in: Callable[[StandIn, ModelConfig], S | None] = lambda _, __: None,
        review: Callable[[Sequence[ModelInfo]], Mapping[tuple[str, int], str]] = lambda _: {},
    ) -> None:
        self.models: dict[str, Model[S]] = {}
        self.error: str | None = None
        self.loading = True
        self._store = store
        self._loader = loader
        self._serve = serve
        self._stand_in = stand_in
        self._review = review
        self._infos: dict[tuple[str, int], ModelInfo] = {}
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
            NotReadyError: None of its versions can answer, and nothing stands in their place.
        """
        model = self.model(name)
        default = model.default or model.default_stand_in
        if default is None:
            raise NotReadyError(f"model {name!r} has no version that can answer; see GET /v1/models/{name}")
        return default

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
        loaded: list[ModelInfo] = []

        async def load_model(entry: CatalogModel) -> None:
            model, infos = await self._load_model(entry, places)
            models = {**self.models, entry.name: model}
            self.models = {name: models[name] for name in sorted(models)}
            loaded.extend(infos)
            on_loaded(model)

        async with asyncio.TaskGroup() as group:
            for entry in enabled:
                group.create_task(load_model(entry))
        for (name, number), reason in self._review(loaded).items():
            changed = without(self.models[name], number, reason)
            self.models = {**self.models, name: changed}
            on_loaded(changed)
        self.loading = False

    def close(self) -> None:
        """Let the threads end when nothing is left to run."""
        self._loader.pool.close()

    async def _load_model(
        self, entry: CatalogModel, places: asyncio.Semaphore
    ) -> tuple[Model[S], list[ModelInfo]]:
        config = entry.config or ModelConfig()
        versions: dict[int, S] = {}
        infos: list[ModelInfo] = []
        failures: dict[int, str] = {} if entry.error is None else dict.fromkeys(entry.versions, entry.error)
        if entry.config is not None:
            loads = [self._try_version(entry, config, number, places) for number in entry.versions]
            for number, loaded in zip(entry.versions, await asyncio.gather(*loads), strict=True):
                if isinstance(loaded, str):
                    failures[number] = loaded
                else:
                    version, versions[number] = loaded
                    infos.append(version.info)
        self._infos |= {(info.name, info.version): info for info in infos}
        reason = entry.error or (None if entry.versions else "it has no versions")
        model = Model(entry.name, config, versions, failures, reason, None)
        model.default = choose_default(model)
        if entry.config is not None:
            await self._add_stand_ins(model, entry, infos[-1] if infos else None)
        return model, infos

    async def _try_version(
        self, entry: CatalogModel, config: ModelConfig, number: int, places: asyncio.Semaphore
    ) -> tuple[Version, S] | str:
        """A version and what serves it, or the reason why it does not."""
        stop = Stop()

        def load() -> Version:
            return self._loader.load(entry.name, number, entry.versions[number], config, stop=stop)

        async with places:
            future = asyncio.wrap_future(start(load, f"load {entry.name}/{number}"))
            try:
                done, _ = await asyncio.wait({future}, timeout=self._loader.timeout_s)
                if not done:
                    return timed_out(self._loader.timeout_s)
                version = future.result()
                # Here and not in the thread: plugins may count on being called one at a time.
                return version, self._serve(version, config)
            except ForetellError as error:
                return str(error)
            except Exception as error:  # noqa: BLE001 - whatever a foreign file does to its loading, it harms no other
                return f"{type(error).__name__}: {error}"
            finally:
                future.cancel()
                stop.ask()

    async def _add_stand_ins(self, model: Model[S], entry: CatalogModel, sibling: ModelInfo | None) -> None:
        """Put something where versions failed, or are absent though an alias or the default names them."""
        named = named_default(model.config)
        wanted = {*model.failures, *model.config.aliases.values(), *(() if named is None else (named,))}
        for number in sorted(wanted - model.versions.keys()):
            like = self._infos.get((model.name, number), sibling)
            made = await asyncio.to_thread(
                self._loader.stand_in,
                model.name,
                number,
                entry.versions.get(number),
                model.config,
                like=like,
            )
            try:
                served = None if made is None else self._stand_in(made, model.config)
            except ForetellError:  # what keeps it from being served has kept the version itself
                served = None
            if served is not None:
                model.stand_ins[number] = served
                model.failures.setdefault(number, "it is absent from the store")
        if model.default is None and model.stand_ins:
            model.default_stand_in = model.stand_ins.get(max(model.stand_ins) if named is None else named)


def _enabled(entry: CatalogModel) -> bool:
    return entry.config is None or entry.config.enabled
