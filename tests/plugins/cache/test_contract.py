"""The cache keeps to the contract of plugins."""

from __future__ import annotations

from typing import Any, ClassVar

from foretell.plugin.testing import PluginContract
from foretell_plugins.cache import Cache


class TestCache(PluginContract):
    plugin_type = Cache


class TestForcedCache(PluginContract):
    plugin_type = Cache
    config: ClassVar[dict[str, Any]] = {"force": True, "max_bytes": 4096}


class TestCacheWithoutItsRedis(PluginContract):
    """Nothing listens there."""

    plugin_type = Cache
    config: ClassVar[dict[str, Any]] = {"redis_url": "redis://127.0.0.1:1/0"}
