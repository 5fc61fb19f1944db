"""Work that may never end, tried for a while in a thread that holds up nobody."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from foretell.errors import LoadTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Stop", "attempt", "in_thread", "start", "timed_out"]

T = TypeVar("T")


class Stop:
    """Tells work that nobody waits for it any longer. Thread-safe.

    Attributes:
        asked: Whether it is to end.
    """

    def __init__(self) -> None:
        self.asked = False
        self._lock = threading.Lock()
        self._calls: list[Callable[[], None]] = []

    def on_ask(self, call: Callable[[], None]) -> None:
        """Have something called when the work is to end; at once if that was asked already."""
        with self._lock:
            if not self.asked:
                self._calls.append(call)
                return
        call()

    def ask(self) -> None:
        """Ask the work to end."""
        with self._lock:
            self.asked = True
            calls, self._calls = self._calls, []
        for call in calls:
            call()

    def check(self) -> None:
        """Go on only if nobody asked for the end.

        Raises:
            LoadTimeoutError: Somebody did.
        """
        if self.asked:
            raise LoadTimeoutError("it was given up")


def start(work: Callable[[], T], name: str) -> Future[T]:
    """Do work in a daemon thread, which does not keep the process from ending as an executor's would."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


async def in_thread(work: Callable[[], T], name: str) -> T:
    """Do work in a daemon thread, and wait for it without holding up the event loop."""
    return await asyncio.wrap_future(start(work, name))


def attempt(work: Callable[[Stop], T], *, timeout_s: float, name: str) -> T:
    """Do work in a thread of its own, and wait for it for a limited time.

    Raises:
        LoadTimeoutError: It takes longer. It was asked to stop; whether it obeys, nobody waits for it.
    """
    stop = Stop()
    future = start(lambda: work(stop), name)
    try:
        return future.result(timeout_s)
    except TimeoutError as error:
        if future.done():  # the work's own
            raise
        raise LoadTimeoutError(timed_out(timeout_s)) from error
    finally:
        stop.ask()


def timed_out(timeout_s: float) -> str:
    """The reason of a version that takes too long."""
    return (
        f"it was not loaded and warmed up after {timeout_s:g} s: look for a loop or a tensor that is too large, "
        "or raise engine.load_timeout_s"
    )
