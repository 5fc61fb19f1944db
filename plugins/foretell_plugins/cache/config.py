"""What can be set of the cache."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

__all__ = ["OF_THE_SERVER", "CacheConfig"]

Seconds = Annotated[float, msgspec.Meta(gt=0, le=30 * 86_400)]
Bytes = Annotated[int, msgspec.Meta(ge=1, le=2**40)]


class CacheConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can be set of the cache, for all models or, but for the last four and `max_bytes`, for one.

    Attributes:
        ttl_s: How long an answer may be given again, seconds.
        deterministic: Whether the model answers the same question always the same; if not, it is not cached.
        force: Whether a model is cached although a run costs less than a look-up.
        max_entry_bytes: The greatest answer that is kept, bytes.
        max_bytes: How much memory all kept answers may take in one process, bytes.
        redis_url: A Redis or Valkey that processes and hosts share, for instance ``redis://localhost:6379/0``; none if
            it is not set. Needs the extra ``redis``.
        redis_timeout_s: How long one call to it may take, seconds. After that the model is asked.
        redis_min_run_us: Models whose run costs less than this do not use it, µs: a call costs some hundred.
    """

    ttl_s: Seconds = 300.0
    deterministic: bool = True
    force: bool = False
    max_entry_bytes: Bytes = 1024**2
    max_bytes: Bytes = 64 * 1024**2
    redis_url: Annotated[str, msgspec.Meta(pattern=r"^(rediss?|unix)://")] | None = None
    redis_timeout_s: Seconds = 0.02
    redis_min_run_us: Annotated[float, msgspec.Meta(ge=0)] = 1000.0


OF_THE_SERVER: Final = ("max_bytes", "redis_url", "redis_timeout_s", "redis_min_run_us")
"""What cannot be set for one model: all models share it."""
