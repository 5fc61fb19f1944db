"""What happens on the connection itself: WebSockets, early closes, bodies in pieces."""

from __future__ import annotations

import json
import socket
import struct
from urllib.parse import urlsplit

import httpx
import pytest

from tests.servers import SAMPLE_STORE, WAYS, RunningServer, ServeStore

BODY = json.dumps({"features": [5.1, 3.5, 1.4, 0.2]}).encode()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The flags of each way that predictions take."""
    return WAYS[request.param]


def _talk(server: RunningServer, *pieces: bytes) -> bytes:
    """Send pieces of bytes over one connection, and return all that comes back until it is closed."""
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        chunks: list[bytes] = []
        while chunk := connection.recv(65536):
            chunks.append(chunk)
    return b"".join(chunks)


def _request(*headers: bytes, line: bytes = b"POST /predict HTTP/1.1") -> bytes:
    return b"\r\n".join([line, b"host: x", b"connection: close", *headers, b"", b""])


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/v1/models/iris:predict"])
def test_a_websocket_is_refused(sample_server: RunningServer, path: str) -> None:
    upgrade = (
        b"upgrade: websocket",
        b"connection: upgrade",
        b"sec-websocket-version: 13",
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    head = b"\r\n".join([f"GET {path} HTTP/1.1".encode(), b"host: x", *upgrade, b"", b""])
    status = _talk(sample_server, head).split(b" ")[1]
    assert status in {b"403", b"405"}


def test_a_body_in_pieces_is_put_together(sample_server: RunningServer) -> None:
    head = _request(b"content-length: %d" % len(BODY))
    answer = _talk(sample_server, head, *(BODY[at : at + 1] for at in range(len(BODY))))
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"prediction":"setosa"' in answer


def test_a_chunked_body_is_put_together(sample_server: RunningServer) -> None:
    chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:7], BODY[7:])]
    answer = _talk(sample_server, _request(b"transfer-encoding: chunked"), *chunks, b"0\r\n\r\n")
    assert b'"prediction":"setosa"' in answer


def test_a_client_that_leaves_in_the_middle_of_its_body_harms_nobody(sample_server: RunningServer) -> None:
    parts = urlsplit(sample_server.url)
    for _ in range(20):
        with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
            connection.sendall(_request(b"content-length: 1000") + BODY)
    assert httpx.post(f"{sample_server.url}/predict", content=BODY).status_code == 200
    assert [line for line in sample_server.events if line["level"] == "error"] == []


def test_a_length_over_the_limit_is_refused_before_the_body_comes(sample_server: RunningServer) -> None:
    answer = _talk(sample_server, _request(b"content-length: 99999999999"))
    assert answer.startswith(b"HTTP/1.1 413")


def test_requests_in_one_go_are_answered_in_their_order(sample_server: RunningServer) -> None:
    one = b"POST /predict HTTP/1.1\r\nhost: x\r\nx-request-id: %s\r\ncontent-length: %d\r\n%s\r\n%s"
    first = one % (b"first", len(BODY), b"", BODY)
    last = one % (b"last", len(BODY), b"connection: close\r\n", BODY)
    answers = _talk(sample_server, first + last)
    assert answers.count(b"HTTP/1.1 200") == 2
    assert answers.index(b'"request_id":"first"') < answers.index(b'"request_id":"last"')


def test_an_odd_request_line_is_refused(sample_server: RunningServer) -> None:
    assert _talk(sample_server, b"GARBAGE\r\n\r\n").startswith(b"HTTP/1.1 400")


def test_clients_that_leave_with_answers_outstanding_are_no_errors(
    serve_store: ServeStore, way: tuple[str, ...]
) -> None:
    """uvicorn tells only the last of several requests of a connection that their client is gone."""
    server = serve_store(SAMPLE_STORE, *way)
    parts = urlsplit(server.url)
    request = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)
    for _ in range(300):
        with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
            connection.sendall(request * 5)
    assert httpx.post(f"{server.url}/predict", content=BODY).status_code == 200
    assert server.stop() == 0
    assert [line for line in server.raw if "Traceback" in line or '"error"' in line] == []
