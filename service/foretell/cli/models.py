"""``foretell models``: what is in a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from foretell.cli.options import gather, store_option
from foretell.cli.tables import print_table
from foretell.errors import ForetellError, NotFoundError
from foretell.store.catalog import find_model, scan
from foretell.store.decisions import roll_back, set_alias, set_default
from foretell.store.inspection import dangling_aliases, visible_fault
from foretell.store.layout import MODEL_CONFIG_FILE, parse_version
from foretell.store.manifest import MANIFEST_FILE, MODEL_FILE, FileDigest, Manifest
from foretell.store.model_config import ModelConfig

if TYPE_CHECKING:
    from foretell.store.catalog import CatalogModel

__all__ = ["models"]


@click.group()
def models() -> None:
    """List, show, alias, roll back and verify the models of a store."""


@models.command("list")
@store_option
def list_models(store: Path) -> None:
    """List the models of a store: their versions, aliases and default version."""
    rows: list[tuple[str, ...]] = []
    found = scan(store)
    if not found:
        _say_empty(store)
        return
    faulty = False
    for model in found.values():
        config = model.config or ModelConfig()
        aliases = ", ".join(f"{alias} → {number}" for alias, number in sorted(config.aliases.items()))
        faults = _faults(model)
        faulty = faulty or bool(faults)
        default = _default(model)
        broken = (
            not default or int(default) not in model.versions or visible_fault(model.versions[int(default)])
        )
        shown = "?" if model.config is None else f"{default} (broken)" if default and broken else default
        notes = [*(() if config.enabled else ("disabled",)), *faults]
        rows.append((model.name, ", ".join(map(str, model.versions)), shown, aliases, "; ".join(notes)))
    print_table(("model", "versions", "default", "aliases", "note"), rows)
    if faulty:
        click.echo("run `foretell models verify` to check every version as the server does")


@models.command("show")
@click.argument("name")
@click.argument("version", required=False, metavar="[VERSION|ALIAS]")
@store_option
def show_model(name: str, version: str | None, store: Path) -> None:
    """Show the manifest of a version of a model, by number or alias; of its default version if none is named.

    The exit status is 1 if the version is damaged or incomplete.
    """
    model = find_model(store, name)
    if version is None and model.config is None:
        raise click.UsageError(
            "name a version: its model.toml cannot be read, which says what answers by default"
        )
    number = int(_default(model) or 0) if version is None else _number(model, version)
    folder = _version_folder(model, number)
    click.secho(f"{name} version {number}", bold=True)
    fault = visible_fault(folder)
    if fault is not None:
        click.secho(f"CANNOT BE SERVED: {fault}", fg="red")
    if (folder / MANIFEST_FILE).exists():
        click.echo(Manifest.read(folder / MANIFEST_FILE).encode().decode().rstrip())
    else:
        found = FileDigest.of(folder / MODEL_FILE) if (folder / MODEL_FILE).is_file() else None
        measured = f"{found.size_bytes} bytes, SHA-256 {found.sha256}" if found else "absent"
        click.echo(f"no manifest; {MODEL_FILE}: {measured}")
    if fault is not None:
        raise SystemExit(1)


@models.command("alias")
@click.argument("name")
@click.argument("alias")
@click.argument("version", type=click.IntRange(min=1), required=False)
@click.option("--remove", is_flag=True, help="Remove the alias.")
@store_option
def alias_model(name: str, alias: str, version: int | None, remove: bool, store: Path) -> None:
    """Point an alias of a model at a version; the rest of its model.toml stays as it is."""
    if remove is (version is not None):
        raise click.UsageError("name a version, or --remove the alias")
    folder = find_model(store, name).folder
    set_alias(folder, alias, version)
    click.echo(f"{name}: {alias} removed" if version is None else f"{name}: {alias} → {version}")
    _tell_of_link(folder)


@models.command("default")
@click.argument("name")
@click.argument("version", required=False, metavar="[VERSION|ALIAS]")
@click.option("--remove", is_flag=True, help="Let the highest version answer, whichever that is.")
@store_option
def default_model(name: str, version: str | None, remove: bool, store: Path) -> None:
    """Say which version or alias of a model answers callers who name none."""
    if remove is (version is not None):
        raise click.UsageError("name a version or an alias, or --remove the default")
    model = find_model(store, name)
    if version is None:
        set_default(model.folder, None)
        click.echo(f"{name}: the highest version answers by default")
    else:
        number = parse_version(version)
        set_default(model.folder, version if number is None else number)
        click.echo(f"{name}: default → {version}")
    _tell_of_link(model.folder)


@models.command("rollback")
@click.argument("name")
@click.option("--alias", help="The alias to point back; without it, what answers by default.")
@store_option
def roll_back_model(name: str, alias: str | None, store: Path) -> None:
    """Point an alias of a model, or its default, back at the version before the one that it names.

    That is the highest version below it that is not plainly damaged. A running server follows at once.
    """
    folder = find_model(store, name).folder
    done = roll_back(folder, alias)
    what = "default" if done.alias is None else done.alias
    click.echo(f"{name}: {what} → {done.now} (was {done.before})")
    for number, fault in done.skipped.items():
        click.echo(f"passed over version {number}: {fault}")
    if done.pinned:
        click.echo(
            f"version {done.now} answers by default from now on, whatever is published; "
            f"`foretell models default {name} --remove` lets the highest answer again"
        )
    _tell_of_link(folder)


@models.command("verify")
@click.argument("names", nargs=-1)
@store_option
def verify_models(names: tuple[str, ...], store: Path) -> None:
    """Check every version as the server does before it serves it: digests, contents, and a trial run.

    The exit status is 1 if a version cannot be served.
    """
    from foretell.engine.attempt import Stop, attempt
    from foretell.engine.loader import Loader
    from foretell.engine.version import Version

    settings = gather({"store": str(store)}).settings
    loader = Loader.of(settings)
    chosen = [find_model(store, name) for name in names] if names else list(scan(store).values())
    if not chosen:
        _say_empty(store)
        return
    rows: list[tuple[str, str, str]] = []
    failed = False
    for model in chosen:
        if model.error:
            failed = True
            rows.append((model.name, "", f"FAILED: {model.error}"))
        for alias, target in dangling_aliases(model).items():
            failed = True
            rows.append(
                (model.name, str(target), f"FAILED: the alias {alias} points at it, and it is absent")
            )
        config = model.config or ModelConfig()
        for number in model.versions:

            def load(stop: Stop, model: CatalogModel = model, number: int = number) -> Version:
                return loader.load(
                    model.name, number, model.versions[number], model.config or ModelConfig(), stop=stop
                )

            try:
                version = attempt(load, timeout_s=loader.timeout_s, name=f"load {model.name}/{number}")
            except ForetellError as error:
                failed = True
                pointing = [alias for alias, target in sorted(config.aliases.items()) if target == number]
                aliases = f" (aliases: {', '.join(pointing)})" if pointing else ""
                rows.append((model.name, str(number), f"FAILED: {error}{aliases}"))
            else:
                rows.append(
                    (model.name, str(number), "ok" if version.info.manifest else "ok, without a manifest")
                )
    print_table(("model", "version", "result"), rows)
    if failed:
        raise SystemExit(1)


def _default(model: CatalogModel) -> str:
    """The version that answers by default; empty if there is none, or if a model.toml that cannot be read says which."""
    config = model.config
    if config is None:
        return ""
    choice = config.aliases[config.default] if isinstance(config.default, str) else config.default
    return str(choice or max(model.versions, default=""))


def _number(model: CatalogModel, text: str) -> int:
    """The version that a number or an alias names."""
    number = parse_version(text)
    if number is not None:
        return number
    aliases = (model.config or ModelConfig()).aliases
    if text not in aliases:
        known = ", ".join(sorted(aliases)) or "none"
        raise NotFoundError(f"{model.name} has no version or alias {text!r}; its aliases: {known}")
    return aliases[text]


def _faults(model: CatalogModel) -> list[str]:
    """What can be seen of a model's troubles without loading it."""
    faults = [] if model.error is None else [model.error]
    if not model.versions:
        faults.append("it has no versions")
    for number, folder in model.versions.items():
        fault = visible_fault(folder)
        if fault is not None:
            faults.append(f"version {number}: {fault}")
    faults += [
        f"the alias {alias} points at version {number}, which is absent"
        for alias, number in dangling_aliases(model).items()
    ]
    return faults


def _tell_of_link(folder: Path) -> None:
    """Say which file an edit has changed, where that is not the one in the store."""
    path = folder / MODEL_CONFIG_FILE
    if path.is_symlink():
        click.echo(f"{MODEL_CONFIG_FILE} is a link: {path.resolve()} has changed")


def _say_empty(store: Path) -> None:
    click.echo(
        f"there are no models in {str(store)!r}; publish one: "
        "foretell publish MODEL.skops --name NAME --sample ROWS.csv"
    )


def _version_folder(model: CatalogModel, number: int) -> Path:
    if number not in model.versions:
        known = ", ".join(map(str, model.versions)) or "none"
        raise NotFoundError(f"{model.name} has no version {number}; it has: {known}")
    return model.versions[number]
