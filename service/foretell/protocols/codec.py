"""What every wire protocol offers for one loaded version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from foretell.prediction import PredictRequest, PredictResponse, RequestRecord

__all__ = ["Codec", "Encode"]

Encode = Callable[[PredictRequest, PredictResponse], bytes]
"""Writes an answer in the form in which the request was made.

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
