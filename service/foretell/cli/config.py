"""``foretell config``: the effective settings, and where each comes from."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from foretell.cli.options import gather, settings_options
from foretell.cli.tables import print_table

__all__ = ["config"]


@click.command()
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def config(as_json: bool, **options: Any) -> None:
    """Print the effective settings and where each comes from.

    In rising order of precedence: defaults, foretell.toml, what SageMaker or Vertex AI says of the container,
    FORETELL_<SECTION>__<KEY> in the environment, flags.
    Passwords in URLs, and what stands under names such as api_key, token or headers, are shown as ***.
    """
    rows = gather(options).shown()
    if as_json:
        listed = [{"setting": key, "value": value, "origin": origin} for key, value, origin in rows]
        click.echo(msgspec.json.format(msgspec.json.encode(listed), indent=2))
        return
    print_table(
        ("setting", "value", "from"),
        [(key, msgspec.json.encode(value).decode(), origin) for key, value, origin in rows],
    )
