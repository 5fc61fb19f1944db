"""Answers kept in Redis or Valkey, for every process and host that speaks to it. It may be gone at any time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from foretell.errors import MissingExtraError
from foretell_plugins.cache.values import FORMAT, decode, encode

if TYPE_CHECKING:
    from foretell.logs import Logger
    from foretell.plugin import ModelInfo, PredictResponse

__all__ = ["Shared"]

_FAILURES: Final = 3
_PAUSE_S: Final = 5.0
_CONNECTIONS: Final = 32
_WRITES: Final = 256
_AT_ONCE: Final = 32
_BATCH: Final = 500


class Shared:
    """Answers in Redis. Every call is bounded in time, and after three failures in a row it is left alone for a while.

    Args:
        url: Where it is.
        timeout_s: How long one call may take, seconds.
        log: Where the loss and the return of it are written.
        clock_s: A monotonic clock, seconds.

    Attributes:
        failures: How many calls have failed.
        dropped: How many answers were not written: too many were waiting, or Redis was gone.

    Raises:
        MissingExtraError: The extra ``redis`` is not installed.
        ValueError: The URL cannot be used.
    """

    def __init__(
        self, url: str, *, timeout_s: float, log: Logger, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        try:
            from redis.asyncio import BlockingConnectionPool, Redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError as error:
            raise MissingExtraError("redis", "the setting redis_url of the plugin cache") from error
        self.failures = 0
        self.dropped = 0
        self._timeout_s = timeout_s
        self._log = log
        self._clock_s = clock_s
        # No retries: a call that fails costs a miss, and one that waits costs the caller's time.
        pool: Any = BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType] # its options are untyped
            url,
            max_connections=_CONNECTIONS,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            decode_responses=False,
        )
        self._redis: Any = Redis.from_pool(pool)
        self._in_a_row = 0
        self._closed_until_s = 0.0
        self._lost = False
        self._unwritten: deque[tuple[str, bytes, int]] = deque()
        self._writer: asyncio.Task[None] | None = None

    @property
    def available(self) -> bool:
        """Whether it is asked at the moment."""
        return self._clock_s() >= self._closed_until_s

    async def get(self, model: ModelInfo, key: bytes) -> PredictResponse | None:
        """The answer that is kept for a key; None if there is none, or Redis does not answer in time."""
        if not self.available:
            return None
        raw = await self._call(self._redis.get(_name(model, key)))
        return decode(raw, model.fingerprint) if isinstance(raw, bytes) else None

    def put(self, model: ModelInfo, key: bytes, response: PredictResponse, ttl_s: float) -> None:
        """Keep an answer; it is written behind the caller's back, unless too many are waiting."""
        if not self.available:
            return
        if len(self._unwritten) >= _WRITES:
            self.dropped += 1
            return
        value = encode(response, model.fingerprint)
        self._unwritten.append((_name(model, key), value, max(1, int(ttl_s * 1000))))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())

    async def forget(self, model: str) -> int:
        """Drop every answer of a model; returns how many there were.

        Raises:
            OSError: Redis cannot be reached, so that its answers may still be given.
        """
        from redis.exceptions import RedisError

        count = 0
        names: list[bytes] = []
        try:
            async for name in self._redis.scan_iter(match=f"{_prefix(_escaped(model))}*", count=_BATCH):
                names.append(name)
                if len(names) >= _BATCH:
                    count += await self._redis.unlink(*names)
                    names.clear()
            if names:
                count += await self._redis.unlink(*names)
        except (RedisError, OSError) as error:
            raise OSError(f"Redis cannot be reached: {error}") from error
        return count

    async def close(self) -> None:
        """Write what is waiting, as long as Redis answers, and close the connections."""
        if self._writer is not None:
            await self._writer
        await self._redis.aclose()

    async def _write(self) -> None:
        """Write what is waiting, many answers with one call."""
        while self._unwritten:
            many = self._redis.pipeline(transaction=False)
            for _ in range(min(len(self._unwritten), _AT_ONCE)):
                name, value, ttl_ms = self._unwritten.popleft()
                many.set(name, value, px=ttl_ms)
            await self._call(many.execute())
            if not self.available:
                self.dropped += len(self._unwritten)
                self._unwritten.clear()

    async def _call(self, call: Any) -> Any:
        from redis.exceptions import RedisError

        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await call
        except (RedisError, OSError, TimeoutError) as error:
            self._failed(error)
            return None
        self._in_a_row = 0
        if self._lost:
            self._lost = False
            self._log.info("the shared cache is back")
        return answer

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self._in_a_row += 1
        if self._in_a_row < _FAILURES:
            return
        self._closed_until_s = self._clock_s() + _PAUSE_S
        if not self._lost:
            self._lost = True
            self._log.warning(
                "the shared cache is lost; models are asked instead",
                reason=f"{type(error).__name__}: {error}",
                pause_s=_PAUSE_S,
            )


def _prefix(model: str) -> str:
    return f"foretell:cache:{FORMAT}:{model}:"


def _name(model: ModelInfo, key: bytes) -> str:
    return f"{_prefix(model.name)}{model.version}:{key.hex()}"


def _escaped(model: str) -> str:
    """A model's name as a pattern that only it fits."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^-" else letter for letter in model)
