"""From a domain error to what the caller sees: the one place that knows which HTTP status an error has.

Source: RFC 9457, Problem Details for HTTP APIs; the member ``error`` is what clients of the Open Inference Protocol,
KServe V1 and TensorFlow Serving read.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final, cast

import msgspec

from foretell.errors import (
    AccessDeniedError,
    AdminKeyError,
    ConflictError,
    DeadlineError,
    ForetellError,
    InvalidInputError,
    MalformedError,
    NotFoundError,
    NotReadyError,
    QuotaExceededError,
    TooLargeError,
    UnsupportedMediaError,
)
from foretell.excerpts import shortened
from foretell.http.relocation import relocated

__all__ = ["PROBLEM_MEDIA_TYPE", "MethodNotAllowedError", "Problem", "problem_of", "problem_schema"]

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"

_STATUSES: Final[dict[type[ForetellError], HTTPStatus]] = {
    MalformedError: HTTPStatus.BAD_REQUEST,
    InvalidInputError: HTTPStatus.UNPROCESSABLE_ENTITY,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedMediaError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    NotFoundError: HTTPStatus.NOT_FOUND,
    ConflictError: HTTPStatus.CONFLICT,
    NotReadyError: HTTPStatus.SERVICE_UNAVAILABLE,
    AccessDeniedError: HTTPStatus.FORBIDDEN,
    AdminKeyError: HTTPStatus.UNAUTHORIZED,
    QuotaExceededError: HTTPStatus.TOO_MANY_REQUESTS,
    DeadlineError: HTTPStatus.GATEWAY_TIMEOUT,
}
_SHOWN_PATH: Final = 200


class MethodNotAllowedError(ForetellError):
    """A route exists, but not for this method."""

    def __init__(self, method: str, allowed: str) -> None:
        self.allowed = allowed
        super().__init__(f"{method} is not allowed here; use {allowed}")


class PlaceAndMessage(msgspec.Struct, frozen=True):
    """One thing that is wrong: a JSON path and what is wrong there."""

    path: str
    message: str


class Problem(msgspec.Struct, frozen=True):
    """The body of every error.

    Attributes:
        type: A URI that names the kind of problem.
        title: The kind of problem in words.
        status: The HTTP status.
        detail: What is wrong with this request.
        instance: The path that was asked; of a very long one the beginning.
        errors: Each thing that is wrong with the input.
        request_id: The identity of the request.
        error: The same as `detail`, under the name that other servers' clients look for.
    """

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: tuple[PlaceAndMessage, ...]
    request_id: str
    error: str

    def encode(self) -> bytes:
        """The problem as JSON; what in a plugin's words is no text is written as a question mark."""
        try:
            return msgspec.json.encode(self)
        except UnicodeEncodeError:  # a half of a surrogate pair
            return msgspec.json.encode(_written(msgspec.to_builtins(self)))


def _written(value: Any) -> Any:
    """A JSON value with nothing in its texts that cannot be written."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {key: _written(item) for key, item in cast("dict[str, Any]", value).items()}
    return (
        [_written(item) for item in cast("list[Any]", value)] if isinstance(value, (list, tuple)) else value
    )


def problem_of(
    error: Exception, *, path: str, request_id: str, prefix: str = "", invalid: int = 422
) -> tuple[Problem, dict[str, str]]:
    """What the caller sees of an error, and the headers that belong to it.

    What is not the caller's business (anything but a domain error about the request) has no detail.

    Args:
        error: Any exception.
        path: The path that was asked.
        request_id: The identity of the request.
        prefix: Where in another application the routes are that a message may name.
        invalid: The status of what is well-formed, but not what the model takes; protocols differ in it.
    """
    status = next((code for kind, code in _STATUSES.items() if isinstance(error, kind)), None)
    if status is HTTPStatus.UNPROCESSABLE_ENTITY:
        status = HTTPStatus(invalid)
    headers: dict[str, str] = {}
    if isinstance(error, MethodNotAllowedError):
        status, headers = HTTPStatus.METHOD_NOT_ALLOWED, {"allow": error.allowed}
    if status is HTTPStatus.UNAUTHORIZED:
        headers = {"www-authenticate": "Bearer"}
    if status is None:
        detail = f"the server failed to answer; its log says why under the request id {request_id}"
        return describe(HTTPStatus.INTERNAL_SERVER_ERROR, detail, path=path, request_id=request_id), headers
    if isinstance(error, (NotReadyError, QuotaExceededError)) and error.retry_after_s is not None:
        headers = {"retry-after": str(error.retry_after_s)}
    places = error.problems if isinstance(error, InvalidInputError) else ()
    errors = tuple(PlaceAndMessage(place, relocated(message, prefix)) for place, message in places)
    return describe(
        status, relocated(str(error), prefix), path=path, request_id=request_id, errors=errors
    ), headers


def describe(
    status: int, detail: str, *, path: str, request_id: str, errors: tuple[PlaceAndMessage, ...] = ()
) -> Problem:
    """A problem of a given status."""
    phrase = HTTPStatus(status).phrase
    return Problem(
        type="urn:foretell:problem:" + phrase.lower().replace(" ", "-"),
        title=phrase,
        status=int(status),
        detail=detail,
        instance=shortened(path, _SHOWN_PATH),
        errors=errors,
        request_id=request_id,
        error=detail,
    )


def problem_schema(ref_template: str) -> dict[str, Any]:
    """The JSON schemas of `Problem` and of what it holds, by component name."""
    return msgspec.json.schema_components([Problem], ref_template=ref_template)[1]
