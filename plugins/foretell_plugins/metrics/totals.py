"""Sums and histograms of requests, as rows of whole numbers: one row for each label set.

A row holds the number of requests, the sums, the buckets of the histograms (each bucket by itself, not cumulative),
the time of the runs in each bucket of rows, when the last request was answered, and for each bucket of the duration
the last request in it that left a trace.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from foretell_plugins.metrics.label_sets import LabelSet

__all__ = [
    "BOUNDS_NS",
    "RECORD_WORDS",
    "ROW_BOUNDS",
    "ROW_WORDS",
    "STAGES",
    "Exemplar",
    "Histogram",
    "Row",
    "Totals",
    "Words",
    "add_records",
]

Words = npt.NDArray[np.int64]

BOUNDS_NS: Final[Words] = np.array(
    [5e4, 1e5, 2.5e5, 5e5, 1e6, 2.5e6, 5e6, 1e7, 2.5e7, 5e7, 1e8, 2.5e8, 5e8, 1e9, 2.5e9, 5e9, 1e10],
    dtype=np.int64,
)
"""The upper bounds of the buckets of a duration, ns: 50 µs to 10 s. Above the last there is one more."""

ROW_BOUNDS: Final[Words] = np.array([2**power for power in range(14)], dtype=np.int64)
"""The upper bounds of the buckets of a number of rows: 1 to 8192."""

STAGES: Final = ("decode", "queue", "run", "encode")

RECORD_WORDS: Final = 13
"""How long the record of a request is: label set, rows, rows of its run (0 if another request counts it), seven times
(started, decoded, queued, run started, run ended, predicted, finished; ns of the process's clock, 0 for never), trace
id in two words, span id."""

_DURATIONS: Final = len(BOUNDS_NS) + 1
_SIZES: Final = len(ROW_BOUNDS) + 1
_COUNT, _ROWS, _TOTAL_NS, _STAGE_NS, _RUN_ROWS, _TOTAL_BUCKETS = 0, 1, 2, 3, 7, 8
_STAGE_BUCKETS: Final = _TOTAL_BUCKETS + _DURATIONS
_ROW_BUCKETS: Final = _STAGE_BUCKETS + len(STAGES) * _DURATIONS
_RUN_NS_BY_ROWS: Final = _ROW_BUCKETS + _SIZES
_SUMMED: Final = _RUN_NS_BY_ROWS + _SIZES
_LAST: Final = _SUMMED
_EXEMPLARS: Final = _LAST + 1
_EXEMPLAR_WORDS: Final = 5

ROW_WORDS: Final = _EXEMPLARS + _DURATIONS * _EXEMPLAR_WORDS
"""How long a row is."""


def add_records(
    records: Words, old: Words, wall_offset_ns: int, *, stale: Words | None = None, new: Words | None = None
) -> Words:
    """Add records to rows.

    Args:
        records: ``int64[records, RECORD_WORDS]``; each names a row that there is.
        old: The rows before, ``int64[label sets, ROW_WORDS]``.
        wall_offset_ns: What makes a time of the process's clock a time of day, ns.
        stale: The rows in `new` that are not what they are in `old`.
        new: Where the rows go, as far as they are not what they are there already; if None, into `old`.

    Returns:
        The rows that were added to.
    """
    found, inverse = np.unique(records[:, 0], return_inverse=True)
    rows, run_rows, started, decoded, queued, run_started, run_ended, predicted, finished = records[:, 1:10].T
    ran = run_ended > 0
    zero = np.int64(0)
    spans = np.stack(
        (
            finished - started,
            np.where(decoded > 0, decoded - started, zero),
            np.where(run_started > 0, run_started - queued, zero),
            np.where(ran, run_ended - run_started, zero),
            np.where(predicted > 0, finished - predicted, zero),
        )
    )
    np.maximum(spans, zero, out=spans)
    there = np.stack((np.ones_like(ran), decoded > 0, run_started > 0, ran, predicted > 0))
    buckets = np.searchsorted(BOUNDS_NS, spans)  # a value on a bound belongs below it
    columns = buckets + (_TOTAL_BUCKETS + _DURATIONS * np.arange(1 + len(STAGES)))[:, None]

    added = np.zeros((len(found), _SUMMED), dtype=np.int64)
    flat = added.reshape(-1)
    at = inverse * _SUMMED
    np.add.at(flat, at + _COUNT, 1)
    np.add.at(flat, at + _ROWS, rows)
    np.add.at(flat, at + _RUN_ROWS, run_rows)
    np.add.at(flat, at + np.arange(_TOTAL_NS, _TOTAL_NS + len(spans))[:, None], spans)
    inside: Words = np.asarray((at + columns)[there], dtype=np.int64)
    np.add.at(flat, inside, 1)
    sizes = np.asarray(at + np.searchsorted(ROW_BOUNDS, run_rows), dtype=np.int64)[run_rows > 0]
    np.add.at(flat, sizes + _ROW_BUCKETS, 1)
    np.add.at(flat, sizes + _RUN_NS_BY_ROWS, spans[3][run_rows > 0])
    last = np.zeros(len(found), dtype=np.int64)
    np.maximum.at(last, inverse, finished + wall_offset_ns)

    if new is None:
        new = old
    elif stale is not None:
        new[stale] = old[stale]
    new[found, :_SUMMED] = old[found, :_SUMMED] + added
    new[found, _LAST] = np.maximum(old[found, _LAST], last)
    new[found, _EXEMPLARS:] = old[found, _EXEMPLARS:]
    traced = np.flatnonzero(records[:, 10] | records[:, 11])
    if len(traced):
        places = _EXEMPLARS + buckets[0, traced] * _EXEMPLAR_WORDS
        shown = np.column_stack((finished[traced] + wall_offset_ns, spans[0, traced], records[traced, 10:13]))
        # Of several in one place, the last stays.
        new[records[traced, 0][:, None], places[:, None] + np.arange(_EXEMPLAR_WORDS)] = shown
    return found


class Exemplar(msgspec.Struct, frozen=True):
    """One request of a bucket that left a trace.

    Attributes:
        wall_ns: When it was answered, ns since 1970.
        value_ns: How long it took, ns.
        trace_id: The identity of its trace.
        span_id: The identity of its span; 0 if it is not known.
    """

    wall_ns: int
    value_ns: int
    trace_id: int
    span_id: int


class Histogram(msgspec.Struct):
    """The values of one histogram.

    Attributes:
        buckets: How many values are in each bucket, and in none of those below it.
        total: The sum of all values.
        exemplars: For each bucket a request in it, if there is one.
    """

    buckets: Words
    total: int
    exemplars: list[Exemplar | None]

    @property
    def count(self) -> int:
        """How many values there are."""
        return int(self.buckets.sum())

    def add(self, other: Histogram) -> None:
        """Add another of the same kind. Of two requests in a bucket the later one is shown."""
        self.buckets = self.buckets + other.buckets
        self.total += other.total
        self.exemplars = [
            max((each for each in pair if each is not None), key=lambda each: each.wall_ns, default=None)
            for pair in zip(self.exemplars, other.exemplars, strict=True)
        ]


class Row:
    """One row, to be read.

    Args:
        words: ``int64[ROW_WORDS]``.
    """

    def __init__(self, words: Words) -> None:
        self._words = words

    @property
    def count(self) -> int:
        """The number of requests."""
        return int(self._words[_COUNT])

    @property
    def rows(self) -> int:
        """The rows that they held."""
        return int(self._words[_ROWS])

    @property
    def last_ns(self) -> int:
        """When the last of them was answered, ns since 1970."""
        return int(self._words[_LAST])

    @property
    def total_ns(self) -> int:
        """How long they took in all, ns."""
        return int(self._words[_TOTAL_NS])

    def stage_total(self, stage: int) -> tuple[int, int]:
        """How many of them came to one of `STAGES`, and how long it took in all, ns."""
        start = _STAGE_BUCKETS + stage * _DURATIONS
        return int(self._words[start : start + _DURATIONS].sum()), int(self._words[_STAGE_NS + stage])

    def runs_by_rows(self) -> list[tuple[int, int]]:
        """For each of `ROW_BOUNDS`, and what is above, how many runs there were, and their time, ns."""
        counts = self._words[_ROW_BUCKETS : _ROW_BUCKETS + _SIZES].tolist()
        times = self._words[_RUN_NS_BY_ROWS : _RUN_NS_BY_ROWS + _SIZES].tolist()
        return list(zip(counts, times, strict=True))

    @property
    def duration(self) -> Histogram:
        """From the request's being taken up to its answer's being ready, ns."""
        buckets = self._words[_TOTAL_BUCKETS : _TOTAL_BUCKETS + _DURATIONS]
        exemplars: list[Exemplar | None] = []
        for wall_ns, value_ns, high, low, span in (
            self._words[_EXEMPLARS:].reshape(_DURATIONS, _EXEMPLAR_WORDS).tolist()
        ):
            trace_id = ((high & _MASK) << 64) | (low & _MASK)
            exemplars.append(Exemplar(wall_ns, value_ns, trace_id, span & _MASK) if trace_id else None)
        return Histogram(buckets, int(self._words[_TOTAL_NS]), exemplars)

    def stage(self, stage: int) -> Histogram:
        """The time of one of `STAGES`, ns."""
        start = _STAGE_BUCKETS + stage * _DURATIONS
        buckets = self._words[start : start + _DURATIONS]
        return Histogram(buckets, int(self._words[_STAGE_NS + stage]), [None] * _DURATIONS)

    @property
    def run_rows(self) -> Histogram:
        """The rows of each run."""
        buckets = self._words[_ROW_BUCKETS : _ROW_BUCKETS + _SIZES]
        return Histogram(buckets, int(self._words[_RUN_ROWS]), [None] * _SIZES)


_MASK: Final = 2**64 - 1


class Totals:
    """Rows by label set.

    Args:
        pairs: What they hold at first.
    """

    def __init__(self, pairs: Iterable[tuple[LabelSet, Words]] = ()) -> None:
        self.rows: dict[LabelSet, Words] = {}
        for label_set, words in pairs:
            self.add(label_set, words)

    def add(self, label_set: LabelSet, words: Words) -> None:
        """Add a row. Of two requests in a bucket the later one is shown."""
        before = self.rows.get(label_set)
        if before is None:
            self.rows[label_set] = words.copy()
            return
        before[:_SUMMED] += words[:_SUMMED]
        before[_LAST] = max(before[_LAST], words[_LAST])
        ours = before[_EXEMPLARS:].reshape(_DURATIONS, _EXEMPLAR_WORDS)
        theirs = words[_EXEMPLARS:].reshape(_DURATIONS, _EXEMPLAR_WORDS)
        later = theirs[:, 0] > ours[:, 0]
        ours[later] = theirs[later]

    def merge(self, other: Totals) -> None:
        """Add all rows of another."""
        for label_set, words in other.rows.items():
            self.add(label_set, words)

    def counted(self) -> list[tuple[LabelSet, Row]]:
        """Every label set that has counted a request, with its row."""
        return [(label_set, Row(words)) for label_set, words in self.rows.items() if words[_COUNT]]
