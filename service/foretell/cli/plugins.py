"""``foretell plugins``: which there are, what they do to a model, and how to write one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from foretell.cli.options import gather, settings_options
from foretell.cli.plugin_commands import load_plugin_set
from foretell.cli.tables import print_table
from foretell.errors import PluginError

if TYPE_CHECKING:
    from foretell.plugin.chain import Chain
    from foretell.plugin.loading import LoadedPlugin
    from foretell.settings import Settings

__all__ = ["plugins"]


@click.group()
def plugins() -> None:
    """List, try and write plugins; show the chain of a model."""


@plugins.command("list")
@settings_options
def list_plugins(**options: Any) -> None:
    """List every plugin that is installed or dropped in: whether it is enabled, its stage, where it comes from."""
    from foretell.plugin.discovery import discover

    settings = gather(options).settings
    found = discover(Path(settings.plugins.folder))
    loaded = load_plugin_set(settings)
    enabled = {each.name: each for each in loaded.plugins}
    rows: list[tuple[str, ...]] = []
    for name in [*settings.plugins.enabled, *sorted(found.keys() - set(settings.plugins.enabled))]:
        origin = found[name].origin if name in found else "absent"
        if name in enabled:
            rows.append((name, "yes", enabled[name].plugin.stage.name, origin, _commands(enabled[name])))
        elif name in loaded.missing:
            rows.append((name, "missing", "", origin, loaded.missing[name]))
        else:
            rows.append((name, "no", "", origin, ""))
    print_table(("plugin", "enabled", "stage", "from", "note"), rows)


@plugins.command("chain")
@click.argument("model")
@click.option("--version", type=click.IntRange(min=1), help="Only this version.")
@settings_options
def show_chain(model: str, version: int | None, **options: Any) -> None:
    """Show the plugins around each version of a model, outermost first, and why others are left out.

    The versions are loaded and measured as the server does it.
    """
    from foretell.plugin.chain import Chain
    from foretell.store.catalog import find_model

    settings = gather(options).settings
    find_model(Path(settings.store.path), model)
    chains = _chains(settings, model)
    if version is not None and version not in chains:
        raise PluginError(f"{model} has no version {version} that loads; it has: {_listed(chains)}")
    rows: list[tuple[str, ...]] = []
    for number, chain in sorted(chains.items()):
        if version not in {None, number}:
            continue
        if not isinstance(chain, Chain):
            rows.append((str(number), "", "", f"FAILED: {chain}"))
            continue
        rows += [
            (
                str(number),
                link.stage.name,
                link.plugin,
                "" if link.why_not is None else f"not: {link.why_not}",
            )
            for link in chain.links
        ]
        rows.append((str(number), "", "the model", ""))
    print_table(("version", "stage", "plugin", "note"), rows)


@plugins.command("new")
@click.argument("name")
@settings_options
def new_plugin(name: str, **options: Any) -> None:
    """Write a working plugin called NAME into the plugin folder, and a test beside it."""
    from foretell.plugin.discovery import discover
    from foretell.plugin.skeleton import write_skeleton

    folder = Path(gather(options).settings.plugins.folder)
    taken = discover(folder).get(name)
    if taken is not None:
        raise PluginError(f"there is a plugin {name!r} already: {taken.origin}; choose another name")
    plugin, test = write_skeleton(folder, name)
    click.echo(f"{plugin}: a plugin that works; make it yours")
    click.echo(f"{test}: its test; run it with: pytest {test}")
    click.echo(f"try it:    foretell plugins check {plugin}")
    click.echo(f'enable it: add "{name}" to `enabled` under [plugins] in foretell.toml')


@plugins.command("check")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--plugin-config", "config", default="{}", metavar="JSON", help="The plugin's configuration.")
def check_plugin(file: Path, config: str) -> None:
    """Run the contract test on the plugin in FILE: each promise that a plugin makes, and whether it keeps it.

    The exit status is 1 if it breaks one.
    """
    from foretell.plugin.checks import CHECKS
    from foretell.plugin.discovery import load_file
    from foretell.plugin.trial import Trial

    try:
        trial_config = msgspec.json.decode(config, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise click.BadParameter(
            f"{config!r} is no JSON object: {error}", param_hint="--plugin-config"
        ) from error
    plugin_type = load_file(file)
    rows: list[tuple[str, ...]] = []
    failed = False
    for check in CHECKS.values():
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
    print_table((f"{plugin_type.__name__} ({file})", "result"), rows)
    if failed:
        raise SystemExit(1)


def _promise(check: Any) -> str:
    return str(check.__doc__).rstrip(".")


def _commands(loaded: LoadedPlugin) -> str:
    group = click.Group()
    loaded.plugin.register_commands(group)
    return f"commands: {', '.join(sorted(group.commands))}" if group.commands else ""


def _chains(settings: Settings, model: str) -> dict[int, Chain | str]:
    """The chain of each version of a model, or why it has none."""
    from foretell.engine.loader import Loader
    from foretell.engine.registry import Registry

    loaded = load_plugin_set(settings)
    registry = Registry(
        Path(settings.store.path),
        Loader.of(settings),
        max_rows=settings.limits.max_rows,
        serve=lambda version, config: loaded.compose(version.info, version.predict, config.plugins),
    )
    try:
        asyncio.run(registry.load(only=model))
        found = registry.model(model)
        return {**found.versions, **found.failures}
    finally:
        registry.close()


def _listed(chains: dict[int, Any]) -> str:
    return ", ".join(map(str, sorted(chains))) or "none"
