"""What a load test asks, written down before it begins: Locust's processes read it and compute nothing."""

from __future__ import annotations

from pathlib import Path

import msgspec

from foretell.loadtest.profiles import Stage
from foretell.loadtest.question import Question

__all__ = ["Plan"]


class Plan(msgspec.Struct):
    """The questions of a load test, and when they come.

    Attributes:
        questions: The questions, by kind (protocol, model and rows).
        stages: When they come.
        repeats: Which part of the questions is one of a few that come again and again.
        popular: How many of each kind these few are.
        share: Which part of the rate a process makes.
        timeout_s: How long an answer is waited for, seconds.
    """

    questions: list[list[Question]]
    stages: tuple[Stage, ...]
    repeats: float
    popular: int
    share: float = 1.0
    timeout_s: float = 30.0

    def write(self, path: Path) -> None:
        """Write it into a file."""
        path.write_bytes(msgspec.msgpack.encode(self))

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Read it from a file."""
        return msgspec.msgpack.decode(path.read_bytes(), type=cls)

    @property
    def duration_s(self) -> float:
        """How long questions come, seconds."""
        return sum(stage.duration_s for stage in self.stages)

    def rate_at(self, after_s: float) -> float | None:
        """How many questions a second there are so long after the beginning; None when it is over."""
        for stage in self.stages:
            if after_s < stage.duration_s:
                return stage.per_s
            after_s -= stage.duration_s
        return None
