"""The commands that enabled plugins add."""

from __future__ import annotations

import os
from pathlib import Path

import click

from foretell.errors import PluginError
from foretell.settings import load_settings

__all__ = ["PluginCommands", "plugin_commands"]


class PluginCommands(click.Group):
    """Takes the commands of plugins; refuses a name that foretell or another plugin has already."""

    def __init__(self) -> None:
        super().__init__()
        from foretell.cli.main import cli

        self._own = frozenset(cli.list_commands(click.Context(cli)))

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Take a command.

        Raises:
            PluginError: Its name is taken.
        """
        name = name or cmd.name or ""
        if name in self._own or name in self.commands:
            whose = "foretell's own" if name in self._own else "another plugin's"
            raise PluginError(f"the command {name!r} is {whose}: give this one another name")
        super().add_command(cmd, name)


def plugin_commands() -> dict[str, click.Command]:
    """The commands of the plugins that the settings of this folder and the environment enable, by name.

    Raises:
        SettingsError: A setting is misspelt or ill-typed.
        PluginError: An enabled plugin cannot be loaded, or adds a command whose name is taken.
    """
    from foretell.logs import open_log
    from foretell.plugin.discovery import discover
    from foretell.plugin.faults import Faults
    from foretell.plugin.loading import load_plugins
    from foretell.plugin.plugin_set import PluginSet

    effective = load_settings(environ=os.environ)
    settings = effective.settings
    loaded = load_plugins(settings, discover(Path(settings.plugins.folder)), effective.origins)
    group = PluginCommands()
    PluginSet(loaded, Faults(open_log(settings.log))).register_commands(group)
    return dict(group.commands)
