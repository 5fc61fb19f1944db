"""Reading an ONNX file for what it refers to, before a runtime sees it.

The file is walked as protobuf wire data, so that a server needs neither the `onnx` package nor a full parse,
and tensor data is skipped, not copied.

Source: ONNX onnx.proto3 (field numbers), Protocol Buffers encoding (wire types), ONNX ExternalData.md.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import msgspec

from foretell.errors import ScreeningError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ExternalData", "Node", "confine", "external_data", "nodes", "weight_bytes"]

_MAX_DEPTH: Final = 200
"""Graphs inside attributes of nodes of graphs …: the greatest nesting of messages that is followed."""

_TENSOR: Final = "TensorProto"

_MESSAGES: Final[dict[str, dict[int, str]]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: _TENSOR, 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: _TENSOR,
        6: "GraphProto",
        10: _TENSOR,
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: _TENSOR, 2: _TENSOR},
}
"""The fields of each message that lead to a tensor, and what message is in them."""

_GRAPH: Final = 7
_FUNCTION: Final = 25
_NODE: Final = 1
_INPUT, _OUTPUT, _OPERATOR, _ATTRIBUTE, _DOMAIN = 1, 2, 4, 5, 7
_INT: Final = 3
_TO: Final = b"\x0a\x02to"
_CASTS: Final = {1: "float32", 7: "int64", 9: "bool", 11: "float64"}
"""The types that are told apart. Source: ONNX onnx.proto3, TensorProto.DataType."""
_INITIALIZER: Final = 5
_EXTERNAL_DATA: Final = 13
_DATA_LOCATION: Final = 14
_PREPACKED: Final = "prepacked_"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_KEY: Final = 2**32 - 1

_MAX_FIELDS: Final = 5_000_000
"""The greatest number of fields that are walked one by one; some seconds of work."""

_AT_ONCE: Final = 1024**2
"""How many bytes of plain numbers are skipped in one step, so that other threads get their turns."""


def _keys(wire: int) -> bytes:
    """A regular expression for the keys of one byte, of any field, with a wire type."""
    return b"[" + b"".join(b"\\x%02x" % (field << 3 | wire) for field in range(1, 16)) + b"]"


_NUMBERS: Final = re.compile(
    b"(?:"
    + _keys(_VARINT)
    + rb"[\x80-\xff]{0,9}+[\x00-\x7f]|"
    + _keys(_FIXED32)
    + b".{4}|"
    + _keys(_FIXED64)
    + rb".{8}|\x4a(?:\x0aBRANCH_LEQ|\x04LEAF))++",
    re.DOTALL,
)
"""Fields that lead nowhere: numbers, and the modes of a tree's nodes, of which a forest has millions.

Source: ONNX onnx.proto (``AttributeProto.ints``, ``floats`` and ``strings``, which are not packed).
"""


class ExternalData(msgspec.Struct, frozen=True):
    """Where a tensor's data lies outside the model file.

    Attributes:
        location: A path relative to the model file's folder, as the file has it.
        offset: Where the data begins in that file, bytes.
        length: How long it is, bytes; None means to the end of the file.
        prepacked: Where in that file copies of it begin in ONNX Runtime's own layout, bytes.
    """

    location: str
    offset: int = 0
    length: int | None = None
    prepacked: tuple[int, ...] = ()


class Node(msgspec.Struct, frozen=True):
    """A node of a graph.

    Attributes:
        operator: ``Add``, ``ai.onnx.ml.Scaler``, ``Cast to int64``.
        inputs: The names of what it takes.
        outputs: The names of what it gives.
    """

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def external_data(model: bytes) -> list[ExternalData]:
    """Every piece of external data that a model file refers to, wherever a tensor can stand.

    Raises:
        ScreeningError: The file is not protobuf wire data, is nested too deeply, or describes external data badly.
    """
    found: list[ExternalData] = []
    walked = 0
    pending: list[tuple[str, int, memoryview]] = [("ModelProto", 0, memoryview(model))]
    while pending:
        message, depth, data = pending.pop()
        if depth > _MAX_DEPTH:
            raise ScreeningError(f"the model's graphs are nested more than {_MAX_DEPTH} messages deep")
        if message == _TENSOR:
            found.extend(_external_data_of_tensor(data))
            continue
        children = _MESSAGES[message]
        for field, value in _fields(data, skip=_NUMBERS):
            walked += 1
            if walked > _MAX_FIELDS:
                raise ScreeningError(f"the model file has more than {_MAX_FIELDS} fields to look into")
            if field in children and isinstance(value, memoryview):
                pending.append((children[field], depth + 1, value))
    return found


def weight_bytes(model: bytes) -> int:
    """How much the weights of a model's own graph take inside its file, bytes; those of graphs inside it do not count.

    Raises:
        ScreeningError: The file is not protobuf wire data.
    """
    return sum(
        len(tensor)
        for field, graph in _fields(memoryview(model))
        if field == _GRAPH and isinstance(graph, memoryview)
        for part, tensor in _fields(graph)
        if part == _INITIALIZER and isinstance(tensor, memoryview)
    )


def nodes(model: bytes) -> list[Node]:
    """The nodes of a model's own graph, in their order; not of graphs inside it.

    Where it has functions of its own, each operator may be one of them: the first node is a ``function`` then.

    Raises:
        ScreeningError: The file is not protobuf wire data.
    """
    found: list[Node] = []
    for field, graph in _fields(memoryview(model)):
        if field == _FUNCTION:
            found.insert(0, Node("function", (), ()))
        if field == _GRAPH and isinstance(graph, memoryview):
            found += [
                _node(node) for part, node in _fields(graph) if part == _NODE and isinstance(node, memoryview)
            ]
    return found


def _node(node: memoryview) -> Node:
    names: dict[int, list[str]] = {_INPUT: [], _OUTPUT: [], _OPERATOR: [], _DOMAIN: []}
    target = 0
    for field, value in _fields(node):
        if not isinstance(value, memoryview):
            continue
        if field in names:
            names[field].append(_text(value))
        elif field == _ATTRIBUTE and bytes(value[:4]) == _TO:
            target = next(
                (number for key, number in _fields(value) if key == _INT and isinstance(number, int)), 0
            )
    operator, domain = "".join(names[_OPERATOR][-1:]), "".join(names[_DOMAIN][-1:])
    if operator == "Cast":
        operator = f"Cast to {_CASTS.get(target, target)}"
    if domain not in {"", "ai.onnx"}:
        operator = f"{domain}.{operator}"
    return Node(operator, tuple(names[_INPUT]), tuple(names[_OUTPUT]))


def confine(folder: Path, references: list[ExternalData]) -> set[str]:
    """Check that external data stays inside a version's folder.

    Args:
        folder: The folder of the model file.
        references: What `external_data` found.

    Returns:
        The names of the files that are referred to.

    Raises:
        ScreeningError: A location is absolute, climbs out, is a link (symbolic or hard) or no regular file, the file
            is too short, or holds what ONNX Runtime has laid out for itself.
    """
    for reference in references:
        _confine(folder, reference)
    return {reference.location for reference in references}


def _confine(folder: Path, reference: ExternalData) -> None:
    location = reference.location
    path = PurePosixPath(location)
    refused = "the model refers to external data at " + repr(location)
    if reference.prepacked:  # a runtime computes on what is there without a look at it
        raise ScreeningError(f"{refused} in a layout of ONNX Runtime's own, which is not for other machines")
    if (
        not location
        or path.is_absolute()
        or "\\" in location
        or "\0" in location
        or "*" in location
        or ".." in path.parts
    ):
        raise ScreeningError(f"{refused}, which is not a path inside the version's folder")
    target = folder
    try:
        for part in path.parts:
            target = target / part
            if target.is_symlink():
                raise ScreeningError(f"{refused}, which leads through a link")
        if not target.is_file():
            raise ScreeningError(f"{refused}, which is not a file in the version's folder")
        status = target.stat()
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise ScreeningError(f"{refused}, which cannot be read: {error.strerror}") from error
    if status.st_nlink > 1:
        raise ScreeningError(f"{refused}, which is a hard link: the same file has another name elsewhere")
    size = status.st_size
    end = reference.offset + (reference.length or 0)
    if reference.offset > size or end > size:
        raise ScreeningError(f"{refused} up to byte {end}, but that file has {size} bytes")


def _external_data_of_tensor(data: memoryview) -> Iterator[ExternalData]:
    entries: dict[str, str] = {}
    is_external = False
    for field, value in _fields(data):
        if field == _EXTERNAL_DATA and isinstance(value, memoryview):
            pair = {key: _text(part) for key, part in _fields(value) if isinstance(part, memoryview)}
            entries[pair.get(1, "")] = pair.get(2, "")
        elif field == _DATA_LOCATION:
            is_external = value == 1
    if is_external or entries:
        yield ExternalData(
            location=entries.get("location", ""),
            offset=_size(entries.get("offset", "0")),
            length=_size(entries["length"]) if "length" in entries else None,
            prepacked=tuple(
                _size(blob.partition(";")[0])
                for key, value in entries.items()
                if key.startswith(_PREPACKED)
                for blob in value.split("|")[1:]
            ),
        )


def _text(data: memoryview) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise ScreeningError("the model has a name in bytes that are not UTF-8") from error


def _size(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise ScreeningError(f"the model gives {text!r} as an offset or length of external data")
    return int(text)


def _fields(
    data: memoryview, skip: re.Pattern[bytes] | None = None
) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of one message: number and value (bytes for length-delimited ones), but for those to skip."""
    at = 0
    end = len(data)
    while at < end:
        if skip is not None and (found := skip.match(data, at, min(end, at + _AT_ONCE))):
            at = found.end()
            continue
        key, at = _varint(data, at)
        if key > _MAX_KEY:  # a runtime would cut it to 32 bits, and see another field than this walk
            raise ScreeningError("the file is not an ONNX model: it has an overlong field number")
        field, wire = key >> 3, key & 7
        if field == 0:
            raise ScreeningError("the file is not an ONNX model: it has a field of number 0")
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield field, value
        elif wire == _BYTES:
            length, at = _varint(data, at)
            if length > end - at:
                raise ScreeningError("the file is not an ONNX model, or is truncated")
            yield field, data[at : at + length]
            at += length
        elif wire in {_FIXED64, _FIXED32}:
            at += 8 if wire == _FIXED64 else 4
        else:
            raise ScreeningError("the file is not an ONNX model: it has an unknown wire type")
    if at != end:
        raise ScreeningError("the file is not an ONNX model, or is truncated")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ScreeningError("the file is not an ONNX model, or is truncated")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ScreeningError("the file is not an ONNX model: it has an overlong number")
