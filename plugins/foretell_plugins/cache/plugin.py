"""The cache as a plugin: which versions it stands around, what they share, and what it tells of itself."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakSet

from foretell.errors import MissingExtraError, PluginError
from foretell.plugin import Instrument, ModelInfo, Plugin, Stage
from foretell_plugins.cache.config import OF_THE_SERVER, CacheConfig
from foretell_plugins.cache.cost import measure_miss
from foretell_plugins.cache.memory import Memory
from foretell_plugins.cache.routes import Dropped, drop_route
from foretell_plugins.cache.shared import Shared, require_redis
from foretell_plugins.cache.version import CachedVersion

if TYPE_CHECKING:
    from litestar import Litestar
    from litestar.config.app import AppConfig

    from foretell.plugin import Host, Predict

__all__ = ["Cache"]


class Cache(Plugin[CacheConfig]):
    """Gives an answer again while it is young, and lets equal questions at the same time be answered by one run.

    Errors and degraded answers are never kept. A model whose run costs less than what the cache adds to it is left
    alone.

    Args:
        config: What is set.

    Raises:
        PluginError: Redis is to be used, and its extra is not installed.
    """

    stage = Stage.CACHE

    def __init__(self, config: CacheConfig) -> None:
        super().__init__(config)
        if config.redis_url is not None:
            try:
                require_redis()
            except MissingExtraError as error:
                raise PluginError(
                    f"{error}; in a clone of foretell, .venv/bin/pip install -e '.[redis]'"
                ) from error
        self.memory = Memory(config.max_bytes)
        self.shared: Shared | None = None
        self._numbers = itertools.count(1)
        self._versions: dict[str, WeakSet[CachedVersion]] = {}
        self._owners: dict[str, set[bytes]] = {}
        self._not_shared: set[str] = set()
        self._host: Host | None = None

    @cached_property
    def miss_us(self) -> float:
        """What the cache adds to a request that it has no answer for, µs."""
        return measure_miss()

    def configure_model(self, model: str, config: CacheConfig) -> None:
        """Take the configuration of one model."""
        for key in OF_THE_SERVER:
            if getattr(config, key) != getattr(self.config, key):
                raise PluginError(
                    f"{model}: plugins.cache.{key} is for all models: set plugins.config.cache.{key}"
                )
        super().configure_model(model, config)

    def on_start(self, host: Host) -> None:
        """Take the view of the server."""
        self._host = host

    @asynccontextmanager
    async def lifespan(self, app: Litestar) -> AsyncGenerator[None]:
        """Keep the connections to Redis, if there is one to be used."""
        del app
        if self.config.redis_url is None or self._host is None:
            yield
            return
        shared = Shared(self.config.redis_url, timeout_s=self.config.redis_timeout_s, log=self._host.log)
        try:
            await shared.greet()
            self.shared = shared
            yield
        finally:
            await shared.close()

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the route that drops a model's answers."""
        if self._host is not None:
            app_config.route_handlers.append(drop_route(self._host, self.forget))
        return app_config

    def why_not(self, model: ModelInfo) -> str | None:
        """Why a version is not cached."""
        config = self.config_for(model.name)
        if not config.deterministic:
            return "its settings say that it is not deterministic"
        if model.run_us is not None and not config.force and model.run_us < self.miss_us:
            return (
                f"a run costs {model.run_us:.1f} µs, and the cache would add {self.miss_us:.1f} µs to it; "
                "plugins.cache.force = true caches it all the same"
            )
        return None

    def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
        """Look up before calling on."""
        version = CachedVersion(
            call_next,
            model,
            self.config_for(model.name),
            memory=self.memory,
            shared=self._shared_for(model),
            # What an earlier load of the same version left is not answered again, though it may be the same.
            owner=next(self._numbers),
        )
        self._versions.setdefault(model.name, WeakSet()).add(version)
        self._owners.setdefault(model.name, set()).add(version.owner)
        return version

    def instruments(self) -> Iterable[Instrument]:
        """What is kept, what had to go, and how Redis is."""
        shared = self.shared
        counts = (
            ("evictions", self.memory.evictions, "Answers dropped for want of room."),
            (
                "redis_errors",
                0 if shared is None else shared.failures,
                "Calls to Redis that failed, or brought what cannot be used.",
            ),
            ("redis_dropped", 0 if shared is None else shared.dropped, "Answers not written to Redis."),
        )
        for name, count, description in counts:
            yield Instrument(f"foretell_cache_{name}_total", "counter", description, [({}, count)])
        yield Instrument(
            "foretell_cache_bytes",
            "gauge",
            "What the kept answers take, bytes.",
            [({}, self.memory.size_bytes)],
        )
        if self.config.redis_url is not None:
            yield Instrument(
                "foretell_cache_redis_up",
                "gauge",
                "Whether Redis answers.",
                [({}, float(shared is not None and shared.up))],
                across_workers="max",
            )

    async def forget(self, model: str) -> Dropped:
        """Drop every answer of a model, in this process and in Redis; what is being answered now is not kept either.

        Raises:
            OSError: Redis cannot be reached, so that its answers may still be given.
        """
        owners = self._owners.pop(model, set())
        for version in self._versions.get(model, ()):
            version.begin_anew(next(self._numbers))
            self._owners.setdefault(model, set()).add(version.owner)
        in_memory = await self.memory.forget(owners)
        return Dropped(model, in_memory, None if self.shared is None else await self.shared.forget(model))

    def _shared_for(self, model: ModelInfo) -> Shared | None:
        """Where the answers of a version are shared; None, and a line in the log, if that would not pay."""
        least_us = self.config.redis_min_run_us
        if self.shared is None or model.run_us is None or model.run_us >= least_us:
            return self.shared
        if self._host is not None and model.name not in self._not_shared:
            self._not_shared.add(model.name)
            self._host.log.info(
                "answers are not shared through Redis",
                model=model.name,
                reason=f"a run costs {model.run_us:.0f} µs, and redis_min_run_us is {least_us:g}",
            )
        return None
