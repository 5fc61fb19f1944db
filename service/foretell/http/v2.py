"""The Open Inference Protocol V2: its routes, and what it tells of the server and of models.

Source: Open Inference Protocol, inference REST.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import msgspec

from foretell.errors import NotReadyError
from foretell.http.routes import Route
from foretell.protocols.endpoint import V2
from foretell.protocols.v2.datatypes import DATATYPES

if TYPE_CHECKING:
    from foretell.engine.model import Model
    from foretell.protocols.endpoint import Endpoint
    from foretell.signature import Tensor

__all__ = [
    "V2_ROOT",
    "ModelMetadata",
    "ServerMetadata",
    "model_metadata",
    "model_readiness",
    "route_of_v2",
    "server_metadata",
]

V2_ROOT: Final = "/v2"
"""The path under which the protocol's routes are."""

_PLATFORM: Final = "onnxruntime_onnx"
_EXTENSIONS: Final = ("binary_tensor_data",)
_MODEL: Final = f"{V2_ROOT}/models/{{model}}"
_VERSION: Final = f"{_MODEL}/versions/{{version}}"
_BAD_REQUEST: Final = 400


class ServerMetadata(msgspec.Struct, frozen=True):
    """What the server is.

    Attributes:
        name: Its name.
        version: Its version.
        extensions: The extensions of the protocol that work here.
    """

    name: str
    version: str
    extensions: tuple[str, ...]


class TensorMetadata(msgspec.Struct, frozen=True):
    """An input or output.

    Attributes:
        name: Its name.
        datatype: Its element type.
        shape: The length of each axis; -1 for any.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]


class ModelMetadata(msgspec.Struct, frozen=True):
    """What a model takes and gives.

    Attributes:
        name: Its name.
        versions: The versions that serve.
        platform: What runs it.
        inputs: What it takes.
        outputs: What it gives.
    """

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]


class ModelReadiness(msgspec.Struct, frozen=True):
    """That a model answers."""

    name: str
    ready: bool = True


def server_metadata() -> ServerMetadata:
    """What the server is."""
    return ServerMetadata("foretell", version("foretell"), _EXTENSIONS)


def model_metadata(model: Model[Endpoint], endpoint: Endpoint) -> ModelMetadata:
    """What one version of a model takes and gives."""
    signature = endpoint.info.signature
    return ModelMetadata(
        model.name,
        tuple(map(str, sorted(model.versions))),
        _PLATFORM,
        tuple(map(_tensor, signature.inputs)),
        tuple(map(_tensor, signature.outputs)),
    )


def model_readiness(endpoint: Endpoint) -> ModelReadiness:
    """That a version answers.

    Raises:
        NotReadyError: It does not itself; at most something answers for it.
    """
    if endpoint.stands_in:
        raise NotReadyError(f"version {endpoint.info.version} of {endpoint.info.name!r} does not serve")
    return ModelReadiness(endpoint.info.name)


def route_of_v2(rest: str, prefix: str = "") -> Route | None:
    """The route of a path under ``/v2``; None if there is none.

    Args:
        rest: What follows ``/v2``.
        prefix: What stands before it.
    """
    rest = rest.rstrip("/")
    path = prefix + V2_ROOT + rest

    def route(verb: str, template: str, model: str | None = None, version: str | None = None) -> Route:
        return Route(path, V2, model, version=version, verb=verb, template=template, invalid=_BAD_REQUEST)

    match rest.split("/"):
        case [""]:
            return route("server", V2_ROOT)
        case ["", "health", "live" | "ready" as what]:
            return route(what, f"{V2_ROOT}/health/{what}")
        case ["", "models", model] if model:
            return route("metadata", _MODEL, model)
        case ["", "models", model, "ready" | "infer" as what] if model:
            return route(f"model_{what}", f"{_MODEL}/{what}", model)
        case ["", "models", model, "versions", number] if model and number:
            return route("metadata", _VERSION, model, number)
        case ["", "models", model, "versions", number, "ready" | "infer" as what] if model and number:
            return route(f"model_{what}", f"{_VERSION}/{what}", model, number)
        case _:
            return None


def _tensor(tensor: Tensor) -> TensorMetadata:
    return TensorMetadata(tensor.name, DATATYPES[tensor.dtype], tensor.lengths)
