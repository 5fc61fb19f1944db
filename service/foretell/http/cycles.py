"""What stands in place of uvicorn's cycle of request and response, with what its HTTP protocol uses of one."""

from __future__ import annotations

import asyncio

__all__ = ["Answered", "Waiting"]


class Waiting:
    """In place of uvicorn's cycle, for a request whose answer is waited for. It is its own event, which tells of its client.

    Attributes:
        response_complete: See uvicorn.
        disconnected: See uvicorn.
        keep_alive: See uvicorn.
    """

    more_body = False

    def __init__(self) -> None:
        self.response_complete = False
        self.disconnected = False
        self.keep_alive = True
        self._task: asyncio.Task[None] | None = None

    @property
    def message_event(self) -> Waiting:
        """See uvicorn."""
        return self

    def begin(self, task: asyncio.Task[None] | None) -> None:
        """The task that waits has begun: only now can it be ended, since what has not begun cleans nothing up."""
        self._task = task
        self.set()

    def end(self) -> None:
        """It is answered."""
        self.response_complete = True
        self._task = None  # which knows this one

    def set(self) -> None:
        """Something has happened to the connection: where the client has left, nobody waits any longer."""
        if self.disconnected and self._task is not None:
            self._task.cancel()
            self._task = None  # once: a second time would end what cleans up


class _Nobody:
    """In place of the event that a request's application waits for."""

    def set(self) -> None:
        """Nothing: it has ended."""


class Answered:
    """In place of uvicorn's cycle, for a request that was answered without one."""

    response_complete = True
    disconnected = False
    more_body = False
    keep_alive = True
    message_event = _Nobody()
