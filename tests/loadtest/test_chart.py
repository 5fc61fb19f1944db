"""The chart shows what was recorded, to scale."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from foretell.loadtest.chart import Curve, Panel, answers, latencies, resources, svg
from foretell.loadtest.record import Tick
from foretell.loadtest.resources import Sample


def tick(*ms: float, failed: int = 0) -> Tick:
    """A second with some answers."""
    made = Tick(failed=failed)
    for each in ms:
        made.latencies.add(each * 1000)
    return made


def curves(panel: Panel) -> dict[str, list[tuple[float, float]]]:
    """The points of each curve."""
    return {curve.name: [(at, round(value, 1)) for at, value in curve.points] for curve in panel.curves}


def drawn(text: str) -> list[list[tuple[float, float]]]:
    """The points of each curve in a picture."""
    root = ET.fromstring(text)  # noqa: S314 - our own
    found = root.iter("{http://www.w3.org/2000/svg}polyline")
    return [
        [(float(x), float(y)) for x, y in re.findall(r"([\d.]+),([\d.]+)", line.get("points", ""))]
        for line in found
    ]


def test_percentiles_and_rates_are_those_of_each_second() -> None:
    ticks = {10: tick(1, 1, 1), 11: tick(2, 8, failed=3), 13: tick(4)}
    shown = curves(latencies(ticks))
    assert shown["p50"] == [
        (10.5, 1.0),
        (11.5, 2.0),
        (13.5, 4.0),
    ]  # no answer came in the second before the last
    assert shown["p99"] == [(10.5, 1.0), (11.5, 8.0), (13.5, 4.0)]
    assert curves(answers(ticks)) == {
        "right answers": [(10.5, 3), (11.5, 2), (12.5, 0), (13.5, 1)],
        "failures": [(10.5, 0), (11.5, 3), (12.5, 0), (13.5, 0)],
    }


def test_long_tests_have_as_many_points_as_can_be_told_apart() -> None:
    ticks = {second: tick(1, failed=second == 3599) for second in range(3600)}
    shown = curves(answers(ticks))
    assert len(shown["right answers"]) == 400
    assert {value for _, value in shown["right answers"]} == {1.0}
    assert [value for _, value in shown["failures"]][-1] > 0


def test_resources_show_the_most_of_each_time() -> None:
    samples = [Sample(5.1, 100, 30, 2), Sample(5.9, 140, 20, 2), Sample(6.2, 90, 25, 2)]
    memory, opened = resources(samples)
    assert curves(memory) == {"memory of all processes": [(5.5, 140), (6.5, 90)]}
    assert curves(opened) == {"file descriptors": [(5.5, 30), (6.5, 25)]}


def test_the_picture_is_to_scale() -> None:
    linear = Panel([Curve("a", "#000", [(0.0, 0.0), (10.0, 50.0), (20.0, 100.0)])], " MB")
    logarithmic = Panel([Curve("b", "#000", [(0.0, 1.0), (20.0, 100.0)])], " ms", logarithmic=True)
    first, second = drawn(svg("t", [linear, logarithmic], [5.0]))
    (x0, y0), (x1, y1), (x2, y2) = first
    assert x1 - x0 == x2 - x1 > 0
    assert y0 - y1 == y1 - y2 > 0
    assert second[0][1] - second[1][1] == y0 - y2  # from 1 to 100, both lines of the scale


def test_where_nothing_was_answered_it_says_so() -> None:
    shown = svg("a < b", [latencies({}), answers({}), *resources([])])
    assert "a &lt; b: no answers" in shown
    assert drawn(shown) == []
