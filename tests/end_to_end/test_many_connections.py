"""Who connects while many others are busy is answered, too."""

from __future__ import annotations

import select
import socket
import sys
from collections import Counter, defaultdict
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.models import linear_model_bytes, write_version
from tests.servers import WAYS, Serve

CONNECTIONS = 300
MOST = 40
"""How often the busiest connection may have been answered when the last one is for the first time."""

BODY = b'{"instances": [[1, 2]]}'
REQUEST = b"POST /v1/models/m:predict HTTP/1.1\r\nHost: m\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


@pytest.mark.parametrize("way", WAYS)
def test_all_connections_are_answered_in_turn(tmp_path: Path, serve_processes: Serve, way: str) -> None:
    write_version(tmp_path / "store", "m", 1, linear_model_bytes())
    command = [sys.executable, "-m", "foretell", "serve", "--port", "0", "--store", "store", *WAYS[way]]
    address = urlsplit(serve_processes(command, cwd=tmp_path).url)
    clients: dict[int, socket.socket] = {}
    answered: Counter[int] = Counter()
    read: defaultdict[int, bytes] = defaultdict(bytes)
    waiting = select.epoll()
    for _ in range(CONNECTIONS):
        client = socket.create_connection((address.hostname, address.port), timeout=30)
        clients[client.fileno()] = client
        waiting.register(client, select.EPOLLIN)
        client.sendall(REQUEST)
    while len(answered) < CONNECTIONS:
        events = waiting.poll(30, CONNECTIONS)
        assert events, f"{CONNECTIONS - len(answered)} are not answered"
        for number, _ in events:
            read[number] += clients[number].recv(65536)
            if read[number].endswith(b"}"):
                assert read.pop(number).startswith(b"HTTP/1.1 200 ")
                answered[number] += 1
                clients[number].sendall(REQUEST)
    waiting.close()
    for client in clients.values():
        client.close()
    assert max(answered.values()) <= MOST
