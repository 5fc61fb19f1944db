"""What came back, as JSON or as the error that it tells of: the one place that knows what an HTTP status means."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx

from foretell.client.errors import (
    AccessDeniedError,
    DeadlineError,
    ForetellError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    Problem,
    ServerError,
    UnexpectedAnswerError,
    UnreachableError,
)
from foretell.client.json_values import is_list, is_object

__all__ = ["Reply", "error_of_loss", "error_of_reply", "json_of"]

_BY_ANYBODY: Final[dict[int, type[ForetellError]]] = {
    401: AccessDeniedError,
    403: AccessDeniedError,
    413: InvalidInputError,
    429: OverloadedError,
    503: OverloadedError,
    504: DeadlineError,
}
"""What means the same from the server and from a proxy before it."""

_BY_THE_SERVER: Final[dict[int, type[ForetellError]]] = {
    400: InvalidInputError,
    404: NotFoundError,
    415: InvalidInputError,
    422: InvalidInputError,
}
"""What speaks of the request only if the server says it: a proxy's 404 tells of a path, not of a model."""

_SHOWN_CHARACTERS: Final = 120


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer.

    Attributes:
        status: The HTTP status.
        headers: Its headers.
        body: Its body, decompressed.
    """

    status: int
    headers: httpx.Headers
    body: bytes


def json_of(reply: Reply) -> dict[str, Any]:
    """The JSON object that an answer is.

    Raises:
        UnexpectedAnswerError: It is none.
    """
    found = _json_object(reply.body)
    if found is None:
        raise UnexpectedAnswerError(
            f"expected a foretell server's JSON, got {_excerpt(reply)}: is the base URL right?",
            status=reply.status,
            request_id=reply.headers.get("x-request-id"),
        )
    return found


def error_of_reply(reply: Reply) -> ForetellError | None:
    """The error that an answer tells of; None if it is a success.

    Source: RFC 9457, Problem Details for HTTP APIs.
    """
    status = reply.status
    if 200 <= status < 300:
        return None
    problem = _json_object(reply.body) or {}
    detail = problem.get("detail")
    told = isinstance(detail, str)
    kind = _BY_ANYBODY.get(status) or (_BY_THE_SERVER.get(status) if told else None)
    if kind is None:
        kind = ServerError if status >= 500 else UnexpectedAnswerError
    return kind(
        str(detail) if told else f"got {_excerpt(reply)}",
        status=status,
        errors=_problems_of(problem),
        request_id=reply.headers.get("x-request-id"),
        retry_after_s=_retry_after_s(reply.headers),
    )


def error_of_loss(loss: Exception, host: str) -> ForetellError:
    """The error where there was no whole answer.

    Args:
        loss: What httpx or the clock raised.
        host: Who was asked.
    """
    what = str(loss) or type(loss).__name__
    if isinstance(loss, (httpx.TimeoutException, TimeoutError)):
        return DeadlineError(f"{host} did not answer before the deadline (timeout_s)")
    if isinstance(loss, (httpx.LocalProtocolError, httpx.UnsupportedProtocol)):
        return InvalidInputError(f"the request cannot be sent: {what}")
    if isinstance(loss, (httpx.DecodingError, httpx.TooManyRedirects)):
        return UnexpectedAnswerError(f"the answer of {host} cannot be read: {what}")
    return UnreachableError(f"no answer from {host}: {what}")


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if is_object(value) else None


def _problems_of(problem: dict[str, Any]) -> tuple[Problem, ...]:
    entries: object = problem.get("errors")
    return tuple(
        Problem(str(entry.get("path", "")), str(entry.get("message", "")))
        for entry in (entries if is_list(entries) else [])
        if is_object(entry)
    )


def _excerpt(reply: Reply) -> str:
    """What an answer is that is no foretell server's, for a message."""
    shown = " ".join(reply.body[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "replace").split())
    shown = shown if len(shown) <= _SHOWN_CHARACTERS else shown[:_SHOWN_CHARACTERS] + "…"
    media = reply.headers.get("content-type", "no media type")
    return f"the status {reply.status} with {media}: {shown!r}"


def _retry_after_s(headers: httpx.Headers) -> float | None:
    """When to ask again, in seconds; None if that is not said, or in no form that is known.

    A date is compared with the sender's own clock where that is told: the two hosts need not agree on the time.

    Source: RFC 9110, section 10.2.3, Retry-After.
    """
    text = headers.get("retry-after", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        at_s = _seconds_of(text)
        if at_s is None:
            return None
        sent_s = _seconds_of(headers.get("date", ""))
        return max(at_s - (time.time() if sent_s is None else sent_s), 0.0)
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _seconds_of(date: str) -> float | None:
    """An HTTP date in seconds since 1970; None if it is none."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None
