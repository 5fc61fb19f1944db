"""What the Open Inference Protocol tells of the server and of models."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import msgspec

from foretell.errors import AsleepError, NotReadyError
from foretell.protocols.v2.datatypes import DATATYPES

if TYPE_CHECKING:
    from foretell.http.lookup import Lookup
    from foretell.http.routes import Route
    from foretell.signature import Tensor

__all__ = [
    "ModelMetadata",
    "ModelReadiness",
    "ServerMetadata",
    "model_metadata",
    "model_readiness",
    "server_metadata",
]

_PLATFORM: Final = "onnxruntime_onnx"


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


def server_metadata(extensions: tuple[str, ...]) -> ServerMetadata:
    """What the server is."""
    return ServerMetadata("foretell", version("foretell"), extensions)


async def model_metadata(lookup: Lookup, route: Route) -> ModelMetadata:
    """What the version of a route takes and gives; a model that is asleep is loaded for it.

    Raises:
        NotFoundError: There is no such model or version.
        NotReadyError: It does not serve.
    """
    endpoint = await lookup.awake(route)
    signature = endpoint.info.signature
    model = lookup.model(route)
    return ModelMetadata(
        model.name,
        tuple(map(str, sorted(model.versions))),
        _PLATFORM,
        tuple(map(_tensor, signature.inputs)),
        tuple(map(_tensor, signature.outputs)),
    )


def model_readiness(lookup: Lookup, route: Route) -> ModelReadiness:
    """That the version of a route answers, be it after it was loaded for whoever asks.

    Raises:
        NotFoundError: There is no such model or version.
        NotReadyError: It does not itself; at most something answers for it.
    """
    try:
        endpoint = lookup.endpoint(route)
    except AsleepError as asleep:
        return ModelReadiness(asleep.model)
    if endpoint.stands_in:
        raise NotReadyError(f"version {endpoint.info.version} of {endpoint.info.name!r} does not serve")
    return ModelReadiness(endpoint.info.name)


def _tensor(tensor: Tensor) -> TensorMetadata:
    return TensorMetadata(tensor.name, DATATYPES[tensor.dtype], tensor.lengths)
