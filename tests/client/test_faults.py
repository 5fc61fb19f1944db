"""Both clients against a server that breaks, over real connections."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from foretell.client import (
    AsyncClient,
    Client,
    DeadlineError,
    ForetellError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    Prediction,
    Retries,
    ServerError,
    UnexpectedAnswerError,
    UnreachableError,
)
from tests.client.clients import Connect
from tests.client.faulty_server import (
    ANSWER,
    PREDICTION,
    Act,
    FaultyServer,
    answer,
    cut,
    drip,
    hang,
    problem,
    reset,
)

Start = Callable[..., FaultyServer]

AT_ONCE = Retries(jitter=lambda: 0.0)

PASSING: dict[str, Act] = {
    "reset": reset,
    "cut mid-body": cut,
    "closed without a word": b"",
    "429": problem(429, "slower"),
    "502 of a proxy": answer(502, b"<html>bad gateway</html>", content_type="text/html"),
    "503": problem(503, "full"),
    "503 with a pause": problem(503, "full", retry_after="0"),
}


@pytest.mark.parametrize("act", PASSING.values(), ids=PASSING.keys())
def test_what_passes_is_tried_again_until_there_is_an_answer(
    connect: Connect, faulty: Start, act: Act
) -> None:
    server = faulty(act, act, answer())
    assert connect(server.url, retries=AT_ONCE).predict("m", [[1, 2]]) == PREDICTION
    assert [asked.target for asked in server.asked] == ["/v1/models/m:predict"] * 3
    assert len({asked.body for asked in server.asked}) == 1


def test_every_try_has_the_same_id_and_less_time_left(connect: Connect, faulty: Start) -> None:
    server = faulty(reset, problem(503, "full"), answer())
    connect(server.url, retries=AT_ONCE, timeout_s=20).predict("m", [[1, 2]])
    assert len({asked.headers["x-request-id"] for asked in server.asked}) == 1
    left = [float(asked.headers["x-request-timeout"]) for asked in server.asked]
    assert 20 >= left[0] > left[1] > left[2] > 0


LASTING: dict[str, tuple[Act, type[ForetellError], str]] = {
    "500": (problem(500, "its log says why"), ServerError, "its log says why"),
    "504": (problem(504, "too late"), DeadlineError, "too late"),
    "a proxy's 404": (answer(404, b"<h1>nginx</h1>"), UnexpectedAnswerError, "'<h1>nginx</h1>'"),
    "a proxy's 504": (answer(504, b"<h1>nginx</h1>"), DeadlineError, "'<h1>nginx</h1>'"),
    "a redirect": (answer(302, b"", location="/login"), UnexpectedAnswerError, "the status 302"),
    "a success that is no JSON": (
        answer(200, b"<html>Log in</html>"),
        UnexpectedAnswerError,
        "<html>Log in</html>",
    ),
    "a success that is no object": (answer(200, [1]), UnexpectedAnswerError, "base URL"),
    "a success of another service": (answer(200, {"ok": True}), UnexpectedAnswerError, "'ok'"),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n" + b"x" * 10, UnreachableError, "no answer from 127.0.0.1"),
    "broken compression": (
        answer(200, b"nogzip", content_encoding="gzip"),
        UnexpectedAnswerError,
        "cannot be read",
    ),
}


@pytest.mark.parametrize(("act", "kind", "says"), LASTING.values(), ids=LASTING.keys())
def test_what_stays_wrong_is_told_for_what_it_is(
    connect: Connect, faulty: Start, act: Act, kind: type[ForetellError], says: str
) -> None:
    server = faulty(act)
    with pytest.raises(ForetellError) as caught:
        connect(server.url, retries=0).predict("m", [[1, 2]])
    assert type(caught.value) is kind
    assert says in str(caught.value)
    assert caught.value.request_id == server.asked[0].headers["x-request-id"]


def test_a_long_body_of_a_proxy_is_shortened(connect: Connect, faulty: Start) -> None:
    server = faulty(answer(500, b"x" * 100_000))
    with pytest.raises(ServerError) as caught:
        connect(server.url).predict("m", [[1]])
    assert len(str(caught.value)) < 400


def test_a_pause_longer_than_what_is_left_ends_the_call_at_once(connect: Connect, faulty: Start) -> None:
    server = faulty(problem(503, "full", retry_after="3600"), answer())
    with pytest.raises(OverloadedError, match="full") as caught:
        connect(server.url, timeout_s=30).predict("m", [[1]])
    assert (caught.value.retry_after_s, caught.value.tries) == (3600.0, 1)
    assert len(server.asked) == 1


@pytest.mark.parametrize("act", [hang, drip], ids=["nothing comes", "it comes too slowly"])
def test_the_deadline_ends_a_call_whatever_the_server_does(connect: Connect, faulty: Start, act: Act) -> None:
    server = faulty(act)
    with pytest.raises(DeadlineError, match="did not answer before the deadline") as caught:
        connect(server.url, timeout_s=0.3).predict("m", [[1]])
    assert (caught.value.status, caught.value.tries) == (None, 1)


def test_the_deadline_spans_all_tries(connect: Connect, faulty: Start) -> None:
    server = faulty(problem(503, "full"), hang)
    with pytest.raises(DeadlineError) as caught:
        connect(server.url, retries=AT_ONCE, timeout_s=1.5).predict("m", [[1]])
    assert caught.value.tries == 2
    assert float(server.asked[1].headers["x-request-timeout"]) < 1.5


def test_nobody_there_is_told_after_so_many_tries(connect: Connect, free_port: int) -> None:
    with pytest.raises(UnreachableError, match=f"no answer from 127.0.0.1:{free_port}: .*3 tries") as caught:
        connect(f"http://127.0.0.1:{free_port}", retries=Retries(most=2, jitter=lambda: 0.0)).models()
    assert isinstance(caught.value, ConnectionError)
    assert isinstance(caught.value.__cause__, httpx.ConnectError)


def test_errors_are_caught_by_their_builtins_too(connect: Connect, faulty: Start) -> None:
    details = {422: ValueError, 404: LookupError, 403: PermissionError, 504: TimeoutError, 500: RuntimeError}
    server = faulty(*(problem(status, "no") for status in details))
    for kind in details.values():
        with pytest.raises(kind, match=r"^no \("):
            connect(server.url).predict("m", [[1]])


def test_whether_a_server_is_ready_is_asked_once(connect: Connect, faulty: Start) -> None:
    server = faulty(answer(503, {"ready": False, "reason": "the server is stopping"}), reset)
    client = connect(server.url, retries=AT_ONCE)
    assert client.ready() is False
    with pytest.raises(UnreachableError):
        client.ready()
    assert [asked.target for asked in server.asked] == ["/health/ready"] * 2


def test_names_are_escaped(connect: Connect, faulty: Start) -> None:
    names = ["a b", "ä", "a?b#c", "a%2Fb", "..", "m:predict"]
    server = faulty(*[problem(404, "no")] * len(names), answer())
    client = connect(f"{server.url}/prefix/")
    for name in names:
        with pytest.raises(NotFoundError):
            client.model(name)
    client.predict("m", [[1]], alias="a b")
    assert [asked.target.removeprefix("/prefix/v1/models/") for asked in server.asked] == [
        "a%20b",
        "%C3%A4",
        "a%3Fb%23c",
        "a%252Fb",
        "%2E%2E",
        "m%3Apredict",
        "m/labels/a%20b:predict",
    ]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a path for a name": ({"model": "iris/versions/2"}, "model: expected a name without '/'"),
    "no name": ({"model": ""}, "model: expected a name"),
    "no alias": ({"alias": ""}, "alias: expected a name"),
    "a version and an alias": ({"version": 1, "alias": "a"}, "expected a version or an alias"),
    "no time": ({"timeout_s": 0}, "timeout_s: expected seconds"),
    "for ever": ({"timeout_s": float("inf")}, "timeout_s: expected seconds, a finite number"),
    "an id with a line break": ({"request_id": "a\nb"}, "request_id: expected 1 to 128 letters"),
}


@pytest.mark.parametrize(("how", "says"), WRONG.values(), ids=WRONG.keys())
def test_what_makes_no_sense_is_refused_before_anything_is_sent(
    connect: Connect, free_port: int, how: dict[str, Any], says: str
) -> None:
    model = how.get("model", "m")
    how = {name: value for name, value in how.items() if name != "model"}
    with pytest.raises(ValueError, match=says):
        connect(f"http://127.0.0.1:{free_port}").predict(model, [[1]], **how)


def test_a_header_that_is_none_is_not_sent(connect: Connect, faulty: Start) -> None:
    server = faulty(answer())
    with pytest.raises(InvalidInputError, match="the request cannot be sent"):
        connect(server.url).predict("m", [[1]], headers={"x-a": "b\r\nc: d"})
    assert server.asked == []


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "http://", "", "http://a:b"])
def test_a_base_url_that_is_none_is_refused(connect: Connect, url: str) -> None:
    with pytest.raises(ValueError, match="base_url: expected http"):
        connect(url)


def test_a_password_in_the_url_is_sent_and_not_told(connect: Connect, faulty: Start) -> None:
    server = faulty(answer(), reset)
    client = connect(server.url.replace("//", "//me:secret@"), retries=0)
    client.predict("m", [[1]])
    assert server.asked[0].headers["authorization"] == "Basic bWU6c2VjcmV0"
    with pytest.raises(UnreachableError) as caught:
        client.predict("m", [[1]])
    assert "secret" not in str(caught.value)


def test_headers_of_a_call_go_before_those_of_the_client(connect: Connect, faulty: Start) -> None:
    server = faulty(answer(), answer())
    client = connect(server.url, headers={"X-Key": "a", "X-Team": "t"})
    client.predict("m", [[1]], headers={"x-key": "b"}, request_id="mine-1")
    client.predict("m", [[1]])
    first, second = (asked.headers for asked in server.asked)
    assert (first["x-key"], first["x-team"], first["x-request-id"]) == ("b", "t", "mine-1")
    assert second["x-key"] == "a"
    assert second["x-request-id"] not in {"", "mine-1"}


def test_long_bodies_are_compressed_if_the_caller_wants(connect: Connect, faulty: Start) -> None:
    server = faulty(answer(), answer())
    client = connect(server.url, gzip_over_bytes=1000)
    client.predict("m", [[1]])
    client.predict("m", [[1]] * 1000)
    short, long = server.asked
    assert "content-encoding" not in short.headers
    assert long.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(long.body)) == {"instances": [[1]] * 1000}


def test_what_the_headers_tell_is_in_the_prediction(connect: Connect, faulty: Start) -> None:
    body = {**ANSWER, "degraded": True, "served_by": "m/1"}
    told = {"x_foretell_degraded": "timeout", "x_foretell_cache": "miss"}
    server = faulty(answer(200, body, **told))
    assert connect(server.url).predict("m", [[1]]) == Prediction(
        [3.0],
        None,
        "m",
        "1",
        "r",
        degraded=True,
        degraded_reason="timeout",
        served_by="m/1",
        cache="miss",
    )


def test_problems_of_a_form_that_is_none_are_left_out(connect: Connect, faulty: Start) -> None:
    body = {"detail": "no", "errors": [7, {"path": "$.a"}, None]}
    server = faulty(answer(422, body), answer(422, {"detail": "no", "errors": "all"}))
    seen: list[Any] = []
    for _ in range(2):
        with pytest.raises(InvalidInputError) as caught:
            connect(server.url).predict("m", [[1]])
        seen.append(caught.value.errors)
    assert seen == [(("$.a", ""),), ()]


def test_a_catalogue_that_is_none_is_told(connect: Connect, faulty: Start) -> None:
    server = faulty(answer(200, {"models": "all"}))
    with pytest.raises(UnexpectedAnswerError, match="expected a list of models"):
        connect(server.url).models()


def test_an_http_client_of_the_caller_stays_open(faulty: Start) -> None:
    server = faulty(answer(), answer())
    with httpx.Client(headers={"x-own": "1"}, timeout=1e-9) as http:
        for _ in range(2):
            with Client(server.url, http=http) as client:
                client.predict("m", [[1]])
        assert not http.is_closed
    assert [asked.headers["x-own"] for asked in server.asked] == ["1", "1"]


async def _with_an_own_client(url: str) -> bool:
    async with httpx.AsyncClient(timeout=1e-9) as http:
        async with AsyncClient(url, http=http) as client:
            await client.predict("m", [[1]])
        return http.is_closed


def test_an_async_http_client_of_the_caller_stays_open(faulty: Start) -> None:
    assert asyncio.run(_with_an_own_client(faulty(answer()).url)) is False
