from __future__ import annotations

import pytest

from foretell.rpc.metadata import headers_of, metadata_of


def test_metadata_become_headers_but_for_what_tells_of_a_body() -> None:
    given: list[tuple[str, str | bytes]] = [
        ("x-request-id", "a"),
        ("content-type", "text/csv"),
        ("content-encoding", "gzip"),
        ("k-bin", b"\0"),
    ]
    assert headers_of(given, None) == [(b"x-request-id", b"a"), (b"k-bin", b"\0")]


@pytest.mark.parametrize(
    ("left_s", "header"),
    [(2.0, b"1.975000"), (0.004, b"0.002000"), (0.0, b"0.001000"), (1e9, b"989999999.995000")],
)
def test_the_deadline_becomes_a_header_that_leaves_time_for_the_answer(left_s: float, header: bytes) -> None:
    assert headers_of([], left_s) == [(b"x-request-timeout", header)]


def test_a_header_of_the_callers_own_goes_before_it() -> None:
    assert headers_of([("x-request-timeout", "7")], 2.0) == [(b"x-request-timeout", b"7")]


def test_only_what_grpc_can_send_becomes_metadata() -> None:
    headers = [
        (b"x-request-id", b"a"),
        (b"content-type", b"application/json"),
        (b"grpc-status", b"0"),
        (b"x~y", b"a"),
        (b"x-text", "ü".encode()),
        (b"x-tab", b"a\tb"),
        (b"x-bin", b"\0\xff"),
        (b"retry-after", b"1"),
    ]
    assert metadata_of(headers) == (("x-request-id", "a"), ("x-bin", b"\0\xff"), ("retry-after", "1"))
