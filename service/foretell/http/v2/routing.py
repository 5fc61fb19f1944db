"""The paths of the Open Inference Protocol, and what is answered there beside predictions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from foretell.errors import NotFoundError, NotReadyError
from foretell.http.admin import check_admin
from foretell.http.lookup import number_of
from foretell.http.pages import Liveness, Readiness
from foretell.http.routes import PREDICT, READ, Question, Route, nothing_at
from foretell.http.v2.metadata import model_metadata, model_readiness, server_metadata
from foretell.protocols.endpoint import V2
from foretell.protocols.json_body import decode_json
from foretell.statistics import VersionStatistics

if TYPE_CHECKING:
    from foretell.http.known import Known
    from foretell.http.lifecycle import Lifecycle
    from foretell.http.lookup import Lookup
    from foretell.http.v2.repository import Repository, RepositoryEntry
    from foretell.prediction import Headers

__all__ = ["V2_ROOT", "V2Routing"]

V2_ROOT: Final = "/v2"
"""The path under which the protocol's paths are."""

_MODEL: Final = f"{V2_ROOT}/models/{{model}}"
_VERSION: Final = f"{_MODEL}/versions/{{version}}"
_STATISTICS: Final = "statistics"
_MODELS_STATS: Final = f"{V2_ROOT}/models/stats"
_REPOSITORY: Final = f"{V2_ROOT}/repository"
_BAD_REQUEST: Final = 400

Statistics = Callable[[], Awaitable[Sequence[VersionStatistics]]]
"""Tells what the predictions of every version came to, over all processes of the server."""


class IndexRequest(msgspec.Struct, frozen=True):
    """Which versions of the store are asked for.

    Attributes:
        ready: Whether only those that serve.
    """

    ready: bool = False


class RepositoryRequest(msgspec.Struct, frozen=True):
    """What a load or an unload says besides.

    Attributes:
        parameters: By their names.
    """

    parameters: dict[str, Any] = {}


class ModelStatistics(msgspec.Struct, frozen=True):
    """What the predictions of versions came to.

    Attributes:
        model_stats: One for each version.
    """

    model_stats: list[VersionStatistics]


_INDEX: Final = msgspec.json.Decoder(IndexRequest)
_CHANGE: Final = msgspec.json.Decoder(RepositoryRequest)


class V2Routing:
    """The paths under `V2_ROOT`; see `Routing`.

    Args:
        lookup: The models.
        lifecycle: Says whether the server is ready.
        repository: The store.
        statistics: What predictions came to; None if nobody counts them.
        admin_key_sha256: The SHA-256 of the key that opens the repository; None closes it.
        known: The paths that were asked before.
    """

    protocol = V2
    has_paths_below = True

    def __init__(
        self,
        lookup: Lookup,
        lifecycle: Lifecycle,
        repository: Repository,
        *,
        statistics: Statistics | None,
        admin_key_sha256: str | None,
        known: Known,
    ) -> None:
        self._lookup = lookup
        self._lifecycle = lifecycle
        self._repository = repository
        self._statistics = statistics
        self._key_sha256 = admin_key_sha256
        self._known = known
        self._answers: dict[str, Callable[[Question], object | Awaitable[object]]] = {
            "server": lambda _: server_metadata(self._extensions()),
            "live": lambda _: Liveness(),
            "ready": lambda _: self._readiness(),
            "metadata": lambda question: model_metadata(lookup, question.route),
            "model_ready": lambda question: model_readiness(lookup, question.route),
            _STATISTICS: lambda question: self._told_statistics(question.route),
            "index": self._index,
            "load": self._load,
            "unload": self._unload,
        }

    def route(self, path: str, rest: str, headers: Headers) -> Route:
        """See `Routing`."""
        del headers
        return self._known.route(path) or self._known.add(self._route(path, rest))

    def _route(self, path: str, rest: str) -> Route:
        def route(
            verb: str,
            template: str,
            model: str | None = None,
            version: str | None = None,
            methods: tuple[str, ...] = READ,
        ) -> Route:
            return Route(path, V2, model, version, None, verb, template, _BAD_REQUEST, methods)

        post = ("POST",)
        match rest.split("/"):
            case ["", "models", model, "infer"] if model:
                return route(PREDICT, f"{_MODEL}/infer", model, methods=post)
            case ["", "models", model, "versions", number, "infer"] if model and number:
                return route(PREDICT, f"{_VERSION}/infer", model, number, post)
            case [""]:
                return route("server", V2_ROOT)
            case ["", "health", "live" | "ready" as what]:
                return route(what, f"{V2_ROOT}/health/{what}")
            case ["", "models", "stats"] if "stats" not in self._lookup.registry.models:
                return route(_STATISTICS, _MODELS_STATS)
            case ["", "models", model] if model:
                return route("metadata", _MODEL, model)
            case ["", "models", model, "ready"] if model:
                return route("model_ready", f"{_MODEL}/ready", model)
            case ["", "models", model, "stats"] if model:
                return route(_STATISTICS, f"{_MODEL}/stats", model)
            case ["", "models", model, "versions", number] if model and number:
                return route("metadata", _VERSION, model, number)
            case ["", "models", model, "versions", number, "ready"] if model and number:
                return route("model_ready", f"{_VERSION}/ready", model, number)
            case ["", "models", model, "versions", number, "stats"] if model and number:
                return route(_STATISTICS, f"{_VERSION}/stats", model, number)
            case ["", "repository", "index"]:
                return route("index", f"{_REPOSITORY}/index", methods=post)
            case ["", "repository", "models", model, "load" | "unload" as verb] if model:
                return route(verb, f"{_REPOSITORY}/models/{{model}}/{verb}", model, methods=post)
            case _:
                raise nothing_at(path)

    def answer(self, question: Question) -> object | Awaitable[object]:
        """See `Routing`."""
        return self._answers[question.route.verb](question)

    def _extensions(self) -> tuple[str, ...]:
        """The extensions that work here."""
        found = ["binary_tensor_data"]
        if self._key_sha256 is not None:
            found.append("model_repository")
        if self._statistics is not None:
            found.append("statistics")
        return tuple(found)

    def _readiness(self) -> Readiness:
        if not self._lifecycle.ready:
            raise NotReadyError("the server is not ready; GET /health says why")
        return Readiness(ready=True)

    async def _told_statistics(self, route: Route) -> ModelStatistics:
        """What predictions came to: of the versions that are asked for, those included that nobody has asked yet."""
        if self._statistics is None:
            raise NotFoundError("nobody counts predictions here: enable the plugin `metrics`")
        registry = self._lookup.registry
        models = list(registry.models.values()) if route.model is None else [registry.model(route.model)]
        only = None if route.version is None else number_of(route)
        counted = {(each.name, int(each.version)): each for each in await self._statistics()}
        told = [
            counted.get((model.name, number)) or VersionStatistics(model.name, str(number))
            for model in models
            for number in model.numbers
            if only in {None, number} and (number in model.versions or (model.name, number) in counted)
        ]
        if only is not None and not told:
            self._lookup.endpoint(route)
        return ModelStatistics(told)

    def _index(self, question: Question) -> list[RepositoryEntry]:
        self._check(question)
        wanted = decode_json(_INDEX, question.body or b"{}")
        return self._repository.index(ready=wanted.ready)

    async def _load(self, question: Question) -> dict[str, Any]:
        self._check(question)
        wanted = decode_json(_CHANGE, question.body or b"{}")
        await self._repository.load(question.route.model or "", wanted.parameters)
        return {}

    async def _unload(self, question: Question) -> dict[str, Any]:
        self._check(question)
        decode_json(_CHANGE, question.body or b"{}")
        await self._repository.unload(question.route.model or "")
        return {}

    def _check(self, question: Question) -> None:
        authorization = question.header(b"authorization") or b""
        check_admin(authorization.decode("latin-1"), self._key_sha256)
