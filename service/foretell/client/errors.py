"""What can go wrong for a caller, as a tree of exceptions.

ForetellError
├── InvalidInputError      the request is not what the model takes, by the server or before it was sent
├── AccessDeniedError      the caller may not ask this
├── NotFoundError          there is no such model, version or alias
├── OverloadedError        the server takes no more at the moment, or does not serve the model yet
├── DeadlineError          there was no answer in time
├── UnreachableError       there was no connection, or it broke
├── ServerError            the server failed
└── UnexpectedAnswerError  what answered is no foretell server: a proxy, another service, another path
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "AccessDeniedError",
    "DeadlineError",
    "ForetellError",
    "InvalidInputError",
    "NotFoundError",
    "OverloadedError",
    "Problem",
    "ServerError",
    "UnexpectedAnswerError",
    "UnreachableError",
]


class Problem(NamedTuple):
    """One thing that is wrong with an input: where (a JSON path) and what."""

    path: str
    message: str


class ForetellError(Exception):
    """Root of everything that the client raises on purpose.

    Attributes:
        detail: What is wrong, in words.
        status: The HTTP status; None if there was no answer.
        errors: Each thing that is wrong with the input.
        request_id: The identity of the request, which stands in the server's log.
        retry_after_s: When it is worth asking again, seconds; None if the server did not say.
        tries: How often it was tried.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        errors: tuple[Problem, ...] = (),
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.errors = errors
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.tries = 1

    def __str__(self) -> str:
        told = [
            f"status {self.status}" if self.status is not None else "",
            f"request {self.request_id}" if self.request_id is not None else "",
            f"{self.tries} tries" if self.tries > 1 else "",
        ]
        more = ", ".join(part for part in told if part)
        return f"{self.detail} ({more})" if more else self.detail


class InvalidInputError(ForetellError, ValueError):
    """The request is not what the model takes; `errors` says where and what."""


class AccessDeniedError(ForetellError, PermissionError):
    """The caller may not ask this."""


class NotFoundError(ForetellError, LookupError):
    """There is no such model, version or alias."""


class OverloadedError(ForetellError, RuntimeError):
    """The server takes no more at the moment, or does not serve the model yet; the same request may be answered later."""


class DeadlineError(ForetellError, TimeoutError):
    """There was no answer in time, by the server's clock or the client's."""


class UnreachableError(ForetellError, ConnectionError):
    """There was no connection to the server, or it broke before the whole answer was there."""


class ServerError(ForetellError, RuntimeError):
    """The server failed; its log says why under `request_id`."""


class UnexpectedAnswerError(ForetellError, RuntimeError):
    """What answered is no foretell server: a proxy, another service, or the base URL lacks a part of the path."""
