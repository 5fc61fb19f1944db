"""Clients that ask a server without a pause, and tell what became of each request."""

from __future__ import annotations

import asyncio
import json
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

BODY = json.dumps({"features": [5.1, 3.5, 1.4, 0.2]}).encode()
TIMEOUT_S = 120
PAUSE_S = 0.02
"""A pause of each client between its requests, so that new workers get their share of a small machine."""


class _LostError(Exception):
    """A request was sent on a connection, and no answer came."""


class Load:
    """Clients in a closed loop, half of them on connections that they keep, half on a new one for each request.

    Args:
        url: The server.
        kept: How many keep their connection.
        fresh: How many do not.
        retries: How often a request that was lost is sent again.
        path: What is asked.

    Attributes:
        answered: How many requests were answered with 200.
        lost: What happened to each request that was not.
        retried: How many requests were sent again.
        refused: How many connections were refused; nothing was sent on them.
        closed: How many answers asked to close the connection.
    """

    def __init__(
        self,
        url: str,
        *,
        kept: int = 4,
        fresh: int = 4,
        retries: int = 0,
        path: str = "/predict",
        body: bytes = BODY,
    ) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 0
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
        self._kept = f"{head}\r\n".encode() + body
        self._fresh = f"{head}connection: close\r\n\r\n".encode() + body
        self._clients = [True] * kept + [False] * fresh
        self._retries = retries
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self.answered = 0
        self.lost: list[str] = []
        self.retried = 0
        self.refused = 0
        self.closed = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Let each client finish the request that it is at."""
        self._stopped.set()
        self._thread.join(2 * TIMEOUT_S)
        assert not self._thread.is_alive()

    def wait_for_more(self, answers: int) -> None:
        """Wait until so many more requests have been answered."""
        with self._changed:
            wanted = self.answered + answers
            assert self._changed.wait_for(lambda: self.answered >= wanted, TIMEOUT_S), (
                self.answered,
                self.lost,
            )

    def wait_for_refusal(self) -> None:
        """Wait until a connection is refused."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.refused > 0, TIMEOUT_S)

    async def _run(self) -> None:
        await asyncio.gather(*(self._client(keeps=keeps) for keeps in self._clients))

    async def _client(self, *, keeps: bool) -> None:
        connection: _Connection | None = None
        tries = 0
        while not self._stopped.is_set():
            try:
                if connection is None:
                    connection = await _Connection.open(self._host, self._port)
            except OSError:
                with self._changed:
                    self.refused += 1
                    self._changed.notify_all()
                await asyncio.sleep(PAUSE_S)
                continue
            try:
                closes = await connection.ask(self._kept if keeps else self._fresh)
            except (OSError, _LostError, asyncio.IncompleteReadError) as error:
                connection.close()
                connection = None
                with self._changed:
                    if tries < self._retries:
                        tries += 1
                        self.retried += 1
                    else:
                        tries = 0
                        self.lost.append(f"{'kept' if keeps else 'fresh'}: {error!r}")
                continue
            tries = 0
            if closes or not keeps:
                connection.close()
                connection = None
            with self._changed:
                self.answered += 1
                self.closed += closes
                self._changed.notify_all()
            await asyncio.sleep(PAUSE_S)
        if connection is not None:
            connection.close()


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        async with asyncio.timeout(TIMEOUT_S):
            return cls(*await asyncio.open_connection(host, port))

    async def ask(self, request: bytes) -> bool:
        """Send a request; returns whether the connection is to be closed after it."""
        async with asyncio.timeout(TIMEOUT_S):
            self._writer.write(request)
            head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
            lines = head.split(b"\r\n")
            headers = dict(line.split(b": ", 1) for line in lines[1:] if line)
            await self._reader.readexactly(int(headers[b"content-length"]))
        if lines[0].split(b" ")[1] != b"200":
            raise _LostError(head.decode())
        return headers.get(b"connection") == b"close"

    def close(self) -> None:
        self._writer.close()
