"""What is tried again, when, and for how long: the steps of a call, without a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import httpx
import pytest

from foretell.client import (
    DeadlineError,
    ForetellError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    Retries,
    ServerError,
    UnexpectedAnswerError,
    UnreachableError,
)
from foretell.client.answers import Reply
from foretell.client.exchange import Outcome, Request, Send, exchange

PROBLEM = b'{"detail": "no"}'
OK = Reply(200, httpx.Headers(), b"{}")


def reply(status: int, body: bytes = PROBLEM, **headers: str) -> Reply:
    return Reply(
        status, httpx.Headers({name.replace("_", "-"): value for name, value in headers.items()}), body
    )


class Told(NamedTuple):
    """What a call did: how long it paused, how long each try could take, and how it ended."""

    pauses: list[float]
    left: list[float]
    end: Any


def follow(
    outcomes: Sequence[Outcome],
    *,
    timeout_s: float = 100.0,
    try_s: float = 0.0,
    late_s: float = 0.0,
    **retries: Any,
) -> Told:
    """Take the steps of a call; each try takes `try_s`, each pause as long as asked and `late_s` more."""
    now = [1000.0]
    settings: dict[str, Any] = {"most": 9, "jitter": lambda: 1.0, **retries}
    request = Request(
        "GET",
        httpx.URL("http://host:81/"),
        httpx.Headers({"x-request-id": "mine"}),
        None,
        now[0] + timeout_s,
        Retries(**settings),
    )
    steps = exchange(request, lambda got: got.status, clock=lambda: now[0])
    waiting = iter(outcomes)
    pauses: list[float] = []
    left: list[float] = []
    outcome: Outcome = None
    try:
        while True:
            step = steps.send(outcome)
            if isinstance(step, Send):
                assert float(step.headers["x-request-timeout"]) == pytest.approx(step.left_s, abs=1e-6)
                left.append(step.left_s)
                now[0] += try_s
                outcome = next(waiting)
            else:
                pauses.append(step.pause_s)
                now[0] += step.pause_s + late_s
                outcome = None
    except StopIteration as end:
        return Told(pauses, left, end.value)
    except ForetellError as error:
        return Told(pauses, left, error)


PASSING: dict[str, Outcome] = {
    "refused": httpx.ConnectError("refused"),
    "reset": httpx.ReadError(""),
    "cut short": httpx.RemoteProtocolError("peer closed connection"),
    "429": reply(429),
    "502": reply(502),
    "503": reply(503),
    "503 of a proxy": reply(503, b"<html>"),
}
LASTING: dict[str, tuple[Outcome, type[ForetellError]]] = {
    "400": (reply(400), InvalidInputError),
    "404": (reply(404), NotFoundError),
    "404 of a proxy": (reply(404, b"<html>"), UnexpectedAnswerError),
    "413": (reply(413, b""), InvalidInputError),
    "422": (reply(422), InvalidInputError),
    "500": (reply(500), ServerError),
    "504": (reply(504), DeadlineError),
    "302": (reply(302, b""), UnexpectedAnswerError),
    "too late": (httpx.ReadTimeout(""), DeadlineError),
    "too late by the clock": (TimeoutError(), DeadlineError),
    "not HTTP": (httpx.LocalProtocolError("illegal header"), InvalidInputError),
    "broken compression": (httpx.DecodingError("gzip"), UnexpectedAnswerError),
}


@pytest.mark.parametrize("outcome", PASSING.values(), ids=PASSING.keys())
def test_what_may_pass_is_tried_again(outcome: Outcome) -> None:
    assert follow([outcome, outcome, OK]).end == 200


@pytest.mark.parametrize(("outcome", "kind"), LASTING.values(), ids=LASTING.keys())
def test_what_would_come_again_is_not_tried_again(outcome: Outcome, kind: type[ForetellError]) -> None:
    told = follow([outcome])
    assert type(told.end) is kind
    assert (told.end.tries, told.pauses) == (1, [])


def test_tries_are_bounded_and_the_last_error_is_what_counts() -> None:
    told = follow([reply(503), httpx.ConnectError("a"), reply(429), OK], most=2)
    assert isinstance(told.end, OverloadedError)
    assert (told.end.status, told.end.tries, len(told.left)) == (429, 3, 3)


def test_no_retries_is_one_try() -> None:
    assert follow([reply(503), OK], most=0).end.tries == 1


def test_pauses_double_up_to_the_longest() -> None:
    told = follow([reply(503)] * 6 + [OK], backoff_s=0.1, max_backoff_s=1.0)
    assert told.pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_pauses_are_a_random_part_of_the_back_off() -> None:
    parts = iter([0.25, 0.0, 0.5])
    told = follow([reply(503)] * 3 + [OK], backoff_s=1.0, jitter=lambda: next(parts))
    assert told.pauses == [0.25, 0.0, 2.0]


def test_a_thousand_tries_overflow_nothing() -> None:
    assert Retries(most=10_000, jitter=lambda: 1.0).pause_s(OverloadedError("no"), 9_999) == 5.0


def test_what_the_server_asks_for_is_waited_and_a_part_of_the_back_off_on_top() -> None:
    told = follow([reply(503, retry_after="7"), OK], backoff_s=0.5)
    assert told.pauses == [7.5]


DATES = {
    "by the sender's clock": ("Wed, 21 Oct 2015 07:28:30 GMT", "Wed, 21 Oct 2015 07:28:00 GMT", 30.0),
    "in the past": ("Wed, 21 Oct 2015 07:27:00 GMT", "Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
    "without a clock to compare with": ("Wed, 21 Oct 2015 07:28:00 GMT", "", 0.0),
    "with a clock that is none": ("Wed, 21 Oct 2015 07:28:00 GMT", "noon", 0.0),
}


@pytest.mark.parametrize(("when", "date", "pause_s"), DATES.values(), ids=DATES.keys())
def test_a_date_to_come_back_is_waited_for(when: str, date: str, pause_s: float) -> None:
    told = follow([reply(429, retry_after=when, date=date), OK], backoff_s=0)
    assert told.pauses == [pause_s]


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf", "", "Wed, 99 Oct 2015 07:28:00 GMT"])
def test_a_retry_after_that_says_nothing_is_as_none(text: str) -> None:
    told = follow([reply(503, retry_after=text), OK], backoff_s=0.25)
    assert told.pauses == [0.25]


def test_each_try_has_what_is_left_of_the_call() -> None:
    told = follow([reply(503)] * 2 + [OK], timeout_s=10, try_s=1, backoff_s=0.5)
    assert told.left == [10, 8.5, 6.5]
    assert told.pauses == [0.5, 1.0]


def test_a_pause_that_would_take_all_that_is_left_is_not_begun() -> None:
    told = follow([reply(503, retry_after="3600"), OK], timeout_s=10)
    assert isinstance(told.end, OverloadedError)
    assert (told.end.retry_after_s, told.end.tries, told.pauses) == (3600.0, 1, [])


def test_what_is_left_counts_what_the_tries_took() -> None:
    told = follow([reply(503, retry_after="3")] * 9, timeout_s=10, try_s=2, backoff_s=0)
    assert (told.left, told.pauses) == ([10, 5], [3])
    assert isinstance(told.end, OverloadedError)
    assert told.end.tries == 2


def test_a_pause_that_took_too_long_is_followed_by_no_try() -> None:
    told = follow([reply(503), OK], timeout_s=10, late_s=10)
    assert isinstance(told.end, OverloadedError)
    assert len(told.left) == 1


def test_a_call_that_is_late_before_it_is_sent_is_not_sent() -> None:
    told = follow([OK], timeout_s=0.0)
    assert isinstance(told.end, DeadlineError)
    assert told.left == []


def test_however_little_is_left_it_is_a_timeout_that_the_server_takes() -> None:
    assert follow([OK], timeout_s=1e-9).end == 200


def test_an_error_without_an_answer_has_the_request_id_that_was_sent() -> None:
    told = follow([httpx.ConnectError("refused")], most=0)
    assert isinstance(told.end, UnreachableError)
    assert str(told.end) == "no answer from host:81: refused (request mine)"
    assert isinstance(told.end.__cause__, httpx.ConnectError)


@pytest.mark.parametrize(
    "wrong", [{"most": -1}, {"backoff_s": -1.0}, {"max_backoff_s": float("nan")}], ids=str
)
def test_retries_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Retries(**wrong)
