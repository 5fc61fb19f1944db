"""The plugin shadow keeps to the contract of plugins."""

from __future__ import annotations

from typing import Any, ClassVar

from foretell.plugin.testing import PluginContract
from foretell_plugins.shadow import Shadow


class TestShadow(PluginContract):
    plugin_type = Shadow


class TestShadowWithATarget(PluginContract):
    """The made-up server has no such version."""

    plugin_type = Shadow
    config: ClassVar[dict[str, Any]] = {"target": "candidate", "fraction": 0.5}
