"""JSON bodies whose types are a protocol's own, and do not come from a model's signature."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from foretell.errors import InvalidInputError, MalformedError, Problem
from foretell.protocols.complaints import DECODE_ERRORS, malformed

__all__ = ["decode_json"]

T = TypeVar("T")

_BEFORE_PLACE: Final = " - at `"


def decode_json(decoder: msgspec.json.Decoder[T], body: bytes | memoryview) -> T:
    """Read JSON into a type of the protocol's own.

    Raises:
        MalformedError: It is no JSON.
        InvalidInputError: It is not of that type.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        # No text of the caller stands in these messages: it names no key that it does not know, and no value.
        what, place, path = str(error).rpartition(_BEFORE_PLACE)
        message = (what if place else str(error)).replace("`", "'")
        raise InvalidInputError(
            Problem(path[:-1] if place else "$", message[:1].lower() + message[1:])
        ) from error
    except DECODE_ERRORS as error:
        raise MalformedError(malformed(error, bytes(body))) from error
