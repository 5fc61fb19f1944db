"""What came of a load test's questions, by kind and second by second."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from foretell.loadtest.histogram import Histogram
from foretell.loadtest.question import Question

__all__ = ["Record", "Seen", "Tick"]

_MOST_EXAMPLES: Final = 20


class Seen(msgspec.Struct):
    """What was seen of the questions of one kind.

    Attributes:
        protocol: How they were asked.
        model: Who was asked.
        rows: How many rows each had.
        latencies: Of those that were answered rightly, from when they were due.
        in_time: How many of these came while questions still did.
        refused: How many were answered with another status than 200.
        wrong: How many were answered with 200, and wrongly.
        lost: How many were not answered.
    """

    protocol: str
    model: str
    rows: int
    latencies: Histogram = msgspec.field(default_factory=Histogram)
    in_time: int = 0
    refused: int = 0
    wrong: int = 0
    lost: int = 0

    @property
    def failed(self) -> int:
        """How many were not answered rightly."""
        return self.refused + self.wrong + self.lost


class Tick(msgspec.Struct):
    """A second of a load test.

    Attributes:
        latencies: Of the right answers that came in it.
        failed: How many questions failed in it.
    """

    latencies: Histogram = msgspec.field(default_factory=Histogram)
    failed: int = 0


class Record(msgspec.Struct):
    """What came of a load test's questions.

    Attributes:
        seen: By kind, as text.
        ticks: By the second since 1970.
        examples: What was wrong with some of those that failed.
        resent: How many questions were sent again since their connection had been closed before.
        took_s: For how long questions came, seconds.
    """

    seen: dict[str, Seen] = {}
    ticks: dict[int, Tick] = {}
    examples: list[str] = []
    resent: int = 0
    took_s: float = 0.0

    def add(
        self,
        question: Question,
        at_s: float,
        took_s: float,
        status: int,
        error: Exception | None,
        *,
        in_time: bool,
    ) -> None:
        """Keep what came of a question.

        Args:
            question: The question.
            at_s: When the answer came, or was given up, in seconds since 1970.
            took_s: How long that took from when the question was due, seconds.
            status: The answer's status; 0 if there was none.
            error: What is wrong; None if nothing is.
            in_time: Whether the answer came while questions still did.
        """
        key = f"{question.protocol} {question.model} {question.rows}"
        seen = self.seen.get(key)
        if seen is None:
            seen = self.seen[key] = Seen(question.protocol, question.model, question.rows)
        tick = self.ticks.setdefault(int(at_s), Tick())
        if error is None:
            seen.in_time += in_time
            seen.latencies.add(took_s * 1e6)
            tick.latencies.add(took_s * 1e6)
            return
        tick.failed += 1
        if not status:
            seen.lost += 1
        elif status == 200:
            seen.wrong += 1
        else:
            seen.refused += 1
        self._example(f"{key}: {type(error).__name__}: {error}")

    def _example(self, complaint: str) -> None:
        if len(self.examples) < _MOST_EXAMPLES:
            self.examples.append(complaint)

    def merge(self, other: Record) -> None:
        """Add what another process saw."""
        for key, theirs in other.seen.items():
            mine = self.seen.setdefault(key, Seen(theirs.protocol, theirs.model, theirs.rows))
            mine.latencies.merge(theirs.latencies)
            mine.in_time += theirs.in_time
            mine.refused += theirs.refused
            mine.wrong += theirs.wrong
            mine.lost += theirs.lost
        for second, tick in other.ticks.items():
            mine_then = self.ticks.setdefault(second, Tick())
            mine_then.latencies.merge(tick.latencies)
            mine_then.failed += tick.failed
        for complaint in other.examples:
            self._example(complaint)
        self.resent += other.resent
        self.took_s = max(self.took_s, other.took_s)

    def clear(self) -> None:
        """Forget everything."""
        self.seen, self.ticks, self.examples, self.resent, self.took_s = {}, {}, [], 0, 0.0

    def write(self, path: Path) -> None:
        """Write it into a file."""
        path.write_bytes(msgspec.json.encode(self))

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read it from a file."""
        return msgspec.json.decode(path.read_bytes(), type=cls)
