"""What the server counted is what was asked, or it is said where it is not."""

from __future__ import annotations

from collections import Counter

import pytest

from foretell.loadtest.counted import differences
from foretell.loadtest.record import Record, Seen

NATIVE = ("iris", "native", "success")
BATCH = ("iris", "simple-batch", "success")
FAILED = ("iris", "native", "client_error")


def record(*, right: int = 3, refused: int = 0, lost: int = 0, resent: int = 0) -> Record:
    """What a load test saw of rows, of records, which are native too, and of batches."""
    seen = {
        "native": Seen("native", "iris", 1, refused=refused, lost=lost),
        "records": Seen("records", "iris", 1),
        "batch": Seen("batch", "iris", 1),
    }
    for each in seen.values():
        for _ in range(right):
            each.latencies.add(1)
    return Record(seen=seen, resent=resent)


BEFORE = Counter({NATIVE: 100, ("other", "v2", "success"): 5})


@pytest.mark.parametrize(
    ("grown", "seen"),
    [
        ({NATIVE: 6, BATCH: 3}, record()),
        ({NATIVE: 6, BATCH: 3, FAILED: 2}, record(refused=2)),
        ({NATIVE: 7, BATCH: 3}, record(lost=1)),
        ({NATIVE: 5, BATCH: 3}, record(resent=1)),
    ],
    ids=["equal", "refusals", "counted, not answered", "answered, not counted"],
)
def test_equal_counts_are_no_difference(grown: dict[tuple[str, str, str], int], seen: Record) -> None:
    assert differences(BEFORE, BEFORE + Counter(grown), seen) == []


@pytest.mark.parametrize(
    ("grown", "seen", "told"),
    [
        ({NATIVE: 7, BATCH: 3}, record(), "iris, native: the server counted 7 right answers, the load test 6"),
        ({NATIVE: 5, BATCH: 3}, record(), "iris, native: the server counted 5 right answers, the load test 6"),
        ({NATIVE: 6}, record(), "iris, simple-batch: the server counted 0 right answers, the load test 3"),
        ({NATIVE: 6, BATCH: 3, FAILED: 1}, record(), "iris, native: the server counted 1 failures, the load test 0"),
        ({NATIVE: 6, BATCH: 3, ("x", "v2", "success"): 1}, record(), "x, v2: the server counted 1 right answers, the load test 0"),
        ({NATIVE: 8, BATCH: 3}, record(lost=1), "iris, native: the server counted 8 right answers, the load test 6"),
    ],
    ids=["more", "less", "none", "a failure", "somebody else", "more than were lost"],
)  # fmt: skip
def test_what_differs_is_said(grown: dict[tuple[str, str, str], int], seen: Record, told: str) -> None:
    assert differences(BEFORE, BEFORE + Counter(grown), seen) == [told]
