"""The native protocol's paths, which KServe V1 and TensorFlow Serving share.

Source: KServe data plane V1; TensorFlow Serving RESTful API, URL forms of model status, model metadata and Predict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from foretell.errors import NotFoundError
from foretell.excerpts import shortened
from foretell.http.catalog import ModelDescription, ModelList, describe_model
from foretell.http.lookup import number_of
from foretell.http.routes import PREDICT, READ, Question, Route, nothing_at
from foretell.http.tf_serving import SignatureDocument, signature_document
from foretell.protocols.endpoint import NATIVE

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from foretell.http.catalog import PluginStatus
    from foretell.http.known import Known
    from foretell.http.lookup import Lookup
    from foretell.prediction import Headers

__all__ = ["MODELS", "NativeRouting", "native_route"]

MODELS: Final = "/v1/models"
"""The path under which every model has its own."""

_DESCRIBE: Final = "describe"
_METADATA: Final = "metadata"


class NativeRouting:
    """The paths under `MODELS`; see `Routing`.

    Args:
        lookup: The models.
        status: What plugins tell of a version.
        known: The paths that were asked before.
    """

    protocol = NATIVE
    has_paths_below = True

    def __init__(self, lookup: Lookup, status: PluginStatus, known: Known) -> None:
        self._lookup = lookup
        self._status = status
        self._known = known

    def route(self, path: str, rest: str, headers: Headers) -> Route:
        """See `Routing`."""
        del headers
        return self._known.route(path) or self._known.add(native_route(path, rest))

    def answer(self, question: Question) -> object | Awaitable[object]:
        """See `Routing`: which models there are, or what is known of a model or of one of its versions."""
        if question.route.verb == _METADATA:
            return self._metadata(question.route)
        return self._description(question.route)

    async def _metadata(self, route: Route) -> SignatureDocument:
        return signature_document((await self._lookup.awake(route)).info)

    def _description(self, route: Route) -> ModelList | ModelDescription:
        if route.model is None:
            return ModelList(sorted(self._lookup.registry.models))
        model = self._lookup.model(route)
        if route.version is None and route.alias is None:
            return describe_model(model, status=self._status)
        number = model.config.aliases.get(route.alias) if route.alias is not None else number_of(route)
        if number not in model.failures and number not in model.unloaded:
            number = self._lookup.endpoint(route).info.version
        return describe_model(model, {number}, status=self._status)


def native_route(path: str, rest: str) -> Route:
    """What a path asks for.

    Args:
        path: The whole path.
        rest: What of it follows `MODELS`, for instance ``/iris/versions/2:predict``.

    Raises:
        NotFoundError: Nothing.
    """
    before, colon, asked = rest.rpartition(":")
    target, suffix, verb = (before, f":{asked}", asked) if colon else (rest, "", _DESCRIBE)
    if not colon and rest.endswith("/metadata"):
        target, suffix, verb = rest.removesuffix("/metadata"), "/metadata", _METADATA
    model: str | None = None
    version: str | None = None
    alias: str | None = None
    template = MODELS
    match target.split("/"):
        case [""] if not suffix:
            pass
        case ["", model] if model:
            template += "/{model}"
        case ["", model, "versions", version] if model and version:
            template += "/{model}/versions/{version}"
        case ["", model, "labels", alias] if model and alias:
            template += "/{model}/labels/{alias}"
        case _:
            raise nothing_at(path)
    if colon and verb != PREDICT:
        raise NotFoundError(f"there is no verb {shortened(verb)!r}; POST to …:predict")
    methods = ("POST",) if verb == PREDICT else READ
    return Route(path, NATIVE, model, version, alias, verb, template + suffix, methods=methods)
