"""The Open Inference Protocol V2 for one version."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from foretell.errors import (
    InvalidInputError,
    MalformedError,
    Problem,
    RequestError,
    UnsupportedMediaError,
)
from foretell.excerpts import shortened
from foretell.prediction import PredictRequest, PredictResponse, RequestRecord
from foretell.protocols.codec import Payload
from foretell.protocols.encoding import encode, json_values
from foretell.protocols.media import check_json
from foretell.protocols.v2.binary import HEADER, bytes_of, message_length, tensor_of_bytes
from foretell.protocols.v2.checks import SHARED_MEMORY, Checks, timeout_ns
from foretell.protocols.v2.data import tensor_of_json
from foretell.protocols.v2.datatypes import DATATYPES
from foretell.protocols.v2.message import InferRequest, InputTensor, Parameters, decode_message
from foretell.protocols.v2.schemas import infer_request_schema, infer_response_schema

if TYPE_CHECKING:
    from foretell.parser import Parser, Tensors
    from foretell.protocols.codec import Encode
    from foretell.protocols.deadlines import Deadlines
    from foretell.signature import Tensor
    from foretell.tensors import Array

__all__ = ["V2Codec"]

_BINARY: Final = b"application/octet-stream"


class V2Codec:
    """The protocol for one version; see `Codec`.

    Args:
        parser: The parser of the version.
        model: The model's name.
        version: The version's number.
        deadlines: How long its callers wait.
    """

    protocol = "v2"

    def __init__(self, parser: Parser, *, model: str, version: int, deadlines: Deadlines) -> None:
        self.request_type: type = InferRequest
        self._parser = parser
        self._model = model
        self._version = str(version)
        self._deadlines = deadlines
        signature = parser.signature
        self._checks = Checks(parser)
        self._may_miss = {
            tensor.name: [
                column.missing != "refuse" for column in signature.columns if column.input == tensor.name
            ]
            for tensor in signature.inputs
        }

    def check_media(self, content_type: bytes | None) -> None:
        """See `Codec`."""
        if content_type is not None and content_type.split(b";")[0].strip().lower() == _BINARY:
            return
        try:
            check_json(content_type)
        except UnsupportedMediaError as error:
            raise UnsupportedMediaError(f"{error}, or application/octet-stream for binary data") from None

    def decode(self, body: bytes, record: RequestRecord) -> tuple[PredictRequest, Encode]:
        """See `Codec`."""
        header = record.header(HEADER)
        if header is None:
            message, data = _message(body, record), memoryview(b"")
        else:
            length = message_length(header, body)
            if length == 0:
                return self._decode_raw(body, record)
            view = memoryview(body)
            message, data = decode_message(view[:length]), view[length:]
        self._limit(message.parameters, record)
        inputs, paths = self._tensors(message.inputs, data)
        rows = self._parser.check_tensors(inputs, paths)
        names, writer = self._wanted(message)
        return PredictRequest(inputs, rows, record, names), writer

    def example(self) -> object | None:
        """See `Codec`."""
        signature = self._parser.signature
        if signature.example is None:
            return None
        tensors, _ = self._parser.tensors_of_rows([signature.example])
        inputs = [
            {
                "name": name,
                "shape": list(tensor.shape),
                "datatype": DATATYPES[self._checks.inputs[name].dtype],
                "data": msgspec.json.decode(encode({"data": json_values(tensor.reshape(-1))}))["data"],
            }
            for name, tensor in tensors.items()
        ]
        return {"inputs": inputs}

    def request_schema(self) -> dict[str, Any]:
        """The JSON schema of a request."""
        return infer_request_schema(self._parser.signature)

    def response_schema(self) -> dict[str, Any]:
        """See `Codec`."""
        return infer_response_schema(self._parser.signature)

    def _decode_raw(self, body: bytes, record: RequestRecord) -> tuple[PredictRequest, Encode]:
        """A body that is one tensor and nothing else."""
        tensor = next(iter(self._checks.inputs.values()))
        open_axes = [axis for axis, length in enumerate(tensor.shape) if not isinstance(length, int)]
        if len(self._checks.inputs) > 1 or len(open_axes) > 1:
            message = (
                "a body without JSON is for models with one input, of which at most one axis is variable"
            )
            raise InvalidInputError(Problem("$", message))
        data = memoryview(body)
        if tensor.type.kind == "string":  # the extension takes one element then
            shape = [1 if axis in open_axes else int(length or 0) for axis, length in enumerate(tensor.shape)]
        else:
            closed = math.prod(length for length in tensor.shape if isinstance(length, int))
            size = closed * tensor.type.numpy.itemsize
            if open_axes and (size == 0 or len(data) % size):
                message = f"expected a multiple of {size} bytes for {_shown(tensor)}, got {len(data)}"
                raise InvalidInputError(Problem("$", message))
            shape = [length if isinstance(length, int) else len(data) // size for length in tensor.shape]
        self._parser.check_shape(tensor, shape, "$")
        inputs = {tensor.name: tensor_of_bytes(data, tensor.type, shape, "$")}
        rows = self._parser.check_tensors(inputs, {tensor.name: "$"})
        return PredictRequest(inputs, rows, record), _Writer(self, None, None)

    def _limit(self, parameters: Parameters | None, record: RequestRecord) -> None:
        """Keep to what the caller says of its patience in the body, where it says nothing in a header."""
        if parameters is None or record.sets_deadline:
            return
        patience_ns = timeout_ns(parameters.get("timeout"))
        if patience_ns:
            record.body_deadline = "parameters.timeout"
            record.deadline_ns = record.started_ns + min(patience_ns, self._deadlines.most_ns)

    def _tensors(self, given: list[InputTensor], data: memoryview) -> tuple[Tensors, dict[str, str]]:
        tensors: Tensors = {}
        paths: dict[str, str] = {}
        at = 0
        for number, each in enumerate(given):
            path = f"$.inputs[{number}]"
            tensor = self._checks.input(each.name, each.datatype, each.shape, path, before=tensors)
            if each.parameters is not None and SHARED_MEMORY in each.parameters:
                raise InvalidInputError(Problem(f"{path}.parameters", "shared memory is not supported"))
            size = None if each.parameters is None else each.parameters.get("binary_data_size")
            if size is None:
                if each.data is msgspec.UNSET:
                    raise InvalidInputError(Problem(path, "it has no 'data', and no 'binary_data_size'"))
                tensors[each.name] = tensor_of_json(
                    each.data, tensor.type, each.shape, f"{path}.data", may_miss=self._may_miss[each.name]
                )
            else:
                if type(size) is not int or size < 0:
                    message = f"expected a number of bytes, got {shortened(str(size))!r}"
                    raise MalformedError(f"{path}.parameters.binary_data_size: {message}")
                if each.data is not msgspec.UNSET:
                    raise InvalidInputError(Problem(path, "it has both 'data' and a 'binary_data_size'"))
                if size > len(data) - at:
                    raise MalformedError(
                        f"{path}: {size} bytes of binary data are announced, and {len(data) - at} are left"
                    )
                tensors[each.name] = tensor_of_bytes(data[at : at + size], tensor.type, each.shape, path)
                at += size
            paths[each.name] = path
        if at != len(data):
            raise MalformedError(f"{len(data) - at} bytes of binary data belong to no input")
        self._checks.complete(tensors)
        return tensors, paths

    def _wanted(self, message: InferRequest) -> tuple[tuple[str, ...] | None, _Writer]:
        """The outputs that are wanted, and what writes them."""
        everything = _flag(message.parameters, "binary_data_output", "$.parameters")
        if not message.outputs:
            return None, _Writer(self, message.id, None if everything else frozenset())
        names: list[str] = []
        binary: set[str] = set()
        for number, each in enumerate(message.outputs):
            path = f"$.outputs[{number}]"
            self._checks.output(each.name, each.parameters or {}, path, before=names)
            names.append(each.name)
            if _flag(each.parameters, "binary_data", f"{path}.parameters", default=everything):
                binary.add(each.name)
        return tuple(names), _Writer(self, message.id, frozenset(binary))

    def write(
        self, response: PredictResponse, request_id: str | None, binary: frozenset[str] | None
    ) -> bytes | Payload:
        """Write an answer.

        Args:
            response: The answer.
            request_id: What the caller called its request.
            binary: The outputs that go as binary data; None means all.
        """
        source = response.source
        answer: dict[str, Any] = {
            "model_name": self._model if source is None else source.name,
            "model_version": self._version if source is None else str(source.version),
        }
        if request_id is not None:
            answer["id"] = request_id
        if response.degraded is not None:
            answer["parameters"] = {"degraded": True, "served_by": response.served_by}
        outputs: list[dict[str, Any]] = []
        pieces: list[bytes] = []
        for name, tensor in response.outputs.items():
            written: dict[str, Any] = {
                "name": name,
                "datatype": DATATYPES[self._checks.dtype_of(name, tensor)],
                "shape": list(tensor.shape),
            }
            if binary is None or name in binary:
                pieces.append(bytes_of(tensor))
                written["parameters"] = {"binary_data_size": len(pieces[-1])}
            else:
                written["data"] = json_values(_flat(tensor))
            outputs.append(written)
        answer["outputs"] = outputs
        head = encode(answer)
        if binary is not None and not binary:
            return head
        headers = ((b"content-type", _BINARY), (HEADER, str(len(head)).encode()))
        return Payload(b"".join((head, *pieces)), headers)


def _message(body: bytes, record: RequestRecord) -> InferRequest:
    """The JSON that a body is as a whole.

    Raises:
        MalformedError: It is none; a header is missing if it is said to be binary.
    """
    try:
        return decode_message(body)
    except RequestError as error:
        if not (record.header(b"content-type") or b"").lower().startswith(_BINARY):
            raise
        raise MalformedError(
            f"{error}; binary data want Inference-Header-Content-Length: the length of the JSON before them, 0 for none"
        ) from error


class _Writer:
    """Writes the answer to one request; see `Encode`."""

    __slots__ = ("_binary", "_codec", "_id")

    def __init__(self, codec: V2Codec, request_id: str | None, binary: frozenset[str] | None) -> None:
        self._codec = codec
        self._id = request_id
        self._binary = binary

    def __call__(self, request: PredictRequest, response: PredictResponse) -> bytes | Payload:
        del request
        return self._codec.write(response, self._id, self._binary)


def _flag(parameters: Parameters | None, name: str, path: str, *, default: bool = False) -> bool:
    value = None if parameters is None else parameters.get(name)
    if value is None:
        return default
    if type(value) is not bool:
        raise InvalidInputError(
            Problem(f"{path}.{name}", f"expected true or false, got {shortened(str(value))!r}")
        )
    return value


def _flat(tensor: Array) -> Array:
    return np.ascontiguousarray(tensor).reshape(-1)


def _shown(tensor: Tensor) -> str:
    return f"{shortened(tensor.name)!r} of {tensor.dtype} and the shape {list(tensor.lengths)}"
