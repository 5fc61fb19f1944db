"""Watches what a server takes."""

from __future__ import annotations

import time
from typing import Final

import psutil

from foretell.loadtest.background import Background
from foretell.loadtest.resources import Sample

__all__ = ["Watch"]

_PAUSE_S: Final = 1.0


class Watch(Background):
    """Watches a process and its children while it is entered.

    Args:
        pid: The process.

    Attributes:
        samples: What was seen so far.
    """

    def __init__(self, pid: int) -> None:
        super().__init__()
        self.samples: list[Sample] = []
        self._process = psutil.Process(pid)

    def _run(self) -> None:
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
