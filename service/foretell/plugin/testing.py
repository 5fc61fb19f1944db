"""The contract test of plugins for pytest: subclass `PluginContract` in a test file of your own.

class TestShout(PluginContract):
plugin_type = Shout
config = {"loud": True}
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from foretell.plugin.checks import CHECKS, Check, ContractError, Trial
from foretell.plugin.dropped_in import load_file

if TYPE_CHECKING:
    from foretell.plugin.contract import Plugin

__all__ = ["ContractError", "PluginContract", "load_plugin"]


class PluginContract:
    """Every check of the contract, as one test each.

    Attributes:
        plugin_type: The plugin's class; for one of a single file, ``load_plugin("plugins/shout.py")``.
        config: Its configuration, as the settings would give it.
    """

    plugin_type: ClassVar[type[Plugin[Any]]]
    config: ClassVar[dict[str, Any]] = {}

    @pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
    def test_contract(self, check: Check) -> None:
        """The plugin keeps to its contract."""
        check(Trial(self.plugin_type, self.config))


def load_plugin(path: str | Path) -> type[Plugin[Any]]:
    """The plugin class of a single file, imported as the server does.

    Raises:
        PluginError: It cannot be imported, or defines no plugin class, or more than one.
    """
    return load_file(Path(path))
