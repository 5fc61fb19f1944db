"""The OpenAPI document: Litestar's own for the ordinary routes, and typed paths for every model that is loaded now."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Router
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from foretell.http.catalog import ModelDescription, ModelList
from foretell.http.documentation import DocumentationPage
from foretell.http.native import MODELS
from foretell.http.pages import Liveness, Readiness
from foretell.http.problems import PROBLEM_MEDIA_TYPE, problem_schema
from foretell.http.tf_serving import SignatureDocument
from foretell.http.v2.metadata import ModelMetadata, ModelReadiness, ServerMetadata
from foretell.http.v2.routing import V2_ROOT
from foretell.protocols.endpoint import INVOCATIONS, NATIVE, SIMPLE, SIMPLE_BATCH, V2
from foretell.protocols.v2.codec import V2Codec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from litestar import Request
    from litestar.types import Middleware

    from foretell.engine.registry import Registry
    from foretell.protocols.codec import Codec
    from foretell.protocols.endpoint import Endpoint

__all__ = ["ModelDocument", "openapi_config"]

_REF: Final = "#/components/schemas/{name}"

_MODELS_TAG: Final = "models"
_V2_TAG: Final = "open inference protocol"

_REFUSALS: Final = {
    "400": "The body is not well-formed JSON",
    "404": "There is no such model, version or alias",
    "413": "The body is over the limit",
    "415": "The media type, charset or content encoding is not accepted",
    "422": "The body is not what the model takes; `errors` tells places",
    "500": "The server failed; its log has the request id",
    "503": "The model does not serve, or not yet",
}

_BAD_REQUESTS: Final = {
    **{status: text for status, text in _REFUSALS.items() if status != "422"},
    "400": "The body is not well-formed, or not what the model takes",
}


def openapi_config(
    registry: Registry[Endpoint],
    default_endpoint: Callable[[], Endpoint | None],
    *,
    middleware: list[Middleware],
    prefix: str = "",
) -> OpenAPIConfig:
    """How Litestar documents the application: at ``/schema``, from this machine alone.

    Args:
        registry: The models.
        default_endpoint: What answers the simple protocol at the moment; None if nothing does.
        middleware: What goes around the routes of the documentation.
        prefix: Where in another application the routes are.
    """
    return OpenAPIConfig(
        title="foretell",
        version=version("foretell"),
        description=(
            "Predictions of the models that are loaded now. Bodies are typed by each model's signature. Not told of here: "
            "binary tensor data, CSV, aliases, and what changes the store; docs/protocols.md has them."
        ),
        openapi_router=Router("/schema", route_handlers=[], include_in_schema=False, middleware=middleware),
        render_plugins=[DocumentationPage(path="/"), ModelDocument(registry, default_endpoint, prefix)],
        use_handler_docstrings=False,
    )


class ModelDocument(JsonRenderPlugin):
    """``/schema/openapi.json``, made anew when the models have changed.

    Args:
        registry: The models.
        default_endpoint: What answers the simple protocol at the moment; None if nothing does.
        prefix: Where in another application the routes are.
    """

    def __init__(
        self, registry: Registry[Endpoint], default_endpoint: Callable[[], Endpoint | None], prefix: str
    ) -> None:
        super().__init__(path="/openapi.json")
        self._prefix = prefix
        self._registry = registry
        self._default_endpoint = default_endpoint
        self._made: tuple[object, bytes] | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The document."""
        models = self._registry.models
        if self._made is None or self._made[0] is not models:
            # `render_json` is untyped: its `Request` is bare
            self._made = models, self.render_json(request, self._document(openapi_schema))  # pyright: ignore[reportUnknownMemberType]
        return self._made[1]

    def _document(self, openapi_schema: dict[str, Any]) -> dict[str, Any]:
        paths = dict(openapi_schema["paths"])
        for path, item in paths.items():
            if path.startswith(f"{self._prefix}/"):  # others are the host application's
                for operation in item.values():
                    _add_problem(operation["responses"])
        components = dict(openapi_schema.get("components", {}))
        schemas = {**components.get("schemas", {}), **problem_schema(_REF)}
        operations = list(self._operations())
        readings = list(self._readings())
        types = [
            *(kind for _, _, _, kind, _ in readings),
            *(codec.request_type for _, _, codec, _, _ in operations),
        ]
        references, generated = msgspec.json.schema_components(types, ref_template=_REF)
        for (path, operation_id, summary, _, tag), reference in zip(readings, references, strict=False):
            paths[self._prefix + path] = {"get": _reading(operation_id, summary, reference, tag)}
        bodies = references[len(readings) :]
        for (path, operation_id, codec, summary, refusals), body in zip(operations, bodies, strict=True):
            paths[self._prefix + path] = {"post": _operation(operation_id, codec, summary, body, refusals)}
        for path, operation_id, codec, summary in self._v2_operations():
            body = codec.request_schema()
            paths[self._prefix + path] = {
                "post": _operation(operation_id, codec, summary, body, _BAD_REQUESTS, tag=_V2_TAG)
            }
        return {
            **openapi_schema,
            "paths": paths,
            "components": {**components, "schemas": {**schemas, **generated}},
        }

    def _readings(self) -> Iterator[tuple[str, str, str, type, str]]:
        """Path, operation id, summary, type of the answer and tag of every route that only tells."""
        yield MODELS, "list_models", "The models that are served", ModelList, _MODELS_TAG
        yield V2_ROOT, "v2_server", "What the server is", ServerMetadata, _V2_TAG
        yield f"{V2_ROOT}/health/live", "v2_live", "Whether the process answers", Liveness, _V2_TAG
        yield f"{V2_ROOT}/health/ready", "v2_ready", "Whether every enabled model answers", Readiness, _V2_TAG
        for name in sorted(self._registry.models):
            known = f"What is known of {name} and its versions"
            yield f"{MODELS}/{name}", f"describe:{name}", known, ModelDescription, _MODELS_TAG
            if self._registry.models[name].default is not None:
                takes = f"What {name} takes and gives"
                yield f"{MODELS}/{name}/metadata", f"metadata:{name}", takes, SignatureDocument, _MODELS_TAG
                base = f"{V2_ROOT}/models/{name}"
                yield base, f"v2_metadata:{name}", takes, ModelMetadata, _V2_TAG
                yield f"{base}/ready", f"v2_ready:{name}", f"Whether {name} answers", ModelReadiness, _V2_TAG

    def _operations(self) -> Iterator[tuple[str, str, Codec, str, dict[str, str]]]:
        """Path, operation id, codec, summary and refusals of every prediction route that answers now."""
        default = self._default_endpoint()
        if default is not None and SIMPLE in default.codecs:
            name, codecs = default.info.name, default.codecs
            yield "/predict", "predict", codecs[SIMPLE], f"One row for the default model, {name}", _REFUSALS
            rows = f"Rows for the default model, {name}"
            yield "/predict/batch", "predict_batch", codecs[SIMPLE_BATCH], rows, _REFUSALS
            forms = f"{rows}, as MLflow, SageMaker and Vertex AI send them"
            yield "/invocations", "invocations", codecs[INVOCATIONS], forms, _BAD_REQUESTS
        for name, model in sorted(self._registry.models.items()):
            base = f"{MODELS}/{name}"
            if model.default is not None:
                summary = (
                    f"Predict with {name}, version {model.default.info.version} unless the default moves"
                )
                yield f"{base}:predict", f"predict:{name}", model.default.codecs[NATIVE], summary, _REFUSALS
            for number, endpoint in sorted(model.versions.items()):
                path = f"{base}/versions/{number}:predict"
                yield (
                    path,
                    f"predict:{name}:{number}",
                    endpoint.codecs[NATIVE],
                    f"Predict with version {number} of {name}",
                    _REFUSALS,
                )

    def _v2_operations(self) -> Iterator[tuple[str, str, V2Codec, str]]:
        """The same of the Open Inference Protocol, whose bodies are described by schemas of their own."""
        for name, model in sorted(self._registry.models.items()):
            codec = None if model.default is None else model.default.codecs[V2]
            if isinstance(codec, V2Codec):
                yield (
                    f"{V2_ROOT}/models/{name}/infer",
                    f"infer:{name}",
                    codec,
                    f"Predict with whole tensors of {name}",
                )


def _reading(operation_id: str, summary: str, reference: dict[str, Any], tag: str) -> dict[str, Any]:
    found = {"description": "What there is", "content": {"application/json": {"schema": reference}}}
    responses = {"200": found}
    _add_problem(responses)
    return {"operationId": operation_id, "summary": summary, "tags": [tag], "responses": responses}


def _add_problem(responses: dict[str, Any]) -> None:
    """Say what every answer is that is not told of by itself."""
    responses.pop("400", None)  # Litestar's own, which is answered otherwise here
    schema = {"$ref": _REF.format(name="Problem")}
    responses["default"] = {
        "description": "What went wrong",
        "content": {PROBLEM_MEDIA_TYPE: {"schema": schema}},
    }


def _operation(
    operation_id: str,
    codec: Codec,
    summary: str,
    reference: dict[str, Any],
    refusals: dict[str, str],
    *,
    tag: str = "predictions",
) -> dict[str, Any]:
    body: dict[str, Any] = {"schema": reference}
    example = codec.example()
    if example is not None:
        body["example"] = example
    refused = {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}}
    return {
        "operationId": operation_id,
        "summary": summary,
        "tags": [tag],
        "parameters": [
            {
                "name": "X-Request-ID",
                "in": "header",
                "required": False,
                "description": "The identity of the request; the answer and the log repeat it",
                "schema": {"type": "string", "maxLength": 128},
            }
        ],
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": {
            "200": {
                "description": "The answer",
                "content": {"application/json": {"schema": codec.response_schema()}},
            },
            **{status: {"description": text, "content": refused} for status, text in refusals.items()},
        },
    }
