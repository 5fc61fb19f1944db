"""The commands that enabled plugins add."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from foretell.settings import load_settings

if TYPE_CHECKING:
    from foretell.plugin.plugin_set import PluginSet
    from foretell.settings import Settings

__all__ = ["load_plugin_set", "plugin_commands"]


def plugin_commands() -> dict[str, click.Command]:
    """The commands of the plugins that the settings of this folder and the environment enable, by name.

    Raises:
        SettingsError: A setting is misspelt or ill-typed.
        PluginError: An enabled plugin cannot be loaded.
    """
    group = click.Group()
    load_plugin_set(load_settings(environ=os.environ).settings).register_commands(group)
    return dict(group.commands)


def load_plugin_set(settings: Settings) -> PluginSet:
    """The enabled plugins, imported and configured, without a server.

    Raises:
        PluginError: An enabled plugin cannot be loaded.
    """
    from foretell.logs import open_log
    from foretell.plugin.discovery import discover
    from foretell.plugin.faults import Faults
    from foretell.plugin.loading import load_plugins
    from foretell.plugin.plugin_set import PluginSet

    loaded = load_plugins(settings, discover(Path(settings.plugins.folder)))
    return PluginSet(loaded, Faults(open_log(settings.log)))
