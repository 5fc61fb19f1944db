"""The plugin fallback keeps to the contract of plugins."""

from __future__ import annotations

from typing import Any, ClassVar

from foretell.plugin.testing import PluginContract
from foretell_plugins.fallback import Fallback


class TestFallback(PluginContract):
    plugin_type = Fallback


class TestFallbackWithAChain(PluginContract):
    plugin_type = Fallback
    config: ClassVar[dict[str, Any]] = {"chain": [{"value": {"Y": 0.5}}]}
