"""What came of a load test, as rows of tables and as a page of Markdown."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foretell.loadtest.record import Record
    from foretell.loadtest.targets import Verdict

__all__ = ["SEEN_HEAD", "VERDICTS_HEAD", "markdown", "seen_rows", "verdict_rows"]

SEEN_HEAD: Final = (
    "model",
    "protocol",
    "rows",
    "right",
    "failed",
    "p50, ms",
    "p95, ms",
    "p99, ms",
    "most, ms",
)
"""What stands above `seen_rows`."""

VERDICTS_HEAD: Final = ("target", "figure", "wanted", "seen", "by", "")
"""What stands above `verdict_rows`."""


def seen_rows(record: Record) -> list[tuple[str, ...]]:
    """What was seen, a row for each kind of question."""
    seen = sorted(record.seen.values(), key=lambda each: (each.model, each.protocol, each.rows))
    return [
        (
            each.model,
            each.protocol,
            str(each.rows),
            f"{each.latencies.total:,}",
            f"{each.failed:,}",
            *(f"{each.latencies.percentile(percent) / 1000:.2f}" for percent in (50, 95, 99)),
            f"{each.latencies.most_us / 1000:.1f}",
        )
        for each in seen
    ]


def verdict_rows(verdicts: Sequence[Verdict]) -> list[tuple[str, ...]]:
    """Which targets are met, a row for each figure."""
    return [
        (
            each.about,
            each.figure,
            f"{each.wanted:g}",
            "nothing" if math.isnan(each.seen) else f"{each.seen:.4g}",
            each.by,
            "met" if each.met else "MISSED",
        )
        for each in verdicts
    ]


def markdown(title: str, notes: Sequence[str], record: Record, verdicts: Sequence[Verdict]) -> str:
    """A page that shows the chart `latency.svg` beside it, too."""
    parts = [
        f"# {title}",
        "\n".join(f"- {note}" for note in notes),
        "![latencies, answers and what the server took, second by second](latency.svg)",
        _table(VERDICTS_HEAD, verdict_rows(verdicts)),
        _table(SEEN_HEAD, seen_rows(record)),
    ]
    if record.examples:
        parts.append("\n".join(["Of those that failed:", "", "```", *record.examples, "```"]))
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
