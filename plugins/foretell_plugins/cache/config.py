"""What can be set of the cache."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

__all__ = ["OF_THE_SERVER", "CacheConfig"]

Seconds = Annotated[float, msgspec.Meta(gt=0, le=30 * 86_400)]
Bytes = Annotated[int, msgspec.Meta(ge=1, le=2**40)]

_REDIS_URL: Final = "a URL that begins with redis://, rediss:// or unix://"


class CacheConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can be set of the cache, for all models or, but for the last four and `max_bytes`, for one.

    Attributes:
        ttl_s: How long an answer may be given again, seconds.
        deterministic: Whether the model answers the same question always the same; if not, it is not cached.
        force: Whether a model is cached although a run costs less than what the cache adds to it.
        max_entry_bytes: The greatest answer that is kept, in this process or in Redis, bytes.
        max_bytes: How much memory all kept answers may take in one process, bytes.
        redis_url: A Redis or Valkey that processes and hosts share, for instance ``redis://localhost:6379/0``; none if
            it is not set. Needs the extra ``redis``.
        redis_timeout_s: How long one call to it may take, seconds. After that the model is asked.
        redis_min_run_us: Models whose run costs less than this do not use it, µs: a call costs some hundred.

    Raises:
        ValueError: `redis_url` cannot be used.
    """

    ttl_s: Seconds = 300.0
    deterministic: bool = True
    force: bool = False
    max_entry_bytes: Bytes = 1024**2
    max_bytes: Bytes = 64 * 1024**2
    redis_url: Annotated[str, msgspec.Meta(pattern=r"^(rediss?|unix)://", description=_REDIS_URL)] | None = (
        None
    )
    redis_timeout_s: Seconds = 0.02
    redis_min_run_us: Annotated[float, msgspec.Meta(ge=0)] = 1000.0

    def __post_init__(self) -> None:
        if self.redis_url is not None:
            _check(self.redis_url)


OF_THE_SERVER: Final = ("max_bytes", "redis_url", "redis_timeout_s", "redis_min_run_us")
"""What cannot be set for one model: all models share it."""


def _check(url: str) -> None:
    """Refuse what redis would silently take for something else. The URL may hold a password, so it is not shown."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"redis_url: {error}; write redis://HOST:PORT/DATABASE") from error
    databases = parse_qs(parts.query, keep_blank_values=True).get("db", [])
    if parts.scheme == "unix":
        if parts.netloc or not parts.path:
            raise ValueError("redis_url names no socket: write unix:///PATH/OF/THE/SOCKET?db=DATABASE")
    else:
        databases += [parts.path[1:]] if len(parts.path) > 1 else []
    for database in databases:
        if not (database.isascii() and database.isdecimal()):
            raise ValueError(
                f"redis_url: {database!r} is not the number of a database: write redis://HOST:PORT/0, or leave it out"
            )
