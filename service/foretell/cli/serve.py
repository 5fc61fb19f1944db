"""``foretell serve``: the application on uvicorn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from foretell.cli.options import gather, settings_options

__all__ = ["serve"]


@click.command()
@settings_options
def serve(**options: Any) -> None:
    """Serve a model store over HTTP.

    \b
    Examples:
      foretell serve
      foretell serve --store /models --host 0.0.0.0 --port 8080
      foretell serve --set limits.max_rows=1000 --set log.predictions=0.01

    Stop it with Ctrl-C or SIGTERM: requests that are going on are finished first.
    """  # noqa: D301 - click wants the control character, not its name
    effective = gather(options)
    settings = effective.settings
    from foretell.app import create_app
    from foretell.http.listening import bind
    from foretell.http.server import run_server
    from foretell.logs import open_log
    from foretell.store.catalog import scan

    scan(Path(settings.store.path))
    sockets = bind(settings.server.host, settings.server.port)
    app = create_app(settings, origins=effective.origins)
    if not run_server(app, sockets, settings.server, open_log(settings.log)):
        raise SystemExit(1)
