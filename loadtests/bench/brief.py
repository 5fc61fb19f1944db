"""Results in brief, as docs/performance.md has them: without spreads, and foretell beside the best of the others."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from loadtests.bench.report import digits, ms, whole
from loadtests.bench.results import Results, Row, rows

__all__ = ["brief"]

SHOWN: Final = ("iris-1", "breast_cancer-1", "breast_cancer-64", "heavy-1")
"""The cases of the first table, where these were measured."""

_OURS: Final = "foretell"
_FLOORS: Final = ("nothing", "session.run")


def brief(results: Results) -> str:
    """Two tables: the figures that tell most, and how many times as many requests a second as the next foretell answers."""
    found = list(rows(results))
    chosen = [row for row in found if row.case in SHOWN]
    return "\n".join([*_figures(chosen), "", *_ratios(found), ""])


def _figures(found: list[Row]) -> Iterator[str]:
    yield "| case | callers | contender | requests/s | p50, ms | p99, ms | server CPU, µs a request | × floor, CPU |"
    yield "|---|---|---|---|---|---|---|---|"
    case = callers = ""
    for row in found:
        cells = [
            "" if row.case == case else row.case,
            "" if (row.case, str(row.connections)) == (case, callers) else str(row.connections),
            row.contender,
            whole(row.figures["per_s"].median),
            ms(row.figures["p50_us"].median),
            ms(row.figures["p99_us"].median),
            digits(row.figures["cpu_us"].median),
            digits(row.ratios["cpu_us"].median) if "cpu_us" in row.ratios else "",
        ]
        case, callers = row.case, str(row.connections)
        yield "".join(f"| {cell} " if cell else "| " for cell in cells) + "|"


def _ratios(found: list[Row]) -> Iterator[str]:
    yield "| case | callers | best other | its requests/s | foretell's | ratio |"
    yield "|---|---|---|---|---|---|"
    for (case, callers), group in groupby(found, key=lambda row: (row.case, row.connections)):
        per_s = {row.contender: row.figures["per_s"].median for row in group}
        others = {
            name: each for name, each in per_s.items() if name not in _FLOORS and not name.startswith(_OURS)
        }
        if _OURS in per_s and others:
            best = max(others, key=others.__getitem__)
            ratio = per_s[_OURS] / others[best]
            yield f"| {case} | {callers} | {best} | {whole(others[best])} | {whole(per_s[_OURS])} | {ratio:.2f} |"
