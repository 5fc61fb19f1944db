"""Answers kept in Redis or Valkey, for every process and host that speaks to it. It may be gone at any time."""

from __future__ import annotations

import asyncio
import importlib
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from foretell.errors import MissingExtraError, PluginError
from foretell_plugins.cache.expected import is_expected
from foretell_plugins.cache.outage import FAILURES, Outage
from foretell_plugins.cache.values import FORMAT, decode, encode

if TYPE_CHECKING:
    from foretell.logs import Logger
    from foretell.plugin import ModelInfo, PredictRequest
    from foretell.tensors import Array

__all__ = ["Found", "Shared", "require_redis"]

_CONNECTIONS: Final = 32
_WRITES: Final = 256
_WAITING_BYTES: Final = 16 * 1024**2
_AT_ONCE: Final = 32
_AT_ONCE_BYTES: Final = 256 * 1024
_BATCH: Final = 500
_GREETING_S: Final = 1.0


class Found(msgspec.Struct, frozen=True):
    """An answer that was found.

    Attributes:
        outputs: Its tensors by name.
        left_s: How long it may still be given, seconds.
    """

    outputs: dict[str, Array]
    left_s: float


class _Write(msgspec.Struct, frozen=True, gc=False):
    """An answer that is to be written."""

    model: str
    name: str
    value: bytes
    expires_s: float


class Shared:
    """Answers in Redis. Every call is bounded in time, and after three failures in a row it is left alone for a while.

    Args:
        url: Where it is.
        timeout_s: How long one call may take, seconds.
        log: Where the loss and the return of it are written.
        clock_s: A monotonic clock, seconds.
        today_s: The clock that all hosts share, seconds since 1970.

    Attributes:
        failures: How many calls have failed, or brought what cannot be used.
        dropped: How many answers were not written: too many were waiting, or Redis was gone.

    Raises:
        MissingExtraError: The extra ``redis`` is not installed.
        PluginError: The URL cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        log: Logger,
        clock_s: Callable[[], float] = time.monotonic,
        today_s: Callable[[], float] = time.time,
    ) -> None:
        require_redis()
        self.dropped = 0
        self._unusable = 0
        self._timeout_s = timeout_s
        self._today_s = today_s
        self._outage = Outage(log, clock_s)
        self._redis: Any = _client(url, timeout_s)
        self._unwritten: deque[_Write] = deque()
        self._unwritten_bytes = 0
        self._writing = asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None

    @property
    def failures(self) -> int:
        """How many calls have failed, or brought what cannot be used."""
        return self._outage.failures + self._unusable

    @property
    def available(self) -> bool:
        """Whether it is asked at the moment."""
        return self._outage.over

    @property
    def up(self) -> bool:
        """Whether it answered when it was asked last."""
        return not self._outage.lost

    async def greet(self) -> None:
        """Find out whether it is there, and say in the log if it is not."""
        for _ in range(FAILURES):
            if await self._call(self._redis.ping(), most_s=_GREETING_S) is not None:
                return

    async def get(
        self, model: ModelInfo, key: bytes, request: PredictRequest, *, max_bytes: int
    ) -> Found | None:
        """The answer that is kept for a key; None if there is none, or Redis does not answer in time.

        What cannot be the answer is none, whatever it is.

        Args:
            model: The version that is asked.
            key: The digest of the question.
            request: The question.
            max_bytes: The greatest answer that is read, bytes.
        """
        if not self.available:
            return None
        raw = await self._call(self._redis.getrange(_name(model, key), 0, max_bytes))
        if not raw:
            return None
        value = None
        if isinstance(raw, bytes) and len(raw) <= max_bytes:
            value = decode(raw, fingerprint=model.fingerprint, question=key)
        if value is None or not is_expected(value.outputs, model.signature, request):
            self._unusable += 1
            return None
        left_s = value.expires_s - self._today_s()
        return Found(value.outputs, left_s) if left_s > 0 else None

    def put(
        self,
        model: ModelInfo,
        key: bytes,
        request: PredictRequest,
        outputs: Mapping[str, Array],
        *,
        ttl_s: float,
        max_bytes: int,
    ) -> None:
        """Keep an answer; it is written behind the caller's back, unless too many are waiting.

        Args:
            model: The version that answered.
            key: The digest of the question.
            request: The question.
            outputs: The answer.
            ttl_s: How long it may be given again, seconds.
            max_bytes: The greatest answer that is written, bytes.
        """
        if not self.available or sum(array.nbytes for array in outputs.values()) > max_bytes:
            return
        if not is_expected(outputs, model.signature, request):  # nobody would take it
            self.dropped += 1
            return
        expires_s = self._today_s() + ttl_s
        value = encode(outputs, fingerprint=model.fingerprint, question=key, expires_s=expires_s)
        if len(value) > max_bytes:
            return
        waiting = self._unwritten
        if waiting and (len(waiting) >= _WRITES or self._unwritten_bytes + len(value) > _WAITING_BYTES):
            self.dropped += 1
            return
        waiting.append(_Write(model.name, _name(model, key), value, expires_s))
        self._unwritten_bytes += len(value)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())

    async def forget(self, model: str) -> int:
        """Drop every answer of a model, those that are still to be written included; returns how many there were.

        Raises:
            OSError: Redis cannot be reached, so that its answers may still be given.
        """
        from redis.exceptions import RedisError

        kept = [write for write in self._unwritten if write.model != model]
        self._unwritten.clear()
        self._unwritten.extend(kept)
        self._unwritten_bytes = sum(len(write.value) for write in kept)
        count = 0
        names: list[bytes] = []
        try:
            async with self._writing:  # what is being written now is found, and dropped
                async for name in self._redis.scan_iter(match=f"{_prefix(_escaped(model))}*", count=_BATCH):
                    names.append(name)
                    if len(names) >= _BATCH:
                        count += await self._redis.unlink(*names)
                        names.clear()
                if names:
                    count += await self._redis.unlink(*names)
        except (RedisError, OSError) as error:
            raise OSError(f"Redis cannot be reached: {_reason(error, self._timeout_s)}") from error
        return count

    async def close(self) -> None:
        """Write what is waiting, as long as Redis answers, and close the connections."""
        if self._writer is not None:
            await self._writer
        await self._redis.aclose()

    async def _write(self) -> None:
        """Write what is waiting, many answers with one call."""
        while self._unwritten:
            async with self._writing:
                count, many = self._next()
                if count and await self._call(many.execute()) is None:
                    self.dropped += count
            if not self.available:
                self.dropped += len(self._unwritten)
                self._unwritten.clear()
                self._unwritten_bytes = 0

    def _next(self) -> tuple[int, Any]:
        """The next answers that are to be written, but for those that are too old by now: how many, and the call."""
        many = self._redis.pipeline(transaction=False)
        size_bytes = count = 0
        now_s = self._today_s()
        while self._unwritten and count < _AT_ONCE and size_bytes < _AT_ONCE_BYTES:
            write = self._unwritten.popleft()
            self._unwritten_bytes -= len(write.value)
            left_ms = int((write.expires_s - now_s) * 1000)
            if left_ms > 0:
                many.set(write.name, write.value, px=left_ms)
                size_bytes += len(write.value)
                count += 1
        return count, many

    async def _call(self, call: Any, *, most_s: float = math.inf) -> Any:
        """Wait for a call as long as it may take; None if it fails."""
        from redis.exceptions import RedisError

        timeout_s = min(self._timeout_s, most_s)
        try:
            async with asyncio.timeout(timeout_s):
                answer = await call
        except (RedisError, OSError, TimeoutError) as error:
            self._outage.failed(_reason(error, timeout_s))
            return None
        self._outage.ended()
        return answer


def require_redis() -> None:
    """Make sure that the extra is installed.

    Raises:
        MissingExtraError: It is not.
    """
    try:
        importlib.import_module("redis.asyncio")
    except ImportError as error:
        raise MissingExtraError("redis", "the setting redis_url of the plugin cache") from error


def _reason(error: Exception, timeout_s: float) -> str:
    # The exceptions of time limits say nothing, or only what was being done.
    if isinstance(error, TimeoutError) or type(error).__name__ == "TimeoutError":
        return f"no answer within {timeout_s:g} s"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _client(url: str, timeout_s: float) -> Any:
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    try:
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
        pool.make_connection()  # it is not connected yet, but it knows its options
    except (TypeError, ValueError) as error:
        raise PluginError(f"redis_url cannot be used: {error}") from error
    return Redis.from_pool(pool)


def _prefix(model: str) -> str:
    return f"foretell:cache:{FORMAT}:{model}:"


def _name(model: ModelInfo, key: bytes) -> str:
    return f"{_prefix(model.name)}{model.version}:{key.hex()}"


def _escaped(model: str) -> str:
    """A model's name as a pattern that only it fits."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^-" else letter for letter in model)
