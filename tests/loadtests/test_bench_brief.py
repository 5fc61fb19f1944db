"""loadtests/bench/brief.py"""

from __future__ import annotations

from loadtests.bench.brief import brief
from loadtests.bench.cases import Case
from loadtests.bench.results import Entrant, Results
from tests.loadtests.bench_results import sample

RESULTS = Results(
    machine={},
    floor="nothing",
    cases=[Case("iris-1", "iris", 1, connections=(1, 16)), Case("digits-1", "digits", 1, connections=(1,))],
    contenders=[
        Entrant(name, "", {})
        for name in ("nothing", "session.run", "foretell", "foretell-all", "slow", "fast")
    ],
    samples=[
        sample(name, 1, per_s, connections=callers, case=case)
        for case, callers in (("iris-1", 1), ("iris-1", 16), ("digits-1", 1))
        for name, per_s in (
            ("nothing", 10_000),
            ("session.run", 90_000),
            ("foretell", 6000),
            ("foretell-all", 5500),
            ("slow", 1000),
            ("fast", 4000),
        )
    ],
    failures=[],
)


def test_a_case_and_its_callers_are_named_once() -> None:
    first, _, second = brief(RESULTS).partition("\n\n")
    lines = first.splitlines()
    assert lines[2] == "| iris-1 | 1 | nothing | 10,000 | 0.10 | 0.20 | 100 | 1.00 |"
    assert lines[4] == "| | | foretell | 6,000 | 0.17 | 0.33 | 167 | 1.67 |"
    assert lines[8] == "| | 16 | nothing | 10,000 | 0.10 | 0.20 | 100 | 1.00 |"
    assert len(lines) == 2 + 2 * 6  # digits is in the second table alone
    assert len(second.splitlines()) == 2 + 3


def test_the_next_is_the_best_of_the_other_servers() -> None:
    assert "| iris-1 | 16 | fast | 4,000 | 6,000 | 1.50 |" in brief(RESULTS).splitlines()
    assert "| digits-1 | 1 | fast | 4,000 | 6,000 | 1.50 |" in brief(RESULTS).splitlines()
