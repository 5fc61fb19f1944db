"""``foretell models``: what is in a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from foretell.cli.options import gather, store_option
from foretell.cli.tables import print_table
from foretell.errors import ForetellError, NotFoundError
from foretell.store.catalog import find_model, scan
from foretell.store.manifest import MANIFEST_FILE, MODEL_FILE, FileDigest, Manifest
from foretell.store.model_config import ModelConfig, set_alias

if TYPE_CHECKING:
    from foretell.store.catalog import CatalogModel

__all__ = ["models"]


@click.group()
def models() -> None:
    """List, show, alias and verify the models of a store."""


@models.command("list")
@store_option
def list_models(store: Path) -> None:
    """List the models of a store: their versions, aliases and default version."""
    rows: list[tuple[str, ...]] = []
    for model in scan(store).values():
        config = model.config or ModelConfig()
        aliases = ", ".join(f"{alias} → {number}" for alias, number in sorted(config.aliases.items()))
        state = model.error or ("" if config.enabled else "disabled")
        rows.append((model.name, ", ".join(map(str, model.versions)), _default(model), aliases, state))
    print_table(("model", "versions", "default", "aliases", "note"), rows)


@models.command("show")
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1), required=False)
@store_option
def show_model(name: str, version: int | None, store: Path) -> None:
    """Show the manifest of a version of a model; of its default version if none is named."""
    model = find_model(store, name)
    number = version or int(_default(model) or max(model.versions, default=0))
    folder = _version_folder(model, number)
    click.secho(f"{name} version {number}", bold=True)
    if (folder / MANIFEST_FILE).exists():
        click.echo(Manifest.read(folder / MANIFEST_FILE).encode().decode().rstrip())
    else:
        found = FileDigest.of(folder / MODEL_FILE) if (folder / MODEL_FILE).is_file() else None
        measured = f"{found.size_bytes} bytes, SHA-256 {found.sha256}" if found else "absent"
        click.echo(f"no manifest; {MODEL_FILE}: {measured}")


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
    set_alias(find_model(store, name).folder, alias, version)
    click.echo(f"{name}: {alias} removed" if version is None else f"{name}: {alias} → {version}")


@models.command("verify")
@click.argument("names", nargs=-1)
@store_option
def verify_models(names: tuple[str, ...], store: Path) -> None:
    """Check every version as the server does before it serves it: digests, contents, and a trial run.

    The exit status is 1 if a version cannot be served.
    """
    from foretell.engine.loader import Loader

    settings = gather({"store": str(store)}).settings
    loader = Loader.of(settings)
    chosen = [find_model(store, name) for name in names] if names else list(scan(store).values())
    rows: list[tuple[str, str, str]] = []
    failed = False
    for model in chosen:
        if model.error:
            failed = True
            rows.append((model.name, "", f"FAILED: {model.error}"))
        for number, folder in model.versions.items():
            try:
                version = loader.load(model.name, number, folder, max_rows=settings.limits.max_rows)
            except ForetellError as error:
                failed = True
                rows.append((model.name, str(number), f"FAILED: {error}"))
            else:
                version.close()
                rows.append(
                    (model.name, str(number), "ok" if version.info.manifest else "ok, without a manifest")
                )
    print_table(("model", "version", "result"), rows)
    if failed:
        raise SystemExit(1)


def _default(model: CatalogModel) -> str:
    config = model.config or ModelConfig()
    choice = config.aliases[config.default] if isinstance(config.default, str) else config.default
    return str(choice or max(model.versions, default=""))


def _version_folder(model: CatalogModel, number: int) -> Path:
    if number not in model.versions:
        known = ", ".join(map(str, model.versions)) or "none"
        raise NotFoundError(f"{model.name} has no version {number}; it has: {known}")
    return model.versions[number]
