"""Watches what a server takes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, Self

import psutil

from foretell.loadtest.resources import Sample

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Watch"]

_PAUSE_S: Final = 1.0


class Watch:
    """Watches a process and its children while it is entered.

    Args:
        pid: The process.

    Attributes:
        samples: What was seen so far.
    """

    def __init__(self, pid: int) -> None:
        self.samples: list[Sample] = []
        self._process = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            sample = _sample(self._process)
            if sample.processes:
                self.samples.append(sample)
            if self._over.wait(_PAUSE_S):
                return


def _sample(process: psutil.Process) -> Sample:
    memory_bytes = descriptors = processes = 0
    at_s = time.time()
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    for each in family:
        try:
            with each.oneshot():
                taken_bytes, opened = each.memory_info().rss, each.num_fds()
        except psutil.NoSuchProcess:
            continue  # it has ended since
        memory_bytes += taken_bytes
        descriptors += opened
        processes += 1
    return Sample(at_s, memory_bytes / 1e6, descriptors, processes)
