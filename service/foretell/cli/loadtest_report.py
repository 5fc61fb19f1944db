"""What ``foretell loadtest`` says at its end: what was seen, and whether it will do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from foretell.cli.tables import print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foretell.loadtest.record import Record, Tick
    from foretell.loadtest.resources import Sample
    from foretell.loadtest.targets import Verdict

__all__ = ["print_record", "print_verdicts", "write_chart"]


def print_record(record: Record) -> None:
    """What was seen of each kind of question."""
    seen = sorted(record.seen.values(), key=lambda each: (each.model, each.protocol, each.rows))
    print_table(
        ("model", "protocol", "rows", "right", "failed", "p50, ms", "p95, ms", "p99, ms", "most, ms"),
        [
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
        ],
    )
    for complaint in record.examples:
        click.echo(complaint, err=True)


def print_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Which targets are met, and by how much the others are missed."""
    click.echo()
    print_table(
        ("target", "figure", "wanted", "seen", "by", ""),
        [
            (
                each.about,
                each.figure,
                f"{each.wanted:g}",
                f"{each.seen:.4g}",
                each.by,
                "met" if each.met else "MISSED",
            )
            for each in verdicts
        ],
    )


def write_chart(
    out: Path, title: str, ticks: dict[int, Tick], samples: Sequence[Sample], rollouts_s: Sequence[float]
) -> None:
    """The chart, and what the server took, as figures.

    Args:
        out: The folder.
        title: What stands above the chart.
        ticks: What was seen, second by second.
        samples: What the server took.
        rollouts_s: When models were rolled out, in seconds since 1970.
    """
    from foretell.loadtest.chart import answers, latencies, resources, svg

    panels = [latencies(ticks), answers(ticks), *resources(samples)]
    (out / "latency.svg").write_text(svg(title, panels, rollouts_s))
    if samples:
        (out / "resources.json").write_bytes(msgspec.json.encode(samples))
