from __future__ import annotations

import os
import subprocess
import sys
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.prediction import RequestRecord
from foretell_plugins.metrics.journal import CAPACITY, Journal, in_memory, open_journal, read_journal
from foretell_plugins.metrics.label_sets import OTHER, LabelSet, label_set_of
from foretell_plugins.metrics.totals import BOUNDS_NS, ROW_BOUNDS, STAGES, Histogram, Row, Totals
from tests.plugins.metrics.records import answered, records
from tests.servers import ROOT

BOUNDS = BOUNDS_NS.tolist()


@contextmanager
def journal_in(folder: Path, most: int = 100) -> Generator[Journal]:
    journal = os.open(folder / "journal", os.O_RDWR | os.O_CREAT)
    labels = os.open(folder / "labels", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        yield open_journal(journal, labels, most)
    finally:
        os.close(journal)
        os.close(labels)


def read(folder: Path) -> Totals:
    totals = read_journal(folder / "journal", folder / "labels")
    assert totals is not None
    return totals


def count(totals: Totals) -> int:
    return sum(row.count for _, row in totals.counted())


class PlainCount:
    """What a label set should come to, counted one by one."""

    def __init__(self) -> None:
        self.count = self.rows = 0
        self.duration: Counter[int] = Counter()
        self.total_ns = 0
        self.stages: dict[str, Counter[int]] = {stage: Counter() for stage in STAGES}
        self.runs: Counter[int] = Counter()
        self.traced: dict[int, int] = {}

    def add(self, record: RequestRecord) -> None:
        self.count += 1
        self.rows += record.rows
        span = record.finished_ns - record.started_ns
        self.total_ns += span
        self.duration[bisect_left(BOUNDS, span)] += 1
        if record.trace_id is not None:
            self.traced[bisect_left(BOUNDS, span)] = span
        for stage, began, ended in (
            ("decode", record.started_ns, record.decoded_ns),
            ("queue", record.queued_ns, record.run_started_ns),
            ("run", record.run_started_ns, record.run_ended_ns),
            ("encode", record.predicted_ns, record.finished_ns if record.predicted_ns else 0),
        ):
            if ended:
                self.stages[stage][bisect_left(BOUNDS, ended - began)] += 1
        if record.run_rows:
            self.runs[bisect_left(ROW_BOUNDS.tolist(), record.run_rows)] += 1

    def check(self, row: Row) -> None:
        assert (row.count, row.rows) == (self.count, self.rows)
        assert _buckets(row.duration) == self.duration
        assert row.duration.total == self.total_ns
        for number, stage in enumerate(STAGES):
            assert _buckets(row.stage(number)) == self.stages[stage]
        assert _buckets(row.run_rows) == self.runs
        shown = {at: each.value_ns for at, each in enumerate(row.duration.exemplars) if each is not None}
        assert shown == self.traced


def _buckets(histogram: Histogram) -> Counter[int]:
    return Counter({at: number for at, number in enumerate(histogram.buckets.tolist()) if number})


@given(st.lists(st.tuples(records(), st.booleans()), max_size=40))
def test_it_counts_what_a_plain_loop_counts(steps: list[tuple[RequestRecord, bool]]) -> None:
    journal = in_memory(1000)
    expected: dict[LabelSet, PlainCount] = {}
    for record, folds in steps:
        journal.append(record)
        expected.setdefault(label_set_of(record), PlainCount()).add(record)
        if folds:
            journal.fold()
    counted = dict(journal.read().counted())
    assert counted.keys() == expected.keys()
    for label_set, row in counted.items():
        expected[label_set].check(row)


def test_another_process_reads_what_is_folded_and_what_is_not(tmp_path: Path) -> None:
    with journal_in(tmp_path) as journal:
        for number in range(3 * CAPACITY + 5):
            journal.append(answered(version=number % 3 + 1))
            if number % 700 == 0:
                assert count(read(tmp_path)) == number + 1
        totals = read(tmp_path)
    assert {label_set.version: row.count for label_set, row in totals.counted()} == {
        1: 1026,
        2: 1026,
        3: 1025,
    }


def test_a_row_that_was_last_touched_long_ago_survives_both_areas(tmp_path: Path) -> None:
    with journal_in(tmp_path) as journal:
        journal.append(answered(model="digits"))
        counts: dict[str, int] = {}
        for _ in range(5):
            journal.append(answered())
            journal.fold()
            counts = {label_set.model: row.count for label_set, row in read(tmp_path).counted()}
            assert counts["digits"] == 1
    assert counts["iris"] == 5


def test_a_fold_of_nothing_changes_nothing(tmp_path: Path) -> None:
    with journal_in(tmp_path) as journal:
        journal.append(answered())
        journal.fold()
        journal.fold()
        assert count(journal.read()) == 1


def test_a_request_with_a_trace_is_shown_with_the_time_of_day(tmp_path: Path) -> None:
    trace, span = "f" * 32, "e" * 16
    journal = in_memory(10)
    journal.append(answered(trace_id=trace, span_id=span))
    for _ in range(2):
        ((_, row),) = journal.read().counted()
        (exemplar,) = [each for each in row.duration.exemplars if each is not None]
        assert (f"{exemplar.trace_id:032x}", f"{exemplar.span_id:016x}", exemplar.value_ns) == (
            trace,
            span,
            20_000,
        )
        journal.fold()


def test_what_finds_no_place_is_counted_together() -> None:
    journal = in_memory(3)
    for number in range(10):
        journal.append(answered(version=number))
    assert journal.is_full
    counts = {label_set: row.count for label_set, row in journal.read().counted()}
    assert counts[OTHER] == 8
    assert len(counts) == 3


def test_callers_cannot_fill_it() -> None:
    journal = in_memory(10)
    for number in range(1000):
        journal.append(answered(method=f"M{number}", model="", version=0, status=405, failure=ValueError()))
    ((label_set, row),) = journal.read().counted()
    assert (label_set.method, row.count) == ("_OTHER", 1000)


def test_a_full_disk_costs_the_label_set_and_not_the_count(tmp_path: Path) -> None:
    def refuse(length: int) -> None:
        if length > 1_000_000:
            raise OSError("no space")

    memory = in_memory(1000)
    journal = Journal(memory._memory, 1000, reserve=refuse)
    for number in range(500):
        journal.append(answered(version=number + 1))
    assert count(journal.read()) == 500


def test_a_half_written_label_set_is_not_read(tmp_path: Path) -> None:
    with journal_in(tmp_path) as journal:
        journal.append(answered())
        with (tmp_path / "labels").open("ab") as file:
            file.write(b'["half')
        assert count(read(tmp_path)) == 1


@pytest.mark.parametrize(
    "content", [b"", b"x" * 100_000, bytes(1_000_000)], ids=["empty", "foreign", "unfinished"]
)
def test_what_is_no_journal_is_left_out(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "journal").write_bytes(content)
    (tmp_path / "labels").write_bytes(b"")
    assert read_journal(tmp_path / "journal", tmp_path / "labels") is None


def test_a_reader_never_sees_less_than_before_nor_more_than_there_is(tmp_path: Path) -> None:
    appended = 0
    done = threading.Event()
    with journal_in(tmp_path) as journal:

        def write() -> None:
            nonlocal appended
            for number in range(20_000):
                appended = number + 1
                journal.append(answered(version=number % 40 + 1))
            done.set()

        writer = threading.Thread(target=write)
        writer.start()
        before = 0
        while not done.is_set():
            now = count(read(tmp_path))
            assert before <= now <= appended
            before = now
        writer.join()
        assert count(read(tmp_path)) == 20_000


_AT_RANDOM = """
import mmap, os, sys
from pathlib import Path
from tests.servers import ROOT
from tests.plugins.metrics.records import answered
from tests.plugins.metrics.test_journal import journal_in

folder, fold_every = Path(sys.argv[1]), int(sys.argv[2])
with (folder / "progress").open("wb+") as file:
    file.truncate(8)
    progress = memoryview(mmap.mmap(file.fileno(), 8)).cast("q")
    with journal_in(folder) as journal:
        while True:
            journal.append(answered(version=progress[0] % 50 + 1))
            progress[0] += 1
            if progress[0] % fold_every == 0:
                journal.fold()
"""


@pytest.mark.parametrize("fold_every", [1, 7, 100, 5000])
@pytest.mark.parametrize("at_least", [1, 300, 2500])
def test_a_worker_that_is_killed_has_counted_each_request_once(
    fold_every: int, at_least: int, tmp_path: Path
) -> None:
    progress = tmp_path / "progress"
    with subprocess.Popen(
        [sys.executable, "-c", _AT_RANDOM, str(tmp_path), str(fold_every)], cwd=ROOT
    ) as child:
        while not progress.exists() or int.from_bytes(progress.read_bytes(), "little") < at_least:
            assert child.poll() is None
        child.kill()
    said = int.from_bytes(progress.read_bytes(), "little")
    totals = read(tmp_path)
    assert count(totals) - said in {0, 1}  # 1: counted, and killed before it could say so
    for _, row in totals.counted():
        assert row.rows == row.count == row.duration.count == row.run_rows.count


_AT_EACH_LINE = """
import itertools, os, signal, sys, tempfile
from pathlib import Path
from foretell_plugins.metrics import journal as journals, totals
from tests.servers import ROOT
from tests.plugins.metrics.records import answered
from tests.plugins.metrics.test_journal import count, journal_in, read

def die_at(line):
    lines = itertools.count(1)
    def trace(frame, event, argument):
        if frame.f_code.co_filename not in {journals.__file__, totals.__file__}:
            return None
        if event == "line" and next(lines) == line:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace
    return trace

for line in itertools.count(1):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        child = os.fork()
        if not child:
            with journal_in(folder) as journal:
                for number in range(30):
                    journal.append(answered(version=number % 3 + 1))
                    if number in {9, 19}:
                        journal.fold()
                sys.settrace(die_at(line))
                journal.fold()
                sys.settrace(None)
                os._exit(0)
        _, status = os.waitpid(child, 0)
        counts = sorted(row.count for _, row in read(folder).counted())
        assert counts == [10, 10, 10], (line, counts)
        if os.waitstatus_to_exitcode(status) == 0:
            print(line)
            break
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
"""


def test_a_fold_can_be_killed_at_each_of_its_lines(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _AT_EACH_LINE], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20


@pytest.mark.parametrize(
    ("trace_id", "span_id"),
    [
        ("not hex", None),
        ("", None),
        ("f" * 33, None),
        ("-1", None),
        (7, None),
        ("1" * 32, "not hex"),
        ("1" * 32, "f" * 17),
        ("1" * 32, "-1"),
        ("1" * 32, 7),
    ],
    ids=repr,
)
def test_a_trace_that_is_none_costs_no_count(trace_id: Any, span_id: Any) -> None:
    journal = in_memory(10)
    journal.append(answered(trace_id=trace_id, span_id=span_id))
    journal.append(answered())
    totals = journal.read()
    assert count(totals) == 2
    assert not any(row.duration.exemplars[0] for _, row in totals.counted())


def test_label_sets_are_read_up_to_the_first_damaged_line(tmp_path: Path) -> None:
    said: list[str] = []
    with journal_in(tmp_path) as journal:
        for version in (1, 2):
            journal.append(answered(version=version))
        with (tmp_path / "labels").open("ab") as file:
            file.write(b"\0\0garbage\n")
        for version in (3, 1):
            journal.append(answered(version=version))
        for _ in range(2):
            totals = read_journal(tmp_path / "journal", tmp_path / "labels", said.append)
            assert totals is not None
            assert {labels.version: row.count for labels, row in totals.counted()} == {1: 2, 2: 1}
            journal.fold()
    assert len(said) == 2
    assert said[0].startswith(f"{tmp_path / 'labels'}, line 4: ")


def test_a_journal_that_never_makes_sense_is_an_error_of_its_own(tmp_path: Path) -> None:
    with journal_in(tmp_path) as journal:
        journal.append(answered())
        journal._words[1] = 99_999  # more than fit between two folds
        with pytest.raises(RuntimeError, match="changes faster"):
            read(tmp_path)
