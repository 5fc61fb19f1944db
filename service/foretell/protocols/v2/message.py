"""The JSON of a request, with the data of its tensors left unread.

What the protocol does not know is ignored, as it asks.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from foretell.errors import MalformedError
from foretell.protocols.json_body import decode_json
from foretell.protocols.not_finite import not_finite_as

__all__ = [
    "InferRequest",
    "InputTensor",
    "Parameters",
    "RequestedOutput",
    "decode_message",
]

Parameters = dict[str, bool | int | float | str | None]
"""What may be said of a request or a tensor; values are plain."""

_LONGEST: Final = 2**62
_MOST_AXES: Final = 64


class InputTensor(msgspec.Struct, frozen=True):
    """One input tensor.

    Attributes:
        name: Its name.
        shape: The length of each axis; empty for a scalar.
        datatype: The protocol's name of its element type.
        parameters: What is said of it.
        data: Its elements as JSON, flat or nested; absent where they come as binary data.
    """

    name: str
    shape: Annotated[list[Annotated[int, Meta(ge=0, le=_LONGEST)]], Meta(max_length=_MOST_AXES)]
    datatype: str
    parameters: Parameters | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class RequestedOutput(msgspec.Struct, frozen=True):
    """One output that is wanted.

    Attributes:
        name: Its name.
        parameters: What is said of it.
    """

    name: str
    parameters: Parameters | None = None


class InferRequest(msgspec.Struct, frozen=True):
    """A request.

    Attributes:
        inputs: The input tensors, in any order.
        id: What the answer is to repeat.
        parameters: What is said of the request.
        outputs: The outputs that are wanted; all if there are none.
    """

    inputs: list[InputTensor]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[RequestedOutput] | None = None


_DECODER: Final = msgspec.json.Decoder(InferRequest)


def decode_message(body: bytes | memoryview) -> InferRequest:
    """Read the JSON of a request. Numbers that JSON has no form for may stand there as other libraries write them.

    Raises:
        MalformedError: It is no JSON.
        InvalidInputError: It is not what the protocol says.
    """
    try:
        return decode_json(_DECODER, body)
    except MalformedError:
        found = bytes(body)
        quoted = not_finite_as(found, nan=b'"NaN"', infinity=b'"Infinity"')
        nulled = not_finite_as(found, nan=b"null", infinity=b"0")
        if quoted is None or nulled is None:
            raise
        message, of_texts = decode_json(_DECODER, quoted), decode_json(_DECODER, nulled)
    inputs = [
        as_null if given.datatype == "BYTES" else given  # no text is what was never written as one
        for given, as_null in zip(message.inputs, of_texts.inputs, strict=True)
    ]
    return msgspec.structs.replace(message, inputs=inputs)
