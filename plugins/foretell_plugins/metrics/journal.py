"""Where a worker counts its requests: a piece of memory that outlives the process if it is a file.

A request is appended as one record, and counts from the moment in which the number of records, one word, is stored.
When the journal is full its records are folded into rows of totals. There are two areas of rows: the new totals are
made in the one that is not in force, and one more word, the commit, puts it into force and empties the journal at the
same time. So a process that is killed anywhere has counted each request once or, if it was the one it was just
appending, not yet.

Another process reads the commit, copies, and reads the commit again: if it changed, it copies anew.
That relies on words becoming visible in the order in which they are stored, as on x86-64. Where they need not (ARM), a
scrape of a worker that is just appending could misread that newest record, and is right again the next time.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import numpy as np

from foretell_plugins.metrics.label_sets import OTHER, LabelSet, label_set_of
from foretell_plugins.metrics.totals import RECORD_WORDS, ROW_WORDS, Totals, Words, add_records

if TYPE_CHECKING:
    from foretell.prediction import RequestRecord

__all__ = ["CAPACITY", "Journal", "open_journal", "read_journal"]

CAPACITY: Final = 1024
"""How many records there are between two folds."""

_MAGIC: Final = 0x464D_0001_0000_0000 | RECORD_WORDS << 16 | ROW_WORDS
_HEADER: Final = 8
_MAGIC_AT, _HEAD_AT, _COMMIT_AT, _WALL_OFFSET_AT, _MOST_AT = range(5)
_ROWS_AT: Final = _HEADER + CAPACITY * RECORD_WORDS
_CHUNK: Final = 64
_ATTEMPTS: Final = 1000

_RECORD: Final = struct.Struct("@10q3Q")
_LINE_DECODER: Final = msgspec.json.Decoder(LabelSet)
_Key = tuple[str, int, str, str, str, int, str | None, type]


class _Views(NamedTuple):
    """A journal's memory, as what it holds.

    Attributes:
        words: The header, word by word: each is stored and read in one piece.
        records: ``int64[CAPACITY, RECORD_WORDS]``.
        areas: ``int64[label sets, 2, ROW_WORDS]``.
    """

    words: memoryview
    records: Words
    areas: Words


class Journal:
    """The counts of one worker.

    Args:
        memory: Its memory, as long as `size_bytes` says; all zero.
        most: How many label sets find a place; what comes after them counts as `OTHER`.
        keep: Called with each new label set before its first record.
        reserve: Called with the length that is in use, bytes, before it grows.
    """

    def __init__(
        self,
        memory: mmap.mmap,
        most: int,
        *,
        keep: Callable[[LabelSet], None] = lambda _: None,
        reserve: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._memory = memory
        self._views = _views(memory, most)
        self._words = self._views.words
        self._most = most
        self._keep = keep
        self._reserve = reserve
        self._label_sets: list[LabelSet] = []
        self._numbers: dict[LabelSet, int] = {}
        self._known: dict[_Key, int] = {}
        self._reserved = 0
        self._folded = 0
        self._pending = 0
        self._area = 0
        self._stale: Words = np.empty(0, dtype=np.int64)
        self._wall_offset_ns = time.time_ns() - time.perf_counter_ns()
        self._words[_WALL_OFFSET_AT] = self._wall_offset_ns
        self._words[_MOST_AT] = most
        self._add(OTHER)
        self._words[_MAGIC_AT] = _MAGIC

    @property
    def is_full(self) -> bool:
        """Whether label sets no longer find a place."""
        return len(self._label_sets) >= self._most

    def append(self, record: RequestRecord) -> None:
        """Count a request."""
        if record.degraded is None:
            key = (
                record.model,
                record.version,
                record.protocol,
                record.route,
                record.method,
                record.status,
                record.cache,
                record.failure.__class__,
            )
            number = self._known.get(key, -1)
            if number < 0:
                number = self._number(record)
                if len(self._known) < self._most:  # a caller may send any method
                    self._known[key] = number
        else:
            number = self._number(record)
        pending = self._pending
        if pending == CAPACITY:
            self.fold()
            pending = 0
        high = low = span = 0
        if record.trace_id is not None:
            high, low, span = _trace_of(record.trace_id, record.span_id)
        _RECORD.pack_into(
            self._memory,
            (_HEADER + pending * RECORD_WORDS) * 8,
            number,
            record.rows,
            record.run_rows,
            record.started_ns,
            record.decoded_ns,
            record.queued_ns,
            record.run_started_ns,
            record.run_ended_ns,
            record.predicted_ns,
            record.finished_ns,
            high,
            low,
            span,
        )
        self._pending = pending = pending + 1
        self._words[_HEAD_AT] = self._folded + pending

    def fold(self) -> None:
        """Put the records into the totals, and empty the journal."""
        if not self._pending:
            return
        used = len(self._label_sets)
        area = self._area
        rows = self._views.areas[:used]
        self._stale = add_records(
            self._views.records[: self._pending],
            rows[:, area],
            self._wall_offset_ns,
            stale=self._stale,
            new=rows[:, 1 - area],
        )
        folded = self._folded + self._pending
        self._words[_COMMIT_AT] = folded << 1 | (1 - area)
        self._area = 1 - area
        self._folded = folded
        self._pending = 0

    def read(self) -> Totals:
        """What it has counted so far. May be called in any thread."""
        return _read(self._views, lambda: self._label_sets)

    def _number(self, record: RequestRecord) -> int:
        label_set = label_set_of(record)
        number = self._numbers.get(label_set)
        if number is not None:
            return number
        if self.is_full:
            return 0
        try:
            return self._add(label_set)
        except OSError:  # no space is left: to count it with the others is better than to fail
            return 0

    def _add(self, label_set: LabelSet) -> int:
        number = len(self._label_sets)
        if number >= self._reserved:
            reserved = min(number + _CHUNK, self._most)
            self._reserve((_ROWS_AT + reserved * 2 * ROW_WORDS) * 8)
            self._reserved = reserved
        self._keep(label_set)
        self._label_sets.append(label_set)
        self._numbers[label_set] = number
        return number


def _trace_of(trace_id: str, span_id: str | None) -> tuple[int, int, int]:
    """The identity of a trace in two words, and that of a span; zeros for what is none, as any plugin may leave it."""
    try:
        trace, span = int(trace_id, 16), int(span_id or "0", 16)
    except (TypeError, ValueError):
        return 0, 0, 0
    if trace >> 128 or span >> 64:  # too long, or below zero
        return 0, 0, 0
    return trace >> 64, trace & 0xFFFF_FFFF_FFFF_FFFF, span


def size_bytes(most: int) -> int:
    """How much memory a journal of so many label sets needs at most, bytes."""
    return (_ROWS_AT + most * 2 * ROW_WORDS) * 8


def in_memory(most: int) -> Journal:
    """A journal that ends with the process. Memory is taken as label sets come."""
    return Journal(mmap.mmap(-1, size_bytes(most)), most)


def open_journal(journal: int, label_sets: int, most: int) -> Journal:
    """A journal in an empty file.

    Args:
        journal: The file, open for reading and writing.
        label_sets: Another empty file, open for appending: its label sets go there, a line each.
        most: How many label sets find a place.

    Raises:
        OSError: There is no space.
    """
    os.ftruncate(journal, size_bytes(most))

    def keep(label_set: LabelSet) -> None:
        line = msgspec.json.encode(label_set) + b"\n"
        before = os.fstat(label_sets).st_size
        if os.write(label_sets, line) != len(line):
            os.ftruncate(label_sets, before)  # half a line would misnumber what follows
            raise OSError("there is no space for the label sets")

    def reserve(length: int) -> None:
        os.posix_fallocate(journal, 0, length)  # so that a full disk is an error here, and no SIGBUS later

    return Journal(mmap.mmap(journal, size_bytes(most)), most, keep=keep, reserve=reserve)


def read_journal(
    journal: Path, label_sets: Path, damaged: Callable[[str], None] = lambda _: None
) -> Totals | None:
    """What the journal of another process has counted so far, whether that process lives or not.

    Args:
        journal: Its file.
        label_sets: The file of its label sets.
        damaged: Is told what cannot be read of it, and is left out.

    Returns:
        None if it is no journal, or one of another version of foretell.

    Raises:
        OSError: A file cannot be read.
        RuntimeError: What it holds is never consistent.
    """
    opened = os.open(journal, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        size = os.fstat(opened).st_size
        if size < size_bytes(1):
            return None
        memory = mmap.mmap(opened, size, access=mmap.ACCESS_READ)  # it ends with the last view of it
    finally:
        os.close(opened)
    words = memoryview(memory).cast("q")
    most = words[_MOST_AT]
    if words[_MAGIC_AT] != _MAGIC or size != size_bytes(most):
        return None
    return _read(_views(memory, most), lambda: _lines(label_sets, damaged)[:most])


def _lines(path: Path, damaged: Callable[[str], None]) -> list[LabelSet]:
    """The label sets in a file, up to the first line that is none: the numbers of those behind it are not known."""
    complete, _, _ = path.read_bytes().rpartition(b"\n")
    label_sets: list[LabelSet] = []
    for line in complete.splitlines():
        try:
            label_sets.append(_LINE_DECODER.decode(line))
        except msgspec.MsgspecError as error:
            damaged(
                f"{path}, line {len(label_sets) + 1}: {error}; what it and the lines behind it count is left out"
            )
            break
    return label_sets


def _views(memory: mmap.mmap, most: int) -> _Views:
    every = np.frombuffer(memory, dtype=np.int64)
    return _Views(
        memoryview(memory).cast("q"),
        every[_HEADER:_ROWS_AT].reshape(CAPACITY, RECORD_WORDS),
        every[_ROWS_AT:].reshape(most, 2, ROW_WORDS),
    )


def _read(views: _Views, label_sets: Callable[[], list[LabelSet]]) -> Totals:
    for _ in range(_ATTEMPTS):
        commit = views.words[_COMMIT_AT]
        pending = views.words[_HEAD_AT] - (commit >> 1)
        if not 0 <= pending <= CAPACITY:
            continue  # it was folded in between
        known = list(label_sets())  # after the records, so that each record's is among them
        rows = views.areas[: len(known), commit & 1].copy()
        records = views.records[:pending]
        records = records[(records[:, 0] >= 0) & (records[:, 0] < len(known))]  # a copy
        if views.words[_COMMIT_AT] == commit:
            break
    else:
        raise RuntimeError("the journal changes faster than it can be read")
    if len(records):
        add_records(records, rows, views.words[_WALL_OFFSET_AT])
    return Totals(zip(known, rows, strict=True))
