"""``foretell plugins``: which there are, what they do to a model, and how to write one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from foretell.cli.options import gather, plugin_settings_options
from foretell.cli.plugin_chain import show_chain
from foretell.cli.plugin_check import check_plugin
from foretell.cli.plugin_list import list_plugins
from foretell.errors import PluginError

__all__ = ["plugins"]


@click.group()
def plugins() -> None:
    """List, try and write plugins; show the chain of a model."""


plugins.add_command(list_plugins)
plugins.add_command(show_chain)


@plugins.command("new", short_help="Write a working plugin and its test.")
@click.argument("name")
@plugin_settings_options
def new_plugin(name: str, **options: Any) -> None:
    """Write a working plugin called NAME into the plugin folder, and a test beside it."""
    from foretell.plugin.discovery import discover
    from foretell.plugin.skeleton import write_skeleton

    settings = gather(options).settings.plugins
    folder = Path(settings.folder)
    taken = discover(folder).get(name)
    if taken is not None:
        raise PluginError(f"there is a plugin {name!r} already: {taken.origin}; choose another name")
    plugin, test = write_skeleton(folder, name)
    enabled = msgspec.json.encode([name, *settings.enabled]).decode().replace(",", ", ")
    click.echo(f"{plugin}: a plugin that works; make it yours")
    click.echo(
        f"{test}: its test; it needs pytest (pip install pytest). Run it with: python -m pytest {test}"
    )
    click.echo(f"try it:    foretell plugins check {plugin}")
    click.echo(f'enable it: add "{name}" to `enabled` under [plugins] in foretell.toml, so that it reads')
    click.echo(f"               enabled = {enabled}")
    click.echo("           The list there replaces the one that is the default.")


plugins.add_command(check_plugin)
