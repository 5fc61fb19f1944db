"""Caches to try, around a made-up version."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from foretell_plugins.cache import Cache, CacheConfig
from tests.plugin.chains import chain_of, info, loaded, make_faults

if TYPE_CHECKING:
    from foretell.plugin import ModelInfo, Predict, PredictResponse
    from foretell.plugin.faults import Faults

__all__ = ["cached", "make_cache", "run"]


def make_cache(**config: Any) -> Cache:
    """A cache with some settings."""
    return Cache(CacheConfig(**config))


def cached(
    cache: Cache, end: Predict, *, model: ModelInfo | None = None, faults: Faults | None = None
) -> Predict:
    """A version behind a cache, isolated as in a server."""
    plugin = loaded(cache, name="cache")
    return chain_of(plugin, end=end, model=model or info(), faults=faults or make_faults()).predict


def run(answer: Coroutine[Any, Any, Any] | Any) -> PredictResponse:
    """Wait for an answer."""

    async def wait() -> PredictResponse:
        response: PredictResponse = await answer
        return response

    return asyncio.run(wait())
