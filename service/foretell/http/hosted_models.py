"""SageMaker's multi-model endpoints: the platform has models served from folders that it has put onto this machine.

A model becomes a folder of the store with a link to the platform's folder in it, so that every worker that follows
the store serves it, and the store's own checks apply.

Source: Amazon SageMaker, build your own container for multi-model endpoints.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from foretell.errors import (
    InvalidInputError,
    NotReadyError,
    Problem,
    StillLoadingError,
)
from foretell.excerpts import shortened
from foretell.http.invocations import invocation
from foretell.http.routes import READ, Question, Route, nothing_at
from foretell.protocols.endpoint import INVOCATIONS
from foretell.protocols.json_body import decode_json
from foretell.store.elsewhere import link, source_of, unlink
from foretell.store.layout import is_model_name

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from foretell.engine.registry import Registry
    from foretell.prediction import Headers
    from foretell.protocols.endpoint import Endpoint

__all__ = ["HOSTED_MODELS", "HostedModelsRouting"]

HOSTED_MODELS: Final = "/models"
"""The path under which the platform has models loaded."""


class LoadRequest(msgspec.Struct, frozen=True):
    """A model to be served.

    Attributes:
        model_name: How it is called from now on.
        url: The folder of this machine that it is in.
    """

    model_name: str
    url: str


class HostedModel(msgspec.Struct, frozen=True, rename="camel"):
    """A model that is served.

    Attributes:
        model_name: How it is called.
        model_url: The folder that it is in.
    """

    model_name: str
    model_url: str


class HostedModels(msgspec.Struct, frozen=True):
    """Every model that is served.

    Attributes:
        models: The models.
    """

    models: list[HostedModel]


_LOAD: Final = msgspec.json.Decoder(LoadRequest)


class HostedModelsRouting:
    """The paths under `HOSTED_MODELS`; see `Routing`.

    Args:
        registry: The models.
    """

    protocol = INVOCATIONS
    has_paths_below = True

    def __init__(self, registry: Registry[Endpoint]) -> None:
        self._registry = registry
        self._changing = asyncio.Lock()

    def route(self, path: str, rest: str, headers: Headers) -> Route:
        """See `Routing`."""
        del headers
        match rest.split("/"):
            case [""]:
                return Route(
                    path,
                    self.protocol,
                    verb="models",
                    template=HOSTED_MODELS,
                    methods=(*READ, "POST"),
                    invalid=400,
                )
            case ["", model] if model:
                template = f"{HOSTED_MODELS}/{{model}}"
                return Route(
                    path,
                    INVOCATIONS,
                    model,
                    verb="model",
                    template=template,
                    methods=(*READ, "DELETE"),
                    invalid=400,
                )
            case ["", model, "invoke"] if model:
                return invocation(path, f"{HOSTED_MODELS}/{{model}}/invoke", model)
            case _:
                raise nothing_at(path)

    def answer(self, question: Question) -> object | Awaitable[object]:
        """See `Routing`."""
        name = question.route.model
        if question.method == "POST":
            return self._load(decode_json(_LOAD, question.body))
        if name is None:
            return HostedModels([self._hosted(each) for each in self._registry.models])
        if question.method != "DELETE":
            self._registry.model(name)
        return self._unload(name) if question.method == "DELETE" else self._hosted(name)

    async def _load(self, wanted: LoadRequest) -> dict[str, Any]:
        """Serve a model, or leave everything as it was.

        Raises:
            ConflictError: There is one of that name.
            InvalidInputError: Its name cannot be a model's, or its folder holds none.
            NotReadyError: It cannot be loaded.
        """
        name, source = wanted.model_name, Path(wanted.url)
        if not is_model_name(name):
            raise InvalidInputError(Problem("$.model_name", f"{shortened(name)!r} cannot name a model"))
        if self._registry.loading:
            raise StillLoadingError("the models are still being loaded")
        async with self._changing:
            await self._registry.refresh()  # another worker may have changed the store just now
            place = self._registry.place(name)
            await asyncio.to_thread(link, place, source)
            await self._registry.refresh()
            model = self._registry.models.get(name)
            if model is not None and model.asleep:
                await self._registry.wake(name, timeout_s=None)
                model = self._registry.models.get(name)
            if model is None or model.default is None:
                reasons = [] if model is None else [model.error or "", *model.failures.values()]
                await asyncio.to_thread(unlink, place)
                await self._registry.refresh()
                raise NotReadyError(f"failed to load {name!r}: {'; '.join(filter(None, reasons))}")
        return {}

    async def _unload(self, name: str) -> dict[str, Any]:
        async with self._changing:
            await self._registry.refresh()
            place = self._registry.folder(name)
            if source_of(place) is None:
                raise InvalidInputError(Problem("$", f"model {name!r} belongs to the store: it stays"))
            await asyncio.to_thread(unlink, place)
            await self._registry.refresh()
        return {}

    def _hosted(self, name: str) -> HostedModel:
        place = self._registry.place(name)
        return HostedModel(name, str(source_of(place) or place))
