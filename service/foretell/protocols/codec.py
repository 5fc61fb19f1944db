"""What every wire protocol offers for one loaded version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from foretell.prediction import PredictRequest, PredictResponse, RequestRecord

__all__ = ["Codec", "Encode", "Payload", "body_of"]


class Payload(msgspec.Struct, frozen=True, gc=False):
    """The body of an answer that is no plain JSON.

    Attributes:
        body: The body.
        headers: What says how to read it, the content type among it.
    """

    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]


def body_of(written: bytes | Payload) -> bytes:
    """The body of an answer that was written."""
    return written if isinstance(written, bytes) else written.body


Encode = Callable[[PredictRequest, PredictResponse], bytes | Payload]
"""Writes an answer in the form in which the request was made; bytes are JSON.

Raises `InvalidInputError` where the answer cannot take that form.
"""


class Codec(Protocol):
    """The two directions of a wire protocol, compiled for one version.

    Attributes:
        protocol: The protocol's name, for logs and metrics.
        request_type: The msgspec type of the body, for its JSON schema.
    """

    protocol: str
    request_type: type

    def check_media(self, content_type: bytes | None) -> None:
        """Check that a body is said to be what the protocol has bodies of.

        Args:
            content_type: The value of ``Content-Type``, if there is one; of several, joined by commas.

        Raises:
            UnsupportedMediaError: It is said to be something else.
        """
        ...

    def decode(self, body: bytes, record: RequestRecord) -> tuple[PredictRequest, Encode]:
        """Read a request's body.

        Args:
            body: The whole body, decompressed.
            record: What is known of the request; it becomes the request's.

        Returns:
            The request, and what writes its answer.

        Raises:
            MalformedError: It is not well-formed.
            InvalidInputError: It is not what the model takes.
        """
        ...

    def example(self) -> object | None:
        """A body that the model accepts, as JSON values; None if the version has no example."""
        ...

    def response_schema(self) -> dict[str, Any]:
        """The JSON schema of the answer."""
        ...
