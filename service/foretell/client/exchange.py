"""One call, from its request to its answer, with all its tries and without any input or output.

A client takes the steps one by one: it sends what it is told to send, hands back what came of it, and waits where it
is told to wait. So both clients, and a test without a server, decide alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Final, TypeVar

import httpx

from foretell.client.answers import Reply, error_of_loss, error_of_reply
from foretell.client.errors import ForetellError
from foretell.client.retries import Retries

__all__ = ["Clock", "Exchange", "Outcome", "Pause", "Request", "Send", "exchange"]

T = TypeVar("T")

_SHORTEST_S: Final = 1e-6
"""What is sent of even less: 0 is no timeout that the server takes."""

Clock = Callable[[], float]
"""Gives seconds that only ever grow."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, however often it has to be tried.

    Attributes:
        method: The HTTP method.
        url: Where.
        headers: Its headers, among them ``X-Request-ID``, but for those that differ from try to try.
        body: Its body; None for none.
        ends_s: When the call is over, by the clock, seconds.
        retries: How it is tried again.
    """

    method: str
    url: httpx.URL
    headers: httpx.Headers
    body: bytes | None
    ends_s: float
    retries: Retries


@dataclass(frozen=True, slots=True)
class Send:
    """A step: one try.

    Attributes:
        request: What is sent.
        headers: All of its headers.
        left_s: How long it may take in all, seconds.
    """

    request: Request
    headers: httpx.Headers
    left_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    """A step: wait before the next try.

    Attributes:
        pause_s: How long, seconds; less than what is left of the call.
    """

    pause_s: float


Outcome = Reply | httpx.HTTPError | TimeoutError | None
"""What came of a step: of a try the answer, or why there is none; nothing of a pause."""

Exchange = Generator[Send | Pause, Outcome, T]
"""The steps of a call; what it returns is the call's result."""


def exchange(request: Request, read: Callable[[Reply], T], *, clock: Clock = time.monotonic) -> Exchange[T]:
    """The steps of a call.

    Args:
        request: What is asked.
        read: What is made of a success.
        clock: What `Request.ends_s` was measured with.

    Raises:
        ForetellError: What the last try met; it is also the last one if the pause before another would take all that
            is left of the call.
    """
    tries = 0
    while True:
        left_s = request.ends_s - clock()
        if left_s <= 0:  # before the first try: the pause before another one is shorter than what is left
            raise _error_of(TimeoutError(), request)
        headers = request.headers.copy()
        headers["x-request-timeout"] = f"{max(left_s, _SHORTEST_S):.6f}"
        outcome = yield Send(request, headers, left_s)
        tries += 1
        if isinstance(outcome, Reply):
            error = error_of_reply(outcome)
            if error is None:
                try:
                    return read(outcome)
                except ForetellError as unread:
                    error = unread
        else:
            error = _error_of(outcome, request)
        error.tries = tries
        error.request_id = error.request_id or request.headers["x-request-id"]
        pause_s = request.retries.pause_s(error, tries)
        if pause_s is None or clock() + pause_s >= request.ends_s:
            raise error
        yield Pause(pause_s)
        if clock() >= request.ends_s:  # the machine was busy, and the pause longer than asked
            raise error


def _error_of(loss: Exception | None, request: Request) -> ForetellError:
    error = error_of_loss(loss or TimeoutError(), request.url.netloc.decode())
    error.__cause__ = loss
    return error
