"""The Open Inference Protocol V2 over gRPC for one version.

Source: Open Inference Protocol, messages ModelInferRequest and ModelInferResponse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foretell.errors import InvalidInputError, MalformedError, Problem
from foretell.prediction import PredictRequest, PredictResponse, RequestRecord
from foretell.protocols.codec import Payload
from foretell.protocols.rpc.contents import FIELDS, tensor_of_contents, write_contents
from foretell.protocols.rpc.messages import ModelInferRequest, ModelInferResponse, parse
from foretell.protocols.v2.binary import bytes_of, tensor_of_bytes
from foretell.protocols.v2.checks import SHARED_MEMORY, Checks, timeout_ns
from foretell.protocols.v2.datatypes import DATATYPES
from foretell.tensors import DTYPES, DTypeName

if TYPE_CHECKING:
    from foretell.parser import Parser, Tensors
    from foretell.protocols.codec import Encode
    from foretell.protocols.deadlines import Deadlines

__all__ = ["RpcCodec"]


class RpcCodec:
    """The protocol for one version; see `Codec`. A body is a serialized message.

    An answer is typed if the request was: if it had typed contents, and no FP16 is answered, which has none. Any
    other answer is raw.

    Args:
        parser: The parser of the version.
        model: The model's name.
        version: The version's number.
        deadlines: How long its callers wait.
    """

    protocol = "grpc"

    def __init__(self, parser: Parser, *, model: str, version: int, deadlines: Deadlines) -> None:
        self.request_type: type = bytes
        self._parser = parser
        self._model = model
        self._version = str(version)
        self._deadlines = deadlines
        self._checks = Checks(parser)

    def check_media(self, content_type: bytes | None) -> None:
        """See `Codec`; gRPC has seen to it."""

    def decode(self, body: bytes, record: RequestRecord) -> tuple[PredictRequest, Encode]:
        """See `Codec`."""
        message = parse(ModelInferRequest, body)
        if "timeout" in message.parameters:
            self._limit(_value(message.parameters["timeout"]), record)
        inputs, paths = self._tensors(message)
        self._checks.complete(inputs)
        rows = self._parser.check_tensors(inputs, paths)
        names = self._wanted(message)
        typed = any(each.HasField("contents") for each in message.inputs) and not message.raw_input_contents
        request = PredictRequest(inputs, rows, record, names)
        return request, _Writer(self, message.id, typed=typed)

    def example(self) -> object | None:
        """See `Codec`; there is none, since a body is no JSON."""
        return None

    def response_schema(self) -> dict[str, Any]:
        """See `Codec`; there is none, since a body is no JSON."""
        return {}

    def _limit(self, timeout: Any, record: RequestRecord) -> None:
        """Keep to the parameter, where the RPC's own deadline is not earlier."""
        patience_ns = timeout_ns(timeout)
        if not patience_ns:
            return
        deadline_ns = record.started_ns + min(patience_ns, self._deadlines.most_ns)
        if not record.sets_deadline or deadline_ns < record.deadline_ns:
            record.body_deadline = "parameters.timeout"
            record.deadline_ns = deadline_ns

    def _tensors(self, message: Any) -> tuple[Tensors, dict[str, str]]:
        tensors: Tensors = {}
        paths: dict[str, str] = {}
        raw: list[bytes] = list(message.raw_input_contents)
        if raw and len(raw) != len(message.inputs):
            raise MalformedError(
                f"raw_input_contents: expected one for each of {len(message.inputs)} inputs, got {len(raw)}"
            )
        for number, each in enumerate(message.inputs):
            path = f"$.inputs[{number}]"
            name, shape = each.name, list(each.shape)
            tensor = self._checks.input(name, each.datatype, shape, path, before=tensors)
            if SHARED_MEMORY in each.parameters:
                raise InvalidInputError(Problem(f"{path}.parameters", "shared memory is not supported"))
            if not raw:
                if 0 not in shape and not each.HasField("contents"):
                    message_ = "it has no contents, and there are no raw_input_contents"
                    raise InvalidInputError(Problem(path, message_))
                tensors[name] = tensor_of_contents(each.contents, tensor.type, shape, f"{path}.contents")
            else:
                if each.contents.ListFields():
                    message_ = "it has contents, and there are raw_input_contents: expected one of both"
                    raise InvalidInputError(Problem(path, message_))
                tensors[name] = tensor_of_bytes(memoryview(raw[number]), tensor.type, shape, path)
            paths[name] = path
        return tensors, paths

    def _wanted(self, message: Any) -> tuple[str, ...] | None:
        """The outputs that are wanted; None means all."""
        names: list[str] = []
        for number, each in enumerate(message.outputs):
            self._checks.output(each.name, each.parameters, f"$.outputs[{number}]", before=names)
            names.append(each.name)
        return tuple(names) or None

    def write(self, response: PredictResponse, request_id: str, *, typed: bool) -> Payload:
        """Write an answer.

        Args:
            response: The answer.
            request_id: What the caller called its request; empty if it did not.
            typed: Whether it is to be typed, where that can be.
        """
        source = response.source
        answer = ModelInferResponse(
            model_name=self._model if source is None else source.name,
            model_version=self._version if source is None else str(source.version),
            id=request_id,
        )
        if response.degraded is not None:
            answer.parameters["degraded"].bool_param = True
            answer.parameters["served_by"].string_param = response.served_by or ""
        dtypes: dict[str, DTypeName] = {
            name: self._checks.dtype_of(name, tensor) for name, tensor in response.outputs.items()
        }
        typed = typed and all(dtype in FIELDS for dtype in dtypes.values())
        for name, tensor in response.outputs.items():
            dtype = dtypes[name]
            written = answer.outputs.add(name=name, datatype=DATATYPES[dtype], shape=tensor.shape)
            if typed:
                write_contents(written.contents, tensor, DTYPES[dtype])
            else:
                answer.raw_output_contents.append(bytes_of(tensor))
        return Payload(answer.SerializeToString(), ())


class _Writer:
    """Writes the answer to one request; see `Encode`."""

    __slots__ = ("_codec", "_id", "_typed")

    def __init__(self, codec: RpcCodec, request_id: str, *, typed: bool) -> None:
        self._codec = codec
        self._id = request_id
        self._typed = typed

    def __call__(self, request: PredictRequest, response: PredictResponse) -> Payload:
        del request
        return self._codec.write(response, self._id, typed=self._typed)


def _value(parameter: Any) -> Any:
    """What an ``InferParameter`` holds; None if nothing."""
    choice = parameter.WhichOneof("parameter_choice")
    return None if choice is None else getattr(parameter, choice)
