"""``foretell plugins chain``: what stands around each version of a model, as the server has it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from foretell.cli.options import gather, model_settings_options
from foretell.cli.tables import print_table
from foretell.errors import PluginError

if TYPE_CHECKING:
    from foretell.app import Parts
    from foretell.engine.model import Model
    from foretell.plugin.chain import Link
    from foretell.protocols.endpoint import Endpoint

__all__ = ["show_chain"]

_Row = tuple[str, str, str, str]


@click.command("chain", short_help="Show what stands around each version of a model.")
@click.argument("model")
@click.option("--version", type=click.IntRange(min=1), help="Only this version.")
@model_settings_options
def show_chain(model: str, version: int | None, **options: Any) -> None:
    """Show the plugins around each version of a model, outermost first, and why others are left out.

    The store is loaded, measured and reviewed by the plugins as the server does it. The exit status is 1 if a version
    that is shown does not serve.
    """
    from foretell.app import wire
    from foretell.store.catalog import find_model

    effective = gather(options)
    find_model(Path(effective.settings.store.path), model)
    parts = wire(effective.settings, origins=effective.origins)
    try:
        asyncio.run(parts.lookup.registry.load())
        found = parts.lookup.registry.model(model)
        numbers = sorted({*found.versions, *found.failures})
        if version is not None and version not in numbers:
            there = ", ".join(map(str, numbers)) or "none"
            raise PluginError(f"{model} has no version {version} that loads; it has: {there}")
        shown = [number for number in numbers if version in {None, number}]
        rows = [row for number in shown for row in _rows(parts, found, number)]
        rows += [("", "", name, f"MISSING: {reason}") for name, reason in parts.plugins.missing.items()]
        print_table(("version", "stage", "plugin", "note"), rows)
        if any(number in found.failures for number in shown):
            raise SystemExit(1)
    finally:
        parts.lookup.registry.close()


def _rows(parts: Parts, model: Model[Endpoint], number: int) -> list[_Row]:
    """The lines of one version."""
    version = str(number)
    rows: list[_Row] = []
    served = model.versions.get(number) or model.stand_ins.get(number)
    if number in model.failures:
        rows.append((version, "", "", f"FAILED: {model.failures[number]}"))
    if served is None:
        return rows
    told = parts.plugins.status(model.name, number)
    rows += [
        (version, link.stage.name, link.plugin, _note(parts, link, model.name, told.get(link.plugin)))
        for link in served.chain.links
    ]
    return [*rows, (version, "", "nothing" if served.stands_in else "the model", _end(served, told))]


def _note(parts: Parts, link: Link, model: str, told: Any) -> str:
    """Why a plugin does not wrap a version, or what it tells of itself."""
    from foretell.plugin.contract import overrides

    plugin = next((each for each in parts.plugins.plugins if each.name == link.plugin), None)
    status = "" if told is None else _written(told)
    if link.why_not is None or plugin is None:
        return status
    if model in plugin.opted_out or overrides(plugin.plugin, "wrap_predict"):
        return f"not: {link.why_not}"
    does = [
        word
        for hook, word in (("wrap_choice", "chooses"), ("observe", "observes"))
        if overrides(plugin.plugin, hook)
    ]
    return "; ".join(filter(None, ["does not wrap", *does, status]))


def _end(served: Endpoint, told: dict[str, Any]) -> str:
    """What to say of a version that does not serve and is answered for."""
    if not served.stands_in:
        return ""
    answers = any(
        isinstance(each, Mapping) and cast("Mapping[str, Any]", each).get("chain") != []
        for each in told.values()
    )
    return "answered in its place, degraded" if answers else "nothing in its fallback can answer now"


def _written(told: Any) -> str:
    """What a plugin tells of itself, in one line."""
    if isinstance(told, Mapping):
        table = cast("Mapping[str, Any]", told)
        return "; ".join(f"{name}: {_within(value)}" for name, value in table.items())
    return _within(told)


def _within(value: Any) -> str:
    if isinstance(value, Mapping):
        table = cast("Mapping[str, Any]", value)
        return ", ".join(f"{name} ({_within(each)})" for name, each in table.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_within, cast("list[Any]", value))) or "none"
    return str(value)
