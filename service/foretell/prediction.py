"""One prediction: what is asked of a model, what it answers, and the record that is left of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from foretell.tensors import Array

__all__ = ["Observe", "Predict", "PredictRequest", "PredictResponse", "RequestRecord"]


class PredictRequest(msgspec.Struct, frozen=True, gc=False):
    """What is asked of one version of a model.

    Attributes:
        inputs: The input tensors by name.
        rows: How many rows they hold.
        request_id: The identity of the request, for logs and the answer.
    """

    inputs: dict[str, Array]
    rows: int
    request_id: str


class PredictResponse(msgspec.Struct, frozen=True, gc=False):
    """What a version answered.

    Attributes:
        outputs: The output tensors by name, in the order of the signature.
    """

    outputs: dict[str, Array]


Predict = Callable[[PredictRequest], Awaitable[PredictResponse]]
"""Something that answers predictions: a version, or a plugin around one."""


class RequestRecord(msgspec.Struct, gc=False):
    """What is left of a request after its answer was sent, for logs and other observers.

    Attributes:
        request_id: The identity of the request.
        protocol: The wire protocol, for instance ``native``.
        started_ns: When the request was taken up, by a monotonic clock, ns.
        model: The model's name; empty if the request named none that exists.
        version: The version that answered, or was to; 0 if there is none.
        rows: The number of rows; 0 if the request was refused before they were counted.
        status: The HTTP status.
        failure: What went wrong; None if nothing did.
        decoded_ns: When its tensors were ready, ns; 0 if it did not get there.
        predicted_ns: When the outputs were ready, ns; 0 if it did not get there.
        finished_ns: When the answer's bytes were ready, ns.
    """

    request_id: str
    protocol: str
    started_ns: int
    model: str = ""
    version: int = 0
    rows: int = 0
    status: int = 0
    failure: Exception | None = None
    decoded_ns: int = 0
    predicted_ns: int = 0
    finished_ns: int = 0


Observe = Callable[[Sequence[RequestRecord]], None]
"""Something that takes records of answered requests, many at a time."""
