"""The forms in which rows are asked about: a path, headers and a body for each protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from foretell.protocols.v2.binary import bytes_of
from foretell.protocols.v2.datatypes import DATATYPES

if TYPE_CHECKING:
    from foretell.parser import Parser
    from foretell.signature import Signature
    from foretell.tensors import Array

__all__ = ["FORMS", "Form", "Request"]

_JSON: Final = {"Content-Type": "application/json"}


class Request(NamedTuple):
    """What is posted.

    Attributes:
        path: Where to.
        headers: Beside the length.
        body: What.
    """

    path: str
    headers: Mapping[str, str]
    body: bytes


class Form(NamedTuple):
    """A way to ask about rows.

    Attributes:
        make: Makes the request, from the model's name, its parser, and rows as `Rows` draws them.
        default_model: Whether only the default model can be asked so.
        one_row: Whether only one row can.
    """

    make: Callable[[str, Parser, Sequence[Any]], Request]
    default_model: bool = False
    one_row: bool = False


def _native_rows(model: str, parser: Parser, rows: Sequence[Any]) -> Request:
    del parser
    return _json(f"/v1/models/{model}:predict", {"instances": list(rows)})


def _native_records(model: str, parser: Parser, rows: Sequence[Any]) -> Request:
    return _json(f"/v1/models/{model}:predict", {"instances": _records(parser.signature, rows)})


def _simple(model: str, parser: Parser, rows: Sequence[Any]) -> Request:
    del model, parser
    return _json("/predict", {"features": rows[0]})


def _batch(model: str, parser: Parser, rows: Sequence[Any]) -> Request:
    del model, parser
    return _json("/predict/batch", {"instances": list(rows)})


def _invocations(model: str, parser: Parser, rows: Sequence[Any]) -> Request:
    del model
    return _json("/invocations", {"instances": _records(parser.signature, rows)})


def _v2_json(model: str, parser: Parser, rows: Sequence[Any]) -> Request:
    inputs = [
        {**_described(parser.signature, name, tensor), "data": _flat(tensor)}
        for name, tensor in _tensors(parser, rows).items()
    ]
    return _json(f"/v2/models/{model}/infer", {"id": "load", "inputs": inputs})


def _v2_binary(model: str, parser: Parser, rows: Sequence[Any]) -> Request:
    tensors = {name: (tensor, bytes_of(tensor)) for name, tensor in _tensors(parser, rows).items()}
    inputs = [
        {
            **_described(parser.signature, name, tensor),
            "parameters": {"binary_data_size": len(data)},
        }
        for name, (tensor, data) in tensors.items()
    ]
    message = msgspec.json.encode({"id": "load", "inputs": inputs})
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(message)),
    }
    body = message + b"".join(data for _, data in tensors.values())
    return Request(f"/v2/models/{model}/infer", headers, body)


FORMS: Final[Mapping[str, Form]] = MappingProxyType(
    {
        "native": Form(_native_rows),
        "records": Form(_native_records),
        "simple": Form(_simple, default_model=True, one_row=True),
        "batch": Form(_batch, default_model=True),
        "v2": Form(_v2_json),
        "v2-binary": Form(_v2_binary),
        "invocations": Form(_invocations, default_model=True),
    }
)
"""The forms, by what they are called in targets and reports."""


def _json(path: str, message: object) -> Request:
    return Request(path, _JSON, msgspec.json.encode(message))


def _records(signature: Signature, rows: Sequence[Any]) -> list[Any]:
    names = [column.name for column in signature.columns]
    return [dict(zip(names, row, strict=True)) for row in rows] if names else list(rows)


def _tensors(parser: Parser, rows: Sequence[Any]) -> dict[str, Array]:
    if parser.rows is None:
        raise ValueError("its inputs share no first axis to be rows")
    typed = msgspec.convert(list(rows), parser.rows)
    tensors, _ = parser.tensors_of_rows(typed)
    return dict(tensors)


def _described(signature: Signature, name: str, tensor: Array) -> dict[str, Any]:
    described = next(each for each in signature.inputs if each.name == name)
    return {"name": name, "datatype": DATATYPES[described.dtype], "shape": list(tensor.shape)}


def _flat(tensor: Array) -> list[Any]:
    return [None if value != value else value for value in tensor.ravel().tolist()]  # noqa: PLR0124 - NaN
