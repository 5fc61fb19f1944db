"""``foretell plugins check``: the contract test on one plugin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from foretell.cli.options import gather, plugin_settings_options
from foretell.cli.tables import print_table
from foretell.errors import PluginError

if TYPE_CHECKING:
    from foretell.plugin.contract import Plugin

__all__ = ["check_plugin"]


@click.command("check", short_help="Run the contract test on a plugin.")
@click.argument("plugin")
@click.option("--plugin-config", "config", default="{}", metavar="JSON", help="The plugin's configuration.")
@plugin_settings_options
def check_plugin(plugin: str, config: str, **options: Any) -> None:
    """Run the contract test on PLUGIN, a file or the name of one that `foretell plugins list` shows.

    It prints each promise that a plugin makes, and whether it keeps it. The exit status is 1 if it breaks one.
    """
    from foretell.plugin.checks import CHECKS
    from foretell.plugin.trial import Trial

    try:
        trial_config = msgspec.json.decode(config, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise click.BadParameter(
            f"{config!r} is no JSON object: {error}", param_hint="--plugin-config"
        ) from error
    plugin_type, origin = _find(plugin, options)
    rows: list[tuple[str, ...]] = []
    reason = _refusal(plugin_type, trial_config)
    if reason is not None:
        rows.append(("Its configuration can be read", f"FAILED: {reason}"))
    failed = reason is not None
    for check in () if failed else CHECKS.values():
        try:
            check(Trial(plugin_type, trial_config))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a foreign plugin does, it is a result
            failed = True
            reason = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
            rows.append((_promise(check), f"FAILED: {reason}"))
        else:
            rows.append((_promise(check), "ok"))
    print_table((f"{plugin_type.__name__} ({origin})", "result"), rows)
    if failed:
        raise SystemExit(1)


def _find(plugin: str, options: dict[str, Any]) -> tuple[type[Plugin[Any]], str]:
    """The class of a plugin, and where it comes from.

    Raises:
        PluginError: It cannot be imported, or there is none.
    """
    from foretell.plugin.configuration import did_you_mean
    from foretell.plugin.discovery import discover
    from foretell.plugin.dropped_in import load_file

    path = Path(plugin)
    if path.is_file():
        return load_file(path), plugin
    found = discover(Path(gather(options).settings.plugins.folder))
    if plugin in found:
        return found[plugin].load(), found[plugin].origin
    raise PluginError(
        f"there is neither a file nor a plugin {plugin!r}{did_you_mean(plugin, sorted(found), 'there are')}"
    )


def _refusal(plugin_type: type[Plugin[Any]], config: dict[str, Any]) -> str | None:
    """Why the configuration cannot be used, which would be the outcome of every check; None if it can."""
    from foretell.plugin.configuration import Place, convert

    try:
        convert(config, plugin_type.config_type, Place("--plugin-config"))
    except PluginError as error:
        keys = [
            f'"{field.encode_name}": …'
            for field in msgspec.structs.fields(plugin_type.config_type)
            if field.required
        ]
        return f"{error}. Give one with --plugin-config '{{{', '.join(keys)}}}'" if keys else str(error)
    return None


def _promise(check: Any) -> str:
    return str(check.__doc__).rstrip(".")
