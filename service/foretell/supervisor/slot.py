"""A place for a worker: its socket stays, while workers come and go."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from foretell.supervisor.backoff import Backoff

if TYPE_CHECKING:
    from foretell.supervisor.worker import Worker

__all__ = ["Slot"]


class Slot:
    """A place for a worker.

    Args:
        number: Its number, from 0.

    Attributes:
        number: Its number.
        worker: Who is there: it is starting or accepts connections. None while the next is waited for.
        successor: Who is being started to take the place of one that serves.
        start_at: When the next is to be started; never as long as that is infinite.
        backoff: How long the next has to wait.
        open: Whether its sockets listen, so that connections may wait in them.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.worker: Worker | None = None
        self.successor: Worker | None = None
        self.start_at = math.inf
        self.backoff = Backoff()
        self.open = False

    @property
    def is_served(self) -> bool:
        """Whether its own worker accepts its connections."""
        return self.worker is not None and self.worker.ready and not self.worker.hangs
