"""The envelopes of JSON requests: read into their types, or refused with what is wrong and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from foretell.protocols.complaints import DECODE_ERRORS, complaint
from foretell.protocols.excess import check_excess
from foretell.protocols.not_finite import not_finite_as

if TYPE_CHECKING:
    from foretell.parser import Capacity, Parser

__all__ = ["Envelope"]


class Envelope:
    """The JSON object that a protocol has rows or columns in.

    Args:
        request_type: Its type.
        parser: The parser of the version.
        capacity: The most that a body can hold; what the version takes at most if None.
    """

    def __init__(self, request_type: type, parser: Parser, capacity: Capacity | None = None) -> None:
        self._type = request_type
        self._signature = parser.signature
        self._capacity = parser.capacity() if capacity is None else capacity
        self._decode: Any = msgspec.json.Decoder(request_type).decode
        self._may_miss = any(column.missing != "refuse" for column in parser.signature.columns)

    def read(self, body: bytes) -> Any:
        """Read a body. Where the model takes missing values, ``NaN`` stands for one too.

        Raises:
            MalformedError: It is no JSON.
            InvalidInputError: It is not of its type.
        """
        try:
            check_excess(body, self._capacity, self._decode)
            return self._decode(body)
        except DECODE_ERRORS as error:
            if self._may_miss and not isinstance(error, msgspec.ValidationError):
                nulled = not_finite_as(body, nan=b"null")
                if nulled is not None:
                    return self.read(nulled)
            raise complaint(error, body, self._type, self._signature) from error
