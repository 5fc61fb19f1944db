"""A load test as a picture: curves over time, one panel below the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Final, NamedTuple

from foretell.loadtest.histogram import Histogram

if TYPE_CHECKING:
    from foretell.loadtest.record import Tick
    from foretell.loadtest.resources import Sample

__all__ = ["Curve", "Panel", "answers", "latencies", "resources", "svg"]

_WIDTH: Final = 900
_LEFT: Final = 80
_RIGHT: Final = 20
_HIGH: Final = 180
_TOP: Final = 40
_GAP: Final = 50
_MOST_POINTS: Final = 400
_BLUE: Final = "#2a6f97"
_RED: Final = "#d1495b"
_PERCENTS: Final = ((50, _BLUE), (95, "#e9a23b"), (99, _RED))


class Curve(NamedTuple):
    """A curve.

    Attributes:
        name: What it shows.
        colour: Its colour.
        points: Seconds since 1970, in rising order, and values.
    """

    name: str
    colour: str
    points: Sequence[tuple[float, float]]


class Panel(NamedTuple):
    """Curves that share a scale.

    Attributes:
        curves: The curves.
        unit: What follows a value.
        logarithmic: Whether the scale has a line for each power of ten; otherwise it begins at zero.
    """

    curves: Sequence[Curve]
    unit: str
    logarithmic: bool = False


def latencies(ticks: Mapping[int, Tick]) -> Panel:
    """Percentiles of the latencies of right answers, ms."""
    merged: list[tuple[float, Histogram]] = []
    for group in _grouped(ticks):
        histogram = Histogram()
        for second in group:
            if second in ticks:
                histogram.merge(ticks[second].latencies)
        if histogram.total:
            merged.append((_middle(group), histogram))
    curves = [
        Curve(f"p{percent}", colour, [(at, each.percentile(percent) / 1000) for at, each in merged])
        for percent, colour in _PERCENTS
    ]
    return Panel(curves, " ms", logarithmic=True)


def answers(ticks: Mapping[int, Tick]) -> Panel:
    """Right answers and failures a second."""
    groups = _grouped(ticks)

    def each(count: Callable[[Tick], int]) -> list[tuple[float, float]]:
        return [
            (_middle(group), sum(count(ticks[second]) for second in group if second in ticks) / len(group))
            for group in groups
        ]

    right = Curve("right answers", _BLUE, each(lambda tick: tick.latencies.total))
    return Panel([right, Curve("failures", _RED, each(lambda tick: tick.failed))], "/s")


def resources(samples: Sequence[Sample]) -> list[Panel]:
    """Memory, and file descriptors: the most of each in a point's time."""
    by_second: dict[int, list[Sample]] = {}
    for sample in samples:
        by_second.setdefault(int(sample.at_s), []).append(sample)
    groups = [
        (_middle(group), [sample for second in group for sample in by_second.get(second, ())])
        for group in _grouped(by_second)
    ]
    memory = [(at, max(each.memory_mb for each in group)) for at, group in groups if group]
    opened = [(at, float(max(each.descriptors for each in group))) for at, group in groups if group]
    return [
        Panel([Curve("memory of all processes", _BLUE, memory)], " MB"),
        Panel([Curve("file descriptors", _BLUE, opened)], ""),
    ]


def svg(title: str, panels: Iterable[Panel], marks: Sequence[float] = ()) -> str:
    """The picture.

    Args:
        title: What stands above.
        panels: What it shows.
        marks: Seconds since 1970 at which something was done: a tick at the foot of each panel.
    """
    shown = [panel for panel in panels if any(curve.points for curve in panel.curves)]
    height = _TOP + len(shown) * (_HIGH + _GAP)
    size = f'width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}"'
    moments = [at for panel in shown for curve in panel.curves for at, _ in curve.points]
    low, high = (min(moments), max(moments)) if moments else (0.0, 0.0)

    def x_of(at: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (at - low) / max(high - low, 1)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        _text(_LEFT, 18, title if shown else f"{title}: no answers", weight="bold"),
    ]
    for number, panel in enumerate(shown):
        bottom = _TOP + number * (_HIGH + _GAP) + _HIGH
        lines += _drawn(panel, bottom, x_of)
        lines += [
            f'<path d="M{x_of(at):.1f} {bottom}v5" stroke="#888"/>' for at in marks if low <= at <= high
        ]
        lines.append(_text(_LEFT, bottom + 20, "0 s"))
        lines.append(_text(_WIDTH - _RIGHT, bottom + 20, f"{high - low:,.0f} s", anchor="end"))
    return "\n".join([*lines, "</svg>", ""])


def _grouped(by_second: Iterable[int]) -> list[range]:
    """Seconds that share a point, from the first to the last: no more points than can be told apart."""
    seconds = sorted(by_second)
    if not seconds:
        return []
    end = seconds[-1] + 1
    size = math.ceil((end - seconds[0]) / _MOST_POINTS)
    return [range(first, min(first + size, end)) for first in range(seconds[0], end, size)]


def _middle(group: range) -> float:
    return (group.start + group.stop) / 2


def _drawn(panel: Panel, bottom: float, x_of: Callable[[float], float]) -> Iterator[str]:
    values = [value for curve in panel.curves for _, value in curve.points]
    if panel.logarithmic:
        least = math.floor(math.log10(max(min(values), 1e-3)))
        most = max(math.ceil(math.log10(max(*values, 1e-3))), least + 1)
        lines = [10.0**power for power in range(least, most + 1)]

        def part_of(value: float) -> float:
            return (math.log10(max(value, 1e-3)) - least) / (most - least)
    else:
        top = max(*values, 1.0)
        lines = [0.0, top / 2, top]

        def part_of(value: float) -> float:
            return value / top

    def y_of(value: float) -> float:
        return bottom - _HIGH * part_of(value)

    for value in lines:
        y = y_of(value)
        told = f"{value:g}" if panel.logarithmic else f"{value:,.0f}"
        yield f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>'
        yield _text(_LEFT - 8, y + 4, told + panel.unit, anchor="end")
    x = float(_LEFT)
    for curve in panel.curves:
        points = " ".join(f"{x_of(at):.1f},{y_of(value):.1f}" for at, value in curve.points)
        yield f'<polyline points="{points}" fill="none" stroke="{curve.colour}" stroke-width="1.5"/>'
        yield _text(x, bottom - _HIGH - 6, curve.name, colour=curve.colour)
        x += 20 + 7 * len(curve.name)


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal", colour: str = "#222"
) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="{colour}">{escape(text)}</text>'
