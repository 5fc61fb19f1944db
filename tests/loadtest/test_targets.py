"""Targets are met or missed, and a file of targets that says something else is refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from foretell.errors import SettingsError
from foretell.loadtest.record import Seen
from foretell.loadtest.resources import Sample
from foretell.loadtest.targets import ServerTarget, Target, Targets, Verdict, verify, verify_server


def seen(
    *, model: str = "iris", protocol: str = "native", rows: int = 1, ms: list[float], wrong: int = 0
) -> Seen:
    """What was seen of some questions."""
    found = Seen(model=model, protocol=protocol, rows=rows, wrong=wrong)
    for each in ms:
        found.latencies.add(each * 1000)
    found.in_time = len(ms)
    return found


def judged(target: Target, *what: Seen) -> list[Verdict]:
    """What becomes of a target in a test of ten seconds, where one caller's median is 2 ms."""
    return verify([target], list(what), took_s=10, unloaded_ms=2)


HUNDRED = [float(number) for number in range(1, 101)]


@pytest.mark.parametrize(
    ("target", "met"),
    [
        (Target(p50_ms=52), True),
        (Target(p50_ms=49), False),
        (Target(p95_ms=97), True),
        (Target(p95_ms=94), False),
        (Target(p99_ms=101), True),
        (Target(p99_ms=98), False),
        (Target(p99_ratio=51), True),
        (Target(p99_ratio=49), False),
        (Target(errors=0.5), True),
        (Target(errors=0.49), False),
        (Target(per_s=10), True),
        (Target(per_s=10.1), False),
    ],
)
def test_a_figure_is_met_or_missed(target: Target, met: bool) -> None:
    (verdict,) = judged(target, seen(ms=HUNDRED, wrong=100))
    assert verdict.met is met


def test_a_target_is_about_what_it_names() -> None:
    kinds = [
        seen(ms=[1.0]),
        seen(model="digits", ms=[2.0]),
        seen(protocol="v2", ms=[4.0]),
        seen(rows=64, ms=[8.0]),
    ]
    for target, most_ms in [
        (Target(p99_ms=1), 8),
        (Target(p99_ms=1, model="digits"), 2),
        (Target(p99_ms=1, model="iris", rows=1), 4),
        (Target(p99_ms=1, protocol="v2"), 4),
    ]:
        (verdict,) = judged(target, *kinds)
        assert math.isclose(verdict.seen, most_ms, rel_tol=0.02)


def test_what_was_not_seen_meets_no_target() -> None:
    verdicts = judged(Target(model="nobody", p99_ms=1, errors=0.1, per_s=1), seen(ms=[1.0]))
    assert [verdict.met for verdict in verdicts] == [False] * 3
    assert [verdict.by for verdict in verdicts] == ["nothing was seen"] * 3


def test_by_how_much_is_told() -> None:
    (verdict,) = judged(Target(p50_ms=1), seen(ms=[2.0]))
    assert verdict.by == "+100 %"
    (verdict,) = judged(Target(errors=0), seen(ms=[1.0], wrong=1))
    assert verdict.by == "+0.5"


def samples(*memory_mb: float) -> list[Sample]:
    """What a server took, second by second."""
    return [Sample(float(second), mb, int(mb), 2) for second, mb in enumerate(memory_mb)]


@pytest.mark.parametrize(
    ("memory_mb", "met"),
    [
        ([10, 100, 100, 100, 100], True),  # what fills at first does not count
        ([100, 100, 100, 100, 104], True),
        ([100, 100, 100, 100, 106], False),
        ([100, 100, 900, 100, 100], True),  # nor does what goes again
        ([100, 100, 100, 100], False),  # too little was seen
    ],
)
def test_what_grows_misses_its_target(memory_mb: list[float], met: bool) -> None:
    target = ServerTarget(memory_growth=0.05, descriptors_growth=0.05)
    verdicts = verify_server(target, samples(*memory_mb))
    assert [verdict.met for verdict in verdicts] == [met, met]


def test_a_server_that_grows_is_found_out_of_many_samples() -> None:
    grown = [float(100 + second) for second in range(100)]
    (verdict,) = verify_server(ServerTarget(memory_growth=0.05), samples(*grown))
    assert math.isclose(verdict.seen, 189.5 / 129.5 - 1)
    assert not verdict.met


def test_a_file_says_what_is_wanted(tmp_path: Path) -> None:
    file = tmp_path / "targets.toml"
    file.write_text('[[target]]\nmodel = "iris"\nrows = 1\np99_ms = 5\nerrors = 0\n')
    assert Targets.read(file) == Targets((Target(model="iris", rows=1, p99_ms=5, errors=0),))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[target]]\np99 = 1\n", "p99"),
        ("[[target]]\np99_ms = 0\n", "target"),
        ("[[target]]\nerrors = 2\n", "errors"),
        ("[[targets]]\n", "targets"),
        ("p99_ms = ", "targets.toml"),
        ("", "no target"),
        ('[[target]]\nmodel = "iris"\n', "a target says what is wanted: p50_ms, "),
        ("[server]\nmemory = 1\n", "memory"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "targets.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=told):
        Targets.read(file)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"targets\.toml"):
        Targets.read(tmp_path / "targets.toml")
