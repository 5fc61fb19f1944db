"""The messages of the protocol, and of gRPC's own health checks.

They live in a pool of their own: the clients of other servers bring the same names, and protobuf's common pool takes
each name once in a process. Nothing is generated; what goes over the wire is told by the numbers.

Source: Open Inference Protocol, inference gRPC; gRPC health checking protocol.
"""

from __future__ import annotations

import re
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from foretell.errors import MalformedError

__all__ = [
    "Asked",
    "HealthCheckRequest",
    "HealthCheckResponse",
    "ModelInferRequest",
    "ModelInferResponse",
    "ModelMetadataRequest",
    "ModelMetadataResponse",
    "ModelReadyRequest",
    "ModelReadyResponse",
    "ServerLiveResponse",
    "ServerMetadataResponse",
    "ServerReadyResponse",
    "parse",
]

_Fields = tuple[str, ...]

_PARAMETERS: Final = "map InferParameter parameters = 4"
_TENSOR: Final[_Fields] = (
    "string name = 1",
    "string datatype = 2",
    "repeated int64 shape = 3",
    _PARAMETERS,
    "InferTensorContents contents = 5",
)
_NAME_AND_VERSION: Final[_Fields] = ("string name = 1", "string version = 2")

_INFERENCE: Final[dict[str, _Fields]] = {
    "ServerLiveRequest": (),
    "ServerLiveResponse": ("bool live = 1",),
    "ServerReadyRequest": (),
    "ServerReadyResponse": ("bool ready = 1",),
    "ModelReadyRequest": _NAME_AND_VERSION,
    "ModelReadyResponse": ("bool ready = 1",),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": ("string name = 1", "string version = 2", "repeated string extensions = 3"),
    "ModelMetadataRequest": _NAME_AND_VERSION,
    "ModelMetadataResponse": (
        "string name = 1",
        "repeated string versions = 2",
        "string platform = 3",
        "repeated ModelMetadataResponse.TensorMetadata inputs = 4",
        "repeated ModelMetadataResponse.TensorMetadata outputs = 5",
    ),
    "ModelMetadataResponse.TensorMetadata": (
        "string name = 1",
        "string datatype = 2",
        "repeated int64 shape = 3",
    ),
    "InferParameter": (
        "oneof bool bool_param = 1",
        "oneof int64 int64_param = 2",
        "oneof string string_param = 3",
        "oneof double double_param = 4",
        "oneof uint64 uint64_param = 5",
    ),
    "InferTensorContents": (
        "repeated bool bool_contents = 1",
        "repeated int32 int_contents = 2",
        "repeated int64 int64_contents = 3",
        "repeated uint32 uint_contents = 4",
        "repeated uint64 uint64_contents = 5",
        "repeated float fp32_contents = 6",
        "repeated double fp64_contents = 7",
        "repeated bytes bytes_contents = 8",
    ),
    "ModelInferRequest": (
        "string model_name = 1",
        "string model_version = 2",
        "string id = 3",
        _PARAMETERS,
        "repeated ModelInferRequest.InferInputTensor inputs = 5",
        "repeated ModelInferRequest.InferRequestedOutputTensor outputs = 6",
        "repeated bytes raw_input_contents = 7",
    ),
    "ModelInferRequest.InferInputTensor": _TENSOR,
    "ModelInferRequest.InferRequestedOutputTensor": (
        "string name = 1",
        "map InferParameter parameters = 2",
    ),
    "ModelInferResponse": (
        "string model_name = 1",
        "string model_version = 2",
        "string id = 3",
        _PARAMETERS,
        "repeated ModelInferResponse.InferOutputTensor outputs = 5",
        "repeated bytes raw_output_contents = 6",
    ),
    "ModelInferResponse.InferOutputTensor": _TENSOR,
    # Ours: the beginning of a ModelInferRequest, for who only wants to know which model is asked.
    "Asked": ("string model_name = 1", "string model_version = 2"),
}

# Its status is an enumeration, which goes over the wire as this integer does.
_HEALTH: Final[dict[str, _Fields]] = {
    "HealthCheckRequest": ("string service = 1",),
    "HealthCheckResponse": ("int32 status = 1",),
}

_FIELD: Final = re.compile(r"(?:(repeated|oneof|map) )?([\w.]+) (\w+) = (\d+)")
_Field = descriptor_pb2.FieldDescriptorProto


def _file(package: str, messages: dict[str, _Fields]) -> descriptor_pb2.FileDescriptorProto:
    """The description of messages; the name of one that stands inside another has a dot."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"foretell/{package}.proto", package=package, syntax="proto3"
    )
    made: dict[str, Any] = {}
    for name, fields in messages.items():
        outer, _, own = name.rpartition(".")
        message = made[name] = (made[outer].nested_type if outer else file.message_type).add(name=own)
        for field in fields:
            _add_field(message, f".{package}.{name}", package, field)
    return file


def _add_field(message: Any, full_name: str, package: str, text: str) -> None:
    found = _FIELD.fullmatch(text)
    if found is None:  # a slip in the tables above
        raise ValueError(f"{full_name}: {text!r} is no field")
    label, kind, name, number = found.groups()
    field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    if label == "oneof":
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
    elif label is not None:
        field.label = _Field.LABEL_REPEATED
    if label == "map":
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        entry_name = f"{full_name}.{entry.name}"
        _add_field(entry, entry_name, package, "string key = 1")
        _add_field(entry, entry_name, package, f"{kind} value = 2")
        field.type, field.type_name = _Field.TYPE_MESSAGE, entry_name
    elif kind[0].isupper():
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{package}.{kind}"
    else:
        field.type = getattr(_Field, f"TYPE_{kind.upper()}")


_POOL: Final = descriptor_pool.DescriptorPool()
for _each in (_file("inference", _INFERENCE), _file("grpc.health.v1", _HEALTH)):
    _POOL.AddSerializedFile(_each.SerializeToString())


def _class(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))


ServerLiveResponse: Final = _class("inference.ServerLiveResponse")
ServerReadyResponse: Final = _class("inference.ServerReadyResponse")
ModelReadyRequest: Final = _class("inference.ModelReadyRequest")
ModelReadyResponse: Final = _class("inference.ModelReadyResponse")
ServerMetadataResponse: Final = _class("inference.ServerMetadataResponse")
ModelMetadataRequest: Final = _class("inference.ModelMetadataRequest")
ModelMetadataResponse: Final = _class("inference.ModelMetadataResponse")
ModelInferRequest: Final = _class("inference.ModelInferRequest")
ModelInferResponse: Final = _class("inference.ModelInferResponse")
Asked: Final = _class("inference.Asked")
HealthCheckRequest: Final = _class("grpc.health.v1.HealthCheckRequest")
HealthCheckResponse: Final = _class("grpc.health.v1.HealthCheckResponse")

_UNCOUNTED_BYTES: Final = 64 * 1024
_MOST_FIELDS: Final = 10_000
_LONGEST_VARINT: Final = 70


def parse(kind: Any, body: bytes) -> Any:
    """Read a message.

    Args:
        kind: Its class.
        body: Its bytes.

    Raises:
        MalformedError: They are no such message, or one of more parts than any model has.
    """
    if len(body) > _UNCOUNTED_BYTES and has_more_fields(body, _MOST_FIELDS):
        raise MalformedError(f"the message has more than {_MOST_FIELDS} parts")
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise MalformedError(
            f"the message is damaged, or no message of protobuf at all ({len(body)} bytes)"
        ) from error


def has_more_fields(body: bytes, most: int) -> bool:
    """Whether a message has more fields than some number, those within its fields not counted.

    Each takes fifty times its bytes in memory once it is read, and holds up everything while it is. What is no
    message has none: who reads it says so.

    Source: Protocol Buffers, encoding: tags, varints and the wire types.
    """
    at, count, end = 0, 0, len(body)
    while at < end:
        count += 1
        if count > most:
            return True
        tag, at = _varint(body, at)
        match tag & 7:
            case 0:
                _, at = _varint(body, at)
            case 1:
                at += 8
            case 2:
                length, at = _varint(body, at)
                at += length
            case 5:
                at += 4
            case _:
                return False
    return False


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, and where it ends; behind the end of the body there are zeros."""
    value = shift = 0
    while shift < _LONGEST_VARINT:
        byte = body[at] if at < len(body) else 0
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return value, at
