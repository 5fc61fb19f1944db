"""Requests that arrive at their times, whether the ones before were answered or not."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import NamedTuple
from urllib.parse import urlsplit

__all__ = ["Arrivals", "Outcome", "closed_loop"]


class Outcome(NamedTuple):
    """What became of one request.

    Attributes:
        status: Its status; 0 if the connection failed.
        took_s: From the time at which it should have been sent to its answer, seconds.
        retry_after: Whether the answer says when to come back.
    """

    status: int
    took_s: float
    retry_after: bool


class Arrivals:
    """An open model of callers: a rate, and no regard for how the server fares.

    Each request goes over a connection that is free, or over a new one; latency counts from the time at which the
    request was due, so that a server that stalls hides nothing.

    Args:
        url: The whole URL.
        body: What is asked.
        headers: Further header lines.
    """

    def __init__(self, url: str, body: bytes, headers: str = "") -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        head = (
            f"POST {parts.path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.outcomes: list[Outcome] = []

    async def offer(self, rate: float, seconds: float) -> None:
        """Send requests at a constant rate, and wait for their answers."""
        began = time.perf_counter()
        tasks: set[asyncio.Task[None]] = set()
        for number in range(int(rate * seconds)):
            due = began + number / rate
            pause = due - time.perf_counter()
            if pause > 0.0005:
                await asyncio.sleep(pause)
            task = asyncio.create_task(self._ask(due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)

    async def ask(self) -> Outcome:
        """Send one request now."""
        await self._ask(time.perf_counter())
        return self.outcomes[-1]

    def statuses(self) -> Counter[int]:
        """How many requests got which status."""
        return Counter(outcome.status for outcome in self.outcomes)

    def close(self) -> None:
        """Close the connections."""
        for _, writer in self._free:
            writer.close()
        self._free.clear()

    async def _ask(self, due: float) -> None:
        try:
            connection = (
                self._free.pop() if self._free else await asyncio.open_connection(self._host, self._port)
            )
            reader, writer = connection
            writer.write(self._request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            lines = head.split(b"\r\n")
            headers = dict(line.split(b": ", 1) for line in lines[1:] if line)
            await reader.readexactly(int(headers[b"content-length"]))
        except (OSError, asyncio.IncompleteReadError):
            self.outcomes.append(Outcome(0, time.perf_counter() - due, retry_after=False))
            return
        status = int(lines[0].split(b" ")[1])
        self.outcomes.append(Outcome(status, time.perf_counter() - due, b"retry-after" in headers))
        if headers.get(b"connection") == b"close":
            writer.close()
        else:
            self._free.append(connection)


async def closed_loop(arrivals: Arrivals, callers: int, seconds: float) -> float:
    """Requests a second that are answered 200 while so many callers each send one after the other."""
    ended = time.perf_counter() + seconds
    good = 0

    async def caller() -> None:
        nonlocal good
        while time.perf_counter() < ended:
            # Not in one line with the sum, which others change meanwhile.
            outcome = await arrivals.ask()
            good += outcome.status == 200

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return good / (time.perf_counter() - began)
