"""Following a store: looking at it when something has changed, and every now and then."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal

from foretell.engine.attempt import in_thread
from foretell.store.file_system import gives_events
from foretell.store.watch import Watch

if TYPE_CHECKING:
    from pathlib import Path

    from foretell.engine.registry import Registry
    from foretell.logs import Logger

__all__ = ["Follower"]

_LOOK_OVER_S: Final = 60.0
"""How often a store is looked at though it gives events: some get lost when there are too many, and a file that a link
leads to elsewhere gives none."""


class Follower:
    """Keeps a registry in line with its store.

    Args:
        registry: What is served.
        store: The store's folder.
        mode: How changes are noticed: by events, by looking, or by events where they can be had.
        poll_s: How often the store is looked at where there are no events, seconds.
        log: Where to say how it is followed.
        look_over_s: How often where there are events, seconds.
    """

    def __init__(
        self,
        registry: Registry[Any],
        store: Path,
        *,
        mode: Literal["auto", "events", "poll"],
        poll_s: float,
        log: Logger,
        look_over_s: float = _LOOK_OVER_S,
    ) -> None:
        self._registry = registry
        self._store = store
        self._mode = mode
        self._poll_s = poll_s
        self._look_over_s = look_over_s
        self._log = log
        self._changed = asyncio.Event()
        self._watch: Watch | None = None
        self._watched: tuple[int, int] | None = None
        self._told: tuple[str, str | None] | None = None

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            while True:
                await self._keep_watch()
                waits_s = self._poll_s if self._watch is None else self._look_over_s
                with suppress(TimeoutError):
                    async with asyncio.timeout(waits_s):
                        await self._changed.wait()
                self._changed.clear()
                await self._look()
        finally:
            self._end_watch()

    async def _look(self) -> None:
        """Look at the store; what goes wrong in that must not be the end of following."""
        try:
            await self._registry.look()
        except Exception as error:  # noqa: BLE001 - the edge of the task: nobody above could do more than log it
            self._log.error("the store cannot be followed", exc_info=error)

    async def _keep_watch(self) -> None:
        """Have a watch on the folder that the store is now, where there can be one."""
        identity, wanted = await in_thread(self._find, "look for the store")
        if identity != self._watched:
            self._end_watch()
            self._watched = None
        if identity is None:
            return
        if not wanted:
            self._tell("polling", None if self._mode == "poll" else "its file system gives no events")
        elif self._watched is None:
            loop = asyncio.get_running_loop()

            def change() -> None:
                with suppress(RuntimeError):  # the loop is closed: nobody follows any longer
                    loop.call_soon_threadsafe(self._changed.set)

            def end(reason: str) -> None:
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(self._fall_back, reason)

            self._watched = identity
            self._watch = Watch(self._store, on_change=change, on_end=end)
            self._tell("events", None)

    def _find(self) -> tuple[tuple[int, int] | None, bool]:
        """Which folder the store is now, and whether to watch it."""
        try:
            status = self._store.stat()
        except OSError:
            return None, False
        wanted = self._mode == "events" or (self._mode == "auto" and gives_events(self._store))
        return (status.st_dev, status.st_ino), wanted

    def _fall_back(self, reason: str) -> None:
        """Go on by looking: the kernel gives no events, or none any longer."""
        self._end_watch()
        self._tell("polling", reason)
        self._changed.set()

    def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _tell(self, how: str, reason: str | None) -> None:
        if self._told != (how, reason):
            self._told = (how, reason)
            more = {} if reason is None else {"reason": reason}
            if reason is None:
                write = self._log.debug
            else:
                write = self._log.warning if self._mode == "events" else self._log.info
            write("following the store", by=how, **more)
