"""``foretell plugins list``: which plugins there are, and what keeps one from working."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from foretell.cli.options import gather, plugin_settings_options
from foretell.cli.plugin_commands import PluginCommands
from foretell.cli.tables import print_table
from foretell.errors import PluginError

if TYPE_CHECKING:
    from foretell.plugin.discovery import FoundPlugin
    from foretell.settings import EffectiveSettings

__all__ = ["list_plugins"]


class _Survey(msgspec.Struct):
    """What came of loading and starting the enabled plugins.

    Attributes:
        stages: The stage of each that works, by name.
        commands: The commands of each that works, by name.
        missing: Why each optional one does not, by name.
        failed: Why each other one does not, by name.
    """

    stages: dict[str, str]
    commands: dict[str, list[str]]
    missing: dict[str, str]
    failed: dict[str, str]


@click.command("list", short_help="List every plugin, and what is wrong with one.")
@plugin_settings_options
def list_plugins(**options: Any) -> None:
    """List every plugin that is installed or dropped in: whether it is enabled, its stage, where it comes from.

    Enabled ones are made and handed a view of a server, but nothing is opened: what fails in `lifespan` shows only
    when the server starts. The exit status is 1 if one would stop the start.
    """
    from foretell.plugin.discovery import discover
    from foretell.plugin.loading import check_names

    effective = gather(options)
    settings = effective.settings
    found = discover(Path(settings.plugins.folder))
    survey = _survey(effective, found)
    rows: list[tuple[str, ...]] = []
    for name in dict.fromkeys([*settings.plugins.enabled, *sorted(found)]):
        origin = found[name].origin if name in found else "absent"
        stage = survey.stages.get(name, "")
        if name in survey.failed:
            rows.append((name, "FAILED", stage, origin, _one_line(survey.failed[name])))
        elif name in survey.missing:
            rows.append((name, "missing", stage, origin, _one_line(survey.missing[name])))
        elif name in settings.plugins.enabled:
            commands = ", ".join(survey.commands[name])
            rows.append((name, "yes", stage, origin, f"commands: {commands}" if commands else ""))
        else:
            rows.append((name, "no", "", origin, found[name].problem or ""))
    print_table(("plugin", "enabled", "stage", "from", "note"), rows)
    for reason in survey.failed.values():
        raise PluginError(reason)
    check_names(settings, found, effective.origins)


def _survey(effective: EffectiveSettings, found: dict[str, FoundPlugin]) -> _Survey:
    """Load and start the enabled plugins, each whatever becomes of the others."""
    from litestar.config.app import AppConfig

    from foretell.app import wire
    from foretell.logs import open_log
    from foretell.plugin.faults import Faults
    from foretell.plugin.loading import LoadedPlugins, try_plugins
    from foretell.plugin.plugin_set import PluginSet

    loaded, errors = try_plugins(effective.settings, found, effective.origins)
    faults = Faults(open_log(effective.settings.log))
    # As if all were optional: what fails is left out with its reason.
    lenient = tuple(msgspec.structs.replace(each, optional=True) for each in loaded.plugins)
    plugins = PluginSet(LoadedPlugins(lenient, loaded.missing, loaded.known), faults)
    wire(effective.settings, plugins=plugins).lookup.registry.close()
    plugins.init_app(AppConfig())
    group = PluginCommands()
    commands: dict[str, list[str]] = {}
    reasons = dict(plugins.missing)
    for each in plugins.plugins:
        before = set(group.commands)
        alone = PluginSet(LoadedPlugins((each,), {}), faults)
        alone.register_commands(group)
        commands[each.name] = sorted(set(group.commands) - before)
        reasons |= alone.missing
    must = {each.name for each in loaded.plugins if not each.optional}
    return _Survey(
        {each.name: each.plugin.stage.name for each in loaded.plugins},
        commands,
        {name: reason for name, reason in reasons.items() if name not in must},
        {name: str(error) for name, error in errors.items()}
        | {name: reason for name, reason in reasons.items() if name in must},
    )


def _one_line(reason: str) -> str:
    return " ".join(reason.split())
