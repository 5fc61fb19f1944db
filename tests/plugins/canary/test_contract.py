"""The plugin canary keeps to the contract of plugins."""

from __future__ import annotations

from typing import Any, ClassVar

from foretell.plugin.testing import PluginContract
from foretell_plugins.canary import Canary


class TestCanary(PluginContract):
    plugin_type = Canary


class TestCanaryWithWeights(PluginContract):
    """The made-up server has no such versions."""

    plugin_type = Canary
    config: ClassVar[dict[str, Any]] = {"weights": {"candidate": 60, "3": 40}, "key": "header:host"}
