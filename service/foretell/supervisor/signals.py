"""Signals as something that can be waited for together with other things."""

from __future__ import annotations

import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

__all__ = ["Signals"]


class Signals:
    """Catches some signals of this process, from the main thread, until it is closed.

    Args:
        numbers: Which.
    """

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._numbers = list(numbers)
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def __enter__(self) -> Self:
        self._woken_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._handled_before = {
            number: signal.signal(number, lambda _number, _frame: None) for number in self._numbers
        }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._handled_before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._woken_before)
        self._reader.close()
        self._writer.close()

    def fileno(self) -> int:
        """The file descriptor to wait for."""
        return self._reader.fileno()

    def caught(self) -> list[signal.Signals]:
        """What has come since the last time, in its order."""
        numbers: list[int] = []
        with suppress(BlockingIOError):
            while True:
                numbers += self._reader.recv(4096)
        return [signal.Signals(number) for number in numbers]
