"""What runs in a worker process. The supervisor imports this module too, so it imports nothing heavy."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from foretell.errors import ForetellError
from foretell.excerpts import shortened
from foretell.supervisor.messages import Failed

if TYPE_CHECKING:
    from foretell.supervisor.task import Task

__all__ = ["work"]

_SHOWN_REASON: Final = 4_000


def work(task: Task) -> None:
    """A worker's life: load, serve until told, end.

    Args:
        task: What it is to do.

    Raises:
        SystemExit: Always; with status 0 if it has served and was told to end.
    """
    task.last_words.record()
    try:
        served = _serve(task)
    except ForetellError as error:
        task.channel.send(Failed(shortened(str(error), _SHOWN_REASON)))
        sys.exit(1)
    except BaseException as error:  # noqa: BLE001 - the edge of the process: the supervisor tells what killed it
        task.last_words.write(error)
        sys.exit(1)
    if not served:
        task.channel.send(Failed(None))
    sys.exit(0 if served else 1)


def _serve(task: Task) -> bool:
    from foretell.garbage import everything_stays

    with everything_stays():
        from foretell.app import create_app
        from foretell.http.lifecycle import Lifecycle
        from foretell.logs import open_log
        from foretell.supervisor.watched import WatchedServer

        log = open_log(task.settings.log).bind(worker=task.slot)
        lifecycle = Lifecycle()
        app = create_app(
            task.settings,
            lifecycle=lifecycle,
            log=log,
            server=task.server,
            origins=task.origins,
            shared_weights=task.shared_weights,
            rpc=task.rpc,
        )
    server = WatchedServer(app, log, lifecycle, task)
    for held in task.sockets:
        for bound in held:
            bound.setblocking(False)  # else a duplicate would have it block in every process that shares it
    return server.serve_until_told([bound.dup() for bound in task.sockets[task.slot]])
