"""loadtests/bench/report.py and chart.py"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from loadtests.bench.chart import svg
from loadtests.bench.report import markdown
from loadtests.bench.results import Failure
from tests.loadtests.bench_results import results, sample

SVG = "{http://www.w3.org/2000/svg}"


def test_a_row_has_medians_spreads_and_ratios() -> None:
    text = markdown(
        results(
            *(sample("nothing", turn, 10_000) for turn in (1, 2, 3)),
            *(sample("foretell", turn, per_s) for turn, per_s in ((1, 4000), (2, 5000), (3, 8000))),
        )
    )
    lines = text.splitlines()
    head, rule, floor, foretell = lines[:4]
    assert len({line.count("|") for line in lines[:4]}) == 1
    assert rule.startswith("|---")
    assert head.startswith("| case | callers | contender | requests/s | p50, ms |")
    assert floor.startswith("| small | 1 | nothing | 10,000 (10,000–10,000) 1.00× |")
    assert foretell.startswith(
        "| small | 1 | foretell | 5,000 (4,000–8,000) 0.50× | 0.20 (0.12–0.25) 2.00× | 0.40 (0.25–0.50) 2.00× |"
    )


def test_one_round_has_no_spread() -> None:
    text = markdown(results(sample("nothing", 1, 100)))
    assert "| small | 1 | nothing | 100 1.00× | 10.0 1.00× |" in text


def test_failures_are_told_with_their_reason_on_one_line() -> None:
    wrong = Failure("small", "a<b", "label is [1],\n where session.run has [2]", 2)
    broken = Failure("small", "foretell", "errors under load: 3 status", 1, 16)
    absent = Failure("", "foretell", "no such setting")
    lines = markdown(results(failures=(wrong, broken, absent))).splitlines()
    assert "- a<b (small, round 2): label is [1], where session.run has [2]" in lines
    assert "- foretell (small, round 1, 16 callers): errors under load: 3 status" in lines
    assert "- foretell: no such setting" in lines


def test_the_machine_and_the_releases_are_told() -> None:
    text = markdown(results())
    assert "cpu a CPU, date 2026-01-02." in text
    assert "- nothing, foretell: python 3.11\n- a<b: python 3.11, other 2" in text


def test_a_chart_has_a_bar_for_each_contender_at_the_greatest_number_of_callers() -> None:
    chart = svg(
        results(
            sample("nothing", 1, 9999),  # at one caller, which the chart leaves out
            sample("nothing", 1, 1000, connections=16),
            sample("a<b", 1, 250, connections=16),
            sample("foretell", 1, 500, case="large"),
        )
    )
    root = ET.fromstring(chart)  # noqa: S314 - this test made it
    texts = [each.text for each in root.iter(f"{SVG}text")]
    assert texts == [
        "small, 16 callers, requests/s", "nothing", "1,000", "a<b", "250",
        "large, 1 callers, requests/s", "foretell", "500",
    ]  # fmt: skip
    _, *bars = root.iter(f"{SVG}rect")
    widths = [float(bar.attrib["width"]) for bar in bars]
    assert widths[1] == widths[0] / 4
    assert widths[2] == widths[0]
    assert float(root.attrib["height"]) > max(float(bar.attrib["y"]) for bar in bars)


def test_a_chart_of_nothing_is_a_chart() -> None:
    assert ET.fromstring(svg(results())).tag == f"{SVG}svg"  # noqa: S314 - this test made it
