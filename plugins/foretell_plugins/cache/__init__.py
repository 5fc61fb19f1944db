"""Answers equal questions once: a response cache in this process, and if wanted in Redis behind it."""

from foretell_plugins.cache.config import CacheConfig
from foretell_plugins.cache.plugin import Cache

__all__ = ["Cache", "CacheConfig"]
