"""The plugin tracing keeps to the contract of plugins."""

from __future__ import annotations

from typing import Any, ClassVar

from foretell.plugin.testing import PluginContract
from foretell_plugins.tracing import Tracing


class TestTracing(PluginContract):
    plugin_type = Tracing


class TestTracingToNowhere(PluginContract):
    """Nothing listens there."""

    plugin_type = Tracing
    config: ClassVar[dict[str, Any]] = {
        "exporter": "otlp",
        "endpoint": "http://127.0.0.1:1",
        "shutdown_s": 0.2,
    }
