"""Results as a picture: requests a second, a bar for each contender, with the least and the greatest round."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import groupby
from typing import Final

from loadtests.bench.results import Results, Row, rows

__all__ = ["svg"]

LINE: Final = 20
LEFT: Final = 190
BAR: Final = 460
WIDTH: Final = LEFT + BAR + 90
OURS: Final = "foretell"


def svg(results: Results) -> str:
    """A panel for each case, at its greatest number of callers; a bar's full length is the panel's greatest."""
    most = {case.name: max(case.connections) for case in results.cases}
    shown = [row for row in rows(results) if row.connections == most[row.case]]
    parts: list[str] = []
    at = LINE
    for case, panel in groupby(shown, key=lambda row: row.case):
        parts.append(_text(8, at, f"{case}, {most[case]} callers, requests/s", weight="bold"))
        parts.extend(_bars(list(panel), at))
        at += LINE * (2 + sum(row.case == case for row in shown))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{at}" '
        f'viewBox="0 0 {WIDTH} {at}" font-family="sans-serif" font-size="12">'
    )
    return "\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', *parts, "</svg>", ""])


def _bars(panel: list[Row], top: int) -> Iterator[str]:
    scale = BAR / max(row.figures["per_s"].greatest for row in panel)
    for number, row in enumerate(panel, 1):
        spread, y = row.figures["per_s"], top + number * LINE
        colour = "#d1495b" if row.contender.startswith(OURS) else "#8d99ae"
        yield _text(LEFT - 8, y, row.contender, anchor="end")
        yield f'<rect x="{LEFT}" y="{y - 11}" width="{spread.median * scale:.1f}" height="14" fill="{colour}"/>'
        least, greatest = (LEFT + value * scale for value in (spread.least, spread.greatest))
        yield f'<path d="M{least:.1f} {y - 4}H{greatest:.1f}" stroke="#222"/>'
        yield _text(greatest + 6, y, f"{spread.median:,.0f}")


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'
