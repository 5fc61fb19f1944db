"""The service of the Open Inference Protocol: read, hand to the core, send.

What is not here (streams, the model repository, statistics, shared memory) gRPC itself answers with UNIMPLEMENTED.

Source: Open Inference Protocol, service GRPCInferenceService.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from foretell.errors import MalformedError
from foretell.http.answer import Answer
from foretell.http.head import Head
from foretell.http.problems import Problem
from foretell.http.routes import PREDICT, Route
from foretell.http.v2.metadata import (
    ModelMetadata,
    ServerMetadata,
    model_metadata,
    model_readiness,
    server_metadata,
)
from foretell.protocols.endpoint import GRPC
from foretell.protocols.rpc.messages import (
    Asked,
    ModelMetadataRequest,
    ModelMetadataResponse,
    ModelReadyRequest,
    ModelReadyResponse,
    ServerLiveResponse,
    ServerMetadataResponse,
    ServerReadyResponse,
    parse,
)
from foretell.rpc.metadata import headers_of, metadata_of
from foretell.rpc.statuses import detail_of, status_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from foretell.http.core import Core
    from foretell.http.lifecycle import Lifecycle
    from foretell.http.lookup import Lookup
    from foretell.http.v2.metadata import ModelReadiness
    from foretell.prediction import Headers

__all__ = ["SERVICE", "InferenceService"]

SERVICE: Final = "inference.GRPCInferenceService"
"""The name of the service."""

_BAD_REQUEST: Final = 400
_EXTENSIONS: Final = ("binary_tensor_data",)
_OK: Final = 200
_ABSENT: Final = {404, 503}
_PROBLEMS: Final = msgspec.json.Decoder(Problem)
_SERVERS: Final = msgspec.json.Decoder(ServerMetadata)
_MODELS: Final = msgspec.json.Decoder(ModelMetadata)


class InferenceService:
    """The service's methods.

    Args:
        core: What answers.
        lookup: The models.
        lifecycle: Says whether the server is ready.

    Attributes:
        methods: Its methods by name, each from a message's bytes and the context of the RPC to bytes.
        used: Whether anybody has asked.
    """

    def __init__(self, core: Core, lookup: Lookup, lifecycle: Lifecycle) -> None:
        self.methods: Mapping[str, Callable[[bytes, Any], Any]] = {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ServerMetadata": self.server_metadata,
            "ModelReady": self.model_ready,
            "ModelMetadata": self.model_metadata,
            "ModelInfer": self.model_infer,
        }
        self.used = False
        self._core = core
        self._lookup = lookup
        self._lifecycle = lifecycle

    async def server_live(self, request: bytes, context: Any) -> bytes:
        """Whether the server runs."""
        del request
        answer = await self._tell(_route("ServerLive"), context, dict)
        return await self._send(answer, context, ServerLiveResponse(live=True))

    async def server_ready(self, request: bytes, context: Any) -> bytes:
        """Whether every enabled model answers."""
        del request
        answer = await self._tell(_route("ServerReady"), context, dict)
        return await self._send(answer, context, ServerReadyResponse(ready=self._lifecycle.ready))

    async def server_metadata(self, request: bytes, context: Any) -> bytes:
        """What the server is."""
        del request
        answer = await self._tell(_route("ServerMetadata"), context, lambda: server_metadata(_EXTENSIONS))
        told = _SERVERS.decode(answer.body)
        message = ServerMetadataResponse(name=told.name, version=told.version, extensions=told.extensions)
        return await self._send(answer, context, message)

    async def model_ready(self, request: bytes, context: Any) -> bytes:
        """Whether a model, or one of its versions, answers; one that is not there does not."""
        answer = await self._ask("ModelReady", ModelReadyRequest, request, context, self._readiness)
        if answer.status in _ABSENT:
            return self._answer(answer, context, ModelReadyResponse(ready=False))
        return await self._send(answer, context, ModelReadyResponse(ready=True))

    async def model_metadata(self, request: bytes, context: Any) -> bytes:
        """What a model takes and gives."""
        answer = await self._ask("ModelMetadata", ModelMetadataRequest, request, context, self._metadata)
        if answer.status != _OK:
            return await self._send(answer, context, None)
        told = _MODELS.decode(answer.body)
        message = ModelMetadataResponse(name=told.name, versions=told.versions, platform=told.platform)
        for tensors, metadata in ((message.inputs, told.inputs), (message.outputs, told.outputs)):
            for each in metadata:
                tensors.add(name=each.name, datatype=each.datatype, shape=each.shape)
        return await self._send(answer, context, message)

    async def model_infer(self, request: bytes, context: Any) -> bytes:
        """A prediction."""
        self.used = True
        headers = _headers(context)
        try:
            asked = parse(Asked, request)
        except MalformedError as error:
            answer = self._core.refuse(_route("ModelInfer"), headers, "POST", error)
        else:
            route = _route("ModelInfer", asked.model_name, asked.model_version)
            predicted = self._core.predict(route, Head.of(headers), request)
            answer = predicted if isinstance(predicted, Answer) else await predicted
        return await self._send(answer, context, None)

    def _readiness(self, route: Route) -> ModelReadiness:
        return model_readiness(self._lookup, route)

    def _metadata(self, route: Route) -> Awaitable[ModelMetadata]:
        return model_metadata(self._lookup, route)

    async def _tell(self, route: Route, context: Any, make: Callable[[], object]) -> Answer:
        self.used = True
        return await self._core.tell(route, _headers(context), "POST", make)

    async def _ask(
        self,
        method: str,
        kind: Any,
        request: bytes,
        context: Any,
        make: Callable[[Route], object],
    ) -> Answer:
        try:
            message = parse(kind, request)
        except MalformedError as error:
            self.used = True
            return self._core.refuse(_route(method), _headers(context), "POST", error)
        route = _route(method, message.name, message.version)
        return await self._tell(route, context, lambda: make(route))

    async def _send(self, answer: Answer, context: Any, message: Any) -> bytes:
        """Send an answer.

        Args:
            answer: The answer.
            context: The context of the RPC.
            message: What is sent of an answer that succeeded; its body if None.
        """
        if answer.status == _OK:
            return self._answer(answer, context, message)
        detail = detail_of(_PROBLEMS.decode(answer.body).detail)
        try:
            await context.abort(status_of(answer.status), detail, metadata_of(answer.headers))
        finally:  # it raises, always
            self._core.observe(answer.record)
        return b""

    def _answer(self, answer: Answer, context: Any, message: Any) -> bytes:
        body: bytes = answer.body if message is None else message.SerializeToString()
        try:
            context.set_trailing_metadata(metadata_of(answer.headers))
        finally:  # observers are called later, when it was sent
            self._core.observe(answer.record)
        return body


def _route(method: str, model: str | None = None, version: str = "") -> Route:
    path = f"/{SERVICE}/{method}"
    verb = PREDICT if method == "ModelInfer" else method
    return Route(path, GRPC, model, version=version or None, verb=verb, template=path, invalid=_BAD_REQUEST)


def _headers(context: Any) -> Headers:
    return headers_of(context.invocation_metadata(), context.time_remaining())
