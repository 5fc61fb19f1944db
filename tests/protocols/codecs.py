"""Codecs to speak through, and short ways to ask and be answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import msgspec
import pytest

from foretell.errors import InvalidInputError, MalformedError
from foretell.parser import Parser
from foretell.prediction import PredictResponse, RequestRecord
from foretell.protocols.codec import body_of as written
from foretell.protocols.native import NativeCodec
from foretell.protocols.simple import SimpleBatchCodec, SimpleCodec

if TYPE_CHECKING:
    from foretell.parser import Tensors
    from foretell.protocols.codec import Codec
    from foretell.signature import Signature

__all__ = [
    "answer",
    "body_of",
    "decode",
    "fits",
    "fits_schema",
    "malformed",
    "native",
    "record",
    "refused",
    "shown",
    "simple",
    "simple_batch",
]


def native(signature: Signature, *, max_rows: int = 10) -> NativeCodec:
    """The native protocol of version 3 of the model m."""
    return NativeCodec(Parser(signature, max_rows=max_rows, name="m.3."), model="m", version=3, name="m.3.")


def simple(signature: Signature, *, max_rows: int = 10) -> SimpleCodec:
    """The simple protocol for one row."""
    return SimpleCodec(Parser(signature, max_rows=max_rows, name="m.3."), model="m", version=3, name="m.3.")


def simple_batch(signature: Signature, *, max_rows: int = 10) -> SimpleBatchCodec:
    """The simple protocol for several rows."""
    return SimpleBatchCodec(
        Parser(signature, max_rows=max_rows, name="m.3."), model="m", version=3, name="m.3."
    )


def shown(value: object) -> str:
    """A parameter in the name of a test: the same in every process, so a codec goes by its kind."""
    codecs = (NativeCodec, SimpleCodec, SimpleBatchCodec)
    return type(value).__name__ if isinstance(value, codecs) else str(value)


def record(request_id: str = "id") -> RequestRecord:
    """The record of a request that has just begun."""
    return RequestRecord(request_id, "native", 0)


def body_of(value: object) -> bytes:
    """A request's body: bytes as they are, anything else as JSON."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def decode(codec: Codec, body: object) -> Tensors:
    """The tensors of a request."""
    return codec.decode(body_of(body), record())[0].inputs


def answer(codec: Codec, body: object, outputs: Tensors) -> Any:
    """The answer to a request, read back from its bytes and checked against the schema of answers."""
    request, encode = codec.decode(body_of(body), record())
    given = json.loads(written(encode(request, PredictResponse(outputs))), parse_constant=pytest.fail)
    assert fits(codec.response_schema(), given)
    return given


def refused(codec: Codec, body: object) -> tuple[str, str]:
    """The one place and message that a request is refused with."""
    with pytest.raises(InvalidInputError) as error:
        codec.decode(body_of(body), record())
    ((path, message),) = error.value.problems
    return path, message


def malformed(codec: Codec, body: bytes) -> str:
    """The message that a request is refused with as no JSON at all."""
    with pytest.raises(MalformedError) as error:
        codec.decode(body, record())
    return str(error.value)


def fits_schema(codec: Codec, body: object) -> bool:
    """Whether a body fits the schema that is published of requests."""
    return fits(msgspec.json.schema(codec.request_type), body)


def fits(schema: dict[str, Any], value: object) -> bool:
    """Whether a value fits a schema."""
    validator: Any = jsonschema.Draft202012Validator(schema)
    return bool(validator.is_valid(value))
