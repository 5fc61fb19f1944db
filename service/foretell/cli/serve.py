"""``foretell serve``: the application on uvicorn."""

from __future__ import annotations

from typing import Any

import click

from foretell.cli.options import gather, settings_options

__all__ = ["serve"]


@click.command()
@settings_options
def serve(**options: Any) -> None:
    r"""Serve a model store over HTTP.

    \b
    Examples:
      foretell serve
      foretell serve --store /models --host 0.0.0.0 --port 8080
      foretell serve --set limits.max_rows=1000 --set log.predictions=0.01

    Stop it with Ctrl-C or SIGTERM: requests that are going on are finished first.
    """
    settings = gather(options).settings
    import uvicorn

    from foretell.app import create_app

    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings),
            host=settings.server.host,
            port=settings.server.port,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=settings.server.drain_s,
        )
    )
    server.run()
    if not server.started:
        raise SystemExit(1)
