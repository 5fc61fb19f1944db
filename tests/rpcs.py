"""Calls over gRPC, with the project's own messages: what any client of the protocol sends."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np

from foretell.protocols.rpc.contents import FIELDS
from foretell.protocols.rpc.messages import (
    Asked,
    HealthCheckRequest,
    HealthCheckResponse,
    ModelInferRequest,
    ModelInferResponse,
)
from foretell.protocols.v2.binary import bytes_of, tensor_of_bytes
from foretell.protocols.v2.datatypes import DATATYPES
from foretell.tensors import DTYPES, Array, DTypeName

__all__ = ["Client", "add_input", "call_of", "infer_request", "name_of", "tensors_of"]

_BY_DATATYPE: dict[str, DTypeName] = {datatype: name for name, datatype in DATATYPES.items()}


def name_of(values: Array) -> DTypeName:
    """The element type of a tensor."""
    return next(name for name, dtype in DTYPES.items() if dtype.numpy == values.dtype)


def add_input(message: Any, name: str, values: Array, *, typed: bool, **changes: Any) -> None:
    """Add a tensor to a request; what else is said of it may be changed."""
    dtype = name_of(values)
    said = {"name": name, "datatype": DATATYPES[dtype], "shape": values.shape, **changes}
    added = message.inputs.add(**said)
    if typed:
        elements: list[Any] = values.reshape(-1).tolist()
        added.contents.SetInParent()
        getattr(added.contents, FIELDS[dtype]).extend(
            [each.encode() for each in elements] if dtype == "string" else elements
        )
    else:
        message.raw_input_contents.append(bytes_of(values))


def infer_request(model: str, *, typed: bool = False, **inputs: Array) -> Any:
    """A request for a prediction."""
    message = ModelInferRequest(model_name=model)
    for name, values in inputs.items():
        add_input(message, name, values, typed=typed)
    return message


def tensors_of(message: Any) -> dict[str, Array]:
    """The tensors of an answer."""
    tensors: dict[str, Array] = {}
    for number, each in enumerate(message.outputs):
        name, shape = _BY_DATATYPE[each.datatype], list(each.shape)
        if message.raw_output_contents:
            raw = memoryview(message.raw_output_contents[number])
            tensors[each.name] = tensor_of_bytes(raw, DTYPES[name], shape, "")
            continue
        elements = list(getattr(each.contents, FIELDS[name]))
        if name == "string":
            elements = [text.decode() for text in elements]
        tensors[each.name] = np.array(elements, dtype=DTYPES[name].numpy).reshape(shape)
    return tensors


def call_of(error: grpc.RpcError) -> grpc.Call:
    """The call that an error tells of: its status and metadata."""
    assert isinstance(error, grpc.Call)
    return error


class Client:
    """A channel to a server.

    Args:
        address: The server.

    Attributes:
        channel: The channel.
    """

    def __init__(self, address: str) -> None:
        # Each with connections of its own: the kernel spreads them over the workers.
        self.channel = grpc.insecure_channel(
            address, [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.channel.close()

    def method(self, name: str, service: str = "inference.GRPCInferenceService") -> grpc.UnaryUnary:
        """A method, from bytes to bytes."""
        return self.channel.unary_unary(f"/{service}/{name}")

    def call(self, name: str, kind: Any, message: Any = None, *, timeout_s: float = 60) -> Any:
        """What a method answers, as a message."""
        sent = Asked() if message is None else message
        return kind.FromString(self.method(name)(sent.SerializeToString(), timeout=timeout_s))

    def infer(self, message: Any, *, timeout_s: float = 60) -> Any:
        """A prediction."""
        return self.call("ModelInfer", ModelInferResponse, message, timeout_s=timeout_s)

    def refused(
        self, message: Any, *, method: str = "ModelInfer", timeout_s: float | None = 60
    ) -> tuple[str, str, dict[str, str | bytes]]:
        """The status, the details and the metadata with which a request is refused."""
        body = message if isinstance(message, bytes) else message.SerializeToString()
        try:
            self.method(method)(body, timeout=timeout_s)
        except grpc.RpcError as error:
            call = call_of(error)
            return call.code().name, call.details(), dict(call.trailing_metadata())
        raise AssertionError("it was answered")

    def health(self, service: str = "") -> int:
        """How a service is: 1 if it serves, 2 if it does not."""
        body = HealthCheckRequest(service=service).SerializeToString()
        answer = self.method("Check", "grpc.health.v1.Health")(body, timeout=60)
        status: int = HealthCheckResponse.FromString(answer).status
        return status
