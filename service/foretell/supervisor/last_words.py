"""What a worker leaves when it dies: the traceback of an uncaught exception, or of a crash."""

from __future__ import annotations

import faulthandler
import os
import signal
import traceback
from multiprocessing import reduction
from typing import Any, Final

__all__ = ["SHOW_STACKS", "LastWords"]

SHOW_STACKS: Final = signal.SIGQUIT
"""At this signal a worker writes down what each of its threads is doing, however stuck it is."""

_SHOWN_BYTES: Final = 6_000


class LastWords:
    """A file in memory that a worker writes to when it dies, and its supervisor reads.

    It can be handed to a process that is being started.
    """

    def __init__(self) -> None:
        self._file = os.memfd_create("foretell-last-words", os.MFD_CLOEXEC)

    def __getstate__(self) -> Any:
        return reduction.DupFd(self._file)

    def __setstate__(self, state: Any) -> None:
        self._file = state.detach()

    def record(self) -> None:
        """Have this process's crashes written here."""
        faulthandler.enable(self._file)
        faulthandler.register(SHOW_STACKS, self._file)

    def write(self, error: BaseException) -> None:
        """Write down an exception."""
        os.write(self._file, "".join(traceback.format_exception(error)).encode(errors="backslashreplace"))

    def read(self) -> str | None:
        """The last of what was written; None if nothing was."""
        size = os.fstat(self._file).st_size
        start = max(0, size - _SHOWN_BYTES)
        text = os.pread(self._file, _SHOWN_BYTES, start).decode(errors="replace").strip()
        if not text:
            return None
        return f"… {text}" if start else text

    def close(self) -> None:
        """Forget it."""
        os.close(self._file)
