"""``foretell plan``: how the CPUs are used, and how each model is run."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from foretell.cli.options import gather, settings_options
from foretell.cli.tables import print_table

if TYPE_CHECKING:
    from foretell.engine.registry import Registry
    from foretell.engine.version import Version

__all__ = ["plan"]


@click.command()
@settings_options
def plan(**options: Any) -> None:
    """Show how the CPUs are used and how each model is run, with the reasons.

    The models are loaded and measured as the server does it, on this machine.
    """
    from foretell.engine.loader import Loader
    from foretell.engine.plan import make_plan
    from foretell.engine.registry import Registry
    from foretell.logs import open_log
    from foretell.supervisor.shared_folder import shared_folder

    settings = gather(options).settings
    made = make_plan(settings)
    rows: list[tuple[str, ...]] = [
        (name.replace("_", " "), str(getattr(made, name)), made.reasons[name])
        for name in ("cpus", "workers", "run_threads", "intra_op_threads")
    ]
    print_table(("of the server", "number", "because of"), rows)
    if made.busy_threads > made.cpus:
        click.echo(
            f"more threads can be busy than there are CPUs: {made.busy_threads} on {made.cpus}", err=True
        )
    with shared_folder(open_log(settings.log)) if made.workers > 1 else nullcontext() as shared:
        registry: Registry[Version] = Registry(
            Path(settings.store.path), Loader.of(settings, shared), serve=lambda version, _: version
        )
        described = _loaded(registry)
    click.echo()
    print_table(("model", "version", "one row", "runs", "shared runs", "weights"), sorted(described))


def _loaded(registry: Registry[Version]) -> list[tuple[str, ...]]:
    """Load the store, and describe every version."""
    try:
        asyncio.run(registry.load())
        described = [
            _described(name, version)
            for name, model in registry.models.items()
            for version in model.versions.values()
        ]
        described += [
            (name, str(number), "", "FAILED", reason, "")
            for name, model in registry.models.items()
            for number, reason in model.failures.items()
        ]
    finally:
        registry.close()
    return described


def _described(name: str, version: Version) -> tuple[str, ...]:
    number = str(version.info.version)
    cost = "unknown" if version.cost is None else f"{version.cost.of(1):.0f} µs"
    if version.inline_rows:
        where = f"on the event loop up to {version.inline_rows} rows, longer ones in threads"
    else:
        where = "in threads"
    rows = _shared_rows(version)
    weights = f"{version.weights.size_bytes / 1e6:.1f} MB, {version.weights.reason}"
    return (name, number, cost, where, f"{rows}: {version.batching.reason}", weights)


def _shared_rows(version: Version) -> str:
    """How many rows share a run, where it happens on the event loop and where in threads."""
    loop, threads = version.loop_rows, version.batching.rows
    found = [f"up to {loop} rows on the event loop"] if loop > 1 else []
    found += [f"up to {threads} rows in threads"] if threads > 1 else []
    return ", ".join(found) or "no"
