"""A load test as a picture: latencies and answers, second by second."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Final

from foretell.loadtest.histogram import Histogram

if TYPE_CHECKING:
    from foretell.loadtest.record import Tick

__all__ = ["svg"]

_WIDTH: Final = 900
_LEFT: Final = 70
_RIGHT: Final = 20
_HIGH: Final = 220
_TOP: Final = 40
_GAP: Final = 50
_MOST_POINTS: Final = 400
_LINES: Final = ((50, "#2a6f97"), (95, "#e9a23b"), (99, "#d1495b"))


def svg(ticks: Mapping[int, Tick], title: str) -> str:
    """Percentiles of latency on a logarithmic scale; below them, right answers and failures a second."""
    seconds = sorted(ticks)
    if not seconds:
        return f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="40">{_text(8, 24, "no answers")}</svg>\n'
    groups = _grouped(seconds)
    low, high = groups[0][0], groups[-1][-1] + 1

    def x_of(second: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (second - low) / (high - low)

    height = _TOP + 2 * _HIGH + 2 * _GAP
    size = f'width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
            '<rect width="100%" height="100%" fill="#fff"/>',
            _text(_LEFT, 22, title, weight="bold"),
            *_latencies(ticks, groups, x_of),
            *_rates(ticks, groups, x_of),
            "</svg>",
            "",
        ]
    )


def _grouped(seconds: Sequence[int]) -> list[list[int]]:
    """Seconds that share a point: no more points than can be told apart."""
    size = math.ceil((seconds[-1] - seconds[0] + 1) / _MOST_POINTS)
    groups: dict[int, list[int]] = {}
    for second in seconds:
        groups.setdefault((second - seconds[0]) // size, []).append(second)
    return list(groups.values())


def _middle(seconds: Sequence[int]) -> float:
    return sum(seconds) / len(seconds) + 0.5


def _latencies(
    ticks: Mapping[int, Tick], groups: Sequence[Sequence[int]], x_of: Callable[[float], float]
) -> Iterator[str]:
    merged: list[tuple[float, Histogram]] = []
    for group in groups:
        histogram = Histogram()
        for second in group:
            histogram.merge(ticks[second].latencies)
        if histogram.total:
            merged.append((_middle(group), histogram))
    if not merged:
        return
    least = math.floor(math.log10(max(min(each.percentile(50) for _, each in merged), 1)))
    most = max(math.ceil(math.log10(max(each.percentile(99) for _, each in merged))), least + 1)
    bottom = _TOP + _HIGH

    def y_of(us: float) -> float:
        return bottom - _HIGH * (math.log10(max(us, 1)) - least) / (most - least)

    for power in range(least, most + 1):
        y = y_of(10**power)
        yield f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>'
        yield _text(_LEFT - 8, y + 4, f"{10**power / 1000:g} ms", anchor="end")
    for number, (percent, colour) in enumerate(_LINES):
        points = " ".join(f"{x_of(at):.1f},{y_of(each.percentile(percent)):.1f}" for at, each in merged)
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        yield _text(_WIDTH - 160 + 50 * number, 22, f"p{percent}", colour=colour)


def _rates(
    ticks: Mapping[int, Tick], groups: Sequence[Sequence[int]], x_of: Callable[[float], float]
) -> Iterator[str]:
    bottom = _TOP + 2 * _HIGH + _GAP
    right = [
        (_middle(group), sum(ticks[second].latencies.total for second in group) / len(group))
        for group in groups
    ]
    failed = [
        (_middle(group), sum(ticks[second].failed for second in group) / len(group)) for group in groups
    ]
    most = max(*(value for _, value in right + failed), 1.0)
    yield f'<path d="M{_LEFT} {bottom}H{_WIDTH - _RIGHT}M{_LEFT} {bottom - _HIGH}H{_WIDTH - _RIGHT}" stroke="#ddd"/>'
    yield _text(_LEFT - 8, bottom - _HIGH + 4, f"{most:,.0f}/s", anchor="end")
    yield _text(_LEFT - 8, bottom + 4, "0", anchor="end")
    for values, colour, name, x in (
        (right, "#2a6f97", "right answers", 0),
        (failed, "#d1495b", "failures", 110),
    ):
        points = " ".join(f"{x_of(at):.1f},{bottom - _HIGH * value / most:.1f}" for at, value in values)
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        yield _text(_LEFT + x, bottom - _HIGH - 8, name, colour=colour)
    yield _text(_LEFT, bottom + 20, "0 s")
    yield _text(_WIDTH - _RIGHT, bottom + 20, f"{groups[-1][-1] - groups[0][0] + 1} s", anchor="end")


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal", colour: str = "#222"
) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="{colour}">{escape(text)}</text>'
