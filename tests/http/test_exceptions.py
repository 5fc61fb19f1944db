"""An error that is expected leaves a line, and one that is not leaves the way that it took as well."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
from litestar.connection import Request
from litestar.exceptions import HTTPException, NotAuthorizedException

from foretell.errors import AccessDeniedError, NotReadyError
from foretell.http.exceptions import problem_handler
from foretell.http.request_ids import RequestIds


def line_of(error: Exception) -> dict[str, Any]:
    """The one line that an exception leaves."""
    events: list[dict[str, Any]] = []

    def keep(_: Any, level: str, event: Any) -> Any:
        events.append({"level": level, **event})
        raise structlog.DropEvent

    scope: Any = {"type": "http", "method": "DELETE", "path": "/admin/cache/iris", "headers": []}
    log = structlog.wrap_logger(structlog.PrintLogger(), processors=[keep])
    problem_handler(RequestIds(), log)(Request(scope), error)
    (event,) = events
    return event


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (AccessDeniedError("the admin routes are off"), 403),
        (NotReadyError("Redis is away"), 503),
        (NotAuthorizedException("the admin key is wanted"), 401),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_refusal_is_a_warning_that_says_why(error: Exception, status: int) -> None:
    line = line_of(error)
    assert (line["level"], line["event"], line["status"]) == ("warning", "request refused", status)
    assert line["reason"] == (error.detail if isinstance(error, HTTPException) else str(error))
    assert "exc_info" not in line


def test_what_nobody_expected_is_an_error_that_says_where() -> None:
    line = line_of(ZeroDivisionError("oh"))
    assert (line["level"], line["event"], line["status"]) == ("error", "request failed", 500)
    assert isinstance(line["exc_info"], ZeroDivisionError)
