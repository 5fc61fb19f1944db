"""A prediction that is going on: how far it has got between its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from foretell.http.answer import Answer
    from foretell.http.head import Head
    from foretell.http.routes import Route
    from foretell.prediction import RequestRecord

__all__ = ["Going"]


class Going(msgspec.Struct):
    """A prediction that is going on.

    Attributes:
        route: What was asked.
        head: The request's head.
        record: Its record.
        endpoint: What answers it, once that is known; it is in use from then on.
        request: The request, once it is decoded.
        encode: What writes the answer.
        passed: The plugins that it has passed on its way to the model, where it goes through them in steps; None if not.
        ran: What a run that it shared with others gave, or raised; None if it shared none.
        response: The response, once it is there.
        outcome: The answer, or what is to be awaited for it, where nothing is left to be done.
        large: Whether its body is decoded, and its answer written, in a thread.
    """

    route: Route
    head: Head
    record: RequestRecord
    endpoint: Any = None
    request: Any = None
    encode: Any = None
    passed: Any = None
    ran: Any = None
    response: Any = None
    outcome: Answer | Awaitable[Answer] | None = None
    large: bool = False
