"""Results as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from loadtests.bench.results import Results, Row, rows
from loadtests.bench.statistic import Spread

__all__ = ["digits", "markdown", "ms", "whole"]

Format = Callable[[float], str]
"""Writes a number."""


def whole(value: float) -> str:
    """A number without decimals."""
    return f"{value:,.0f}"


def digits(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ms(value: float) -> str:
    """Microseconds as milliseconds."""
    return digits(value / 1000)


COLUMNS: Final[tuple[tuple[str, str, Format], ...]] = (
    ("per_s", "requests/s", whole),
    ("p50_us", "p50, ms", ms),
    ("p99_us", "p99, ms", ms),
    ("cpu_us", "server CPU, µs a request", digits),
    ("rss_mb", "RSS, MB", whole),
    ("pss_mb", "PSS, MB", whole),
    ("start_s", "start, s", digits),
)


def markdown(results: Results) -> str:
    """One table for all, what was not measured, and what it was made with."""
    return "\n".join([*_table(results), *_failures(results), *_made_with(results), ""])


def _table(results: Results) -> Iterator[str]:
    yield "| case | callers | contender | " + " | ".join(title for _, title, _ in COLUMNS) + " |"
    yield "|---|---|---|" + "---|" * len(COLUMNS)
    for row in rows(results):
        yield "| " + " | ".join([row.case, str(row.connections), row.contender, *_cells(row)]) + " |"
    yield ""
    yield (
        f"Medians, the least and the greatest of the rounds in parentheses, and × as a ratio to `{results.floor}` "
        "in the same round."
    )


def _cells(row: Row) -> Iterator[str]:
    for figure, _, write in COLUMNS:
        spread, ratio = row.figures[figure], row.ratios.get(figure)
        yield _spread(spread, write) + (f" {digits(ratio.median)}×" if ratio else "")


def _spread(spread: Spread, write: Format) -> str:
    if spread.count == 1:
        return write(spread.median)
    return f"{write(spread.median)} ({write(spread.least)}–{write(spread.greatest)})"


def _failures(results: Results) -> Iterator[str]:
    if results.was_stopped:
        yield ""
        yield "It was stopped before its end."
    if results.failures:
        yield ""
        yield "Not measured:"
        yield ""
    for each in results.failures:
        where = [each.case, f"round {each.round}" * bool(each.round)]
        where.append(f"{each.connections} callers" * bool(each.connections))
        told = ", ".join(filter(None, where))
        yield f"- {each.contender}{told and f' ({told})'}: {' '.join(each.reason.split())}"


def _made_with(results: Results) -> Iterator[str]:
    yield ""
    yield ", ".join(f"{name} {value}" for name, value in results.machine.items()) + "."
    yield ""
    for each in results.contenders:
        yield f"- {each.name}: {each.about}"
    yield ""
    environments: dict[str, list[str]] = {}
    for each in results.contenders:
        releases = ", ".join(f"{name} {release}" for name, release in each.releases.items())
        environments.setdefault(releases, []).append(each.name)
    for releases, names in environments.items():
        yield f"- {', '.join(names)}: {releases}"
