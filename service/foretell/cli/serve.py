"""``foretell serve``: the application on uvicorn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from foretell.cli.options import gather, settings_options

if TYPE_CHECKING:
    from foretell.settings import Settings

__all__ = ["serve"]


@click.command()
@settings_options
def serve(**options: Any) -> None:
    """Serve a model store over HTTP, and over gRPC if --grpc-port says where.

    \b
    Examples:
      foretell serve
      foretell serve --store /models --host 0.0.0.0 --port 8080
      foretell serve --workers auto
      foretell serve --grpc-port 8001
      foretell serve --set limits.max_rows=1000 --set log.predictions=0.01

    With --workers 4, or --workers auto for one on each CPU, several processes answer on the port: one that dies or
    hangs is replaced while the others go on, and SIGHUP replaces them all, one after the other, with the settings as
    they are then and without a lost request.

    Stop it with Ctrl-C or SIGTERM: requests that are going on are finished first. A second Ctrl-C ends it at once.
    """  # noqa: D301 - click wants the control character, not its name
    effective = gather(options)
    settings = effective.settings
    from foretell.engine.plan import make_plan
    from foretell.http.listening import bind
    from foretell.logs import open_log
    from foretell.store.catalog import scan
    from foretell.store.elsewhere import prepare_store

    if settings.platform.sagemaker_multi_model:
        prepare_store(Path(settings.store.path))
    scan(Path(settings.store.path))
    workers = make_plan(settings).workers
    log = open_log(settings.log)
    if workers > 1:
        from foretell.supervisor import Supervisor

        def reload() -> Settings:
            # A file that was there must be there: without it, its plugins would be gone, guards included.
            return gather({**options, "file": options.get("file") or effective.file}).settings

        supervisor = Supervisor(settings, workers, log, reload=reload, origins=effective.origins)
        raise SystemExit(supervisor.run())
    from foretell.rpc.place import GRPC_FLAGS, host_and_port, place_of

    at = host_and_port(settings)
    sockets = bind(settings.server.host, settings.server.port)
    held = [] if at is None else bind(*at, GRPC_FLAGS)  # gRPC binds itself: until then nobody else can
    rpc = place_of(held, shared=False) if held else None
    from foretell.garbage import everything_stays

    with everything_stays():
        from foretell.app import create_app
        from foretell.http.lifecycle import Lifecycle
        from foretell.http.server import run_server

        lifecycle = Lifecycle()
        app = create_app(settings, lifecycle=lifecycle, log=log, origins=effective.origins, rpc=rpc)
    try:
        served = run_server(app, sockets, settings.server, log, lifecycle=lifecycle)
    finally:
        for bound in held:
            bound.close()
    if not served:
        raise SystemExit(1)
