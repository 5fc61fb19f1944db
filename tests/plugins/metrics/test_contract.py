"""The plugin metrics keeps to the contract of plugins."""

from __future__ import annotations

from foretell.plugin.testing import PluginContract
from foretell_plugins.metrics import Metrics


class TestMetrics(PluginContract):
    plugin_type = Metrics
