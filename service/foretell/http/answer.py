"""What is sent back to a request, before any server has put it onto the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from foretell.prediction import RequestRecord

__all__ = ["Answer"]


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What is sent back.

    Attributes:
        status: The HTTP status.
        headers: Every header but the content length.
        body: The whole body.
        record: What is left of the request; hand it to `Core.observe` after the answer was sent.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    record: RequestRecord
