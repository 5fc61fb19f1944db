"""Results that nobody measured, for tests of what is made of them."""

from __future__ import annotations

from loadtests.bench.cases import Case
from loadtests.bench.results import Entrant, Failure, Results, Sample


def sample(contender: str, turn: int, per_s: float, *, connections: int = 1, case: str = "small") -> Sample:
    """A sample whose latency and cost follow from how many requests it answers."""
    took_us = 1e6 / per_s
    return Sample(case, connections, contender, turn, per_s, took_us, took_us * 2, took_us, 100, 80, 0.5)


def results(*samples: Sample, failures: tuple[Failure, ...] = ()) -> Results:
    """A run of three contenders in two cases."""
    return Results(
        machine={"cpu": "a CPU", "date": "2026-01-02"},
        floor="nothing",
        cases=[Case("small", "iris", 1, connections=(1, 16)), Case("large", "iris", 64, connections=(1,))],
        contenders=[
            Entrant("nothing", "does nothing", {"python": "3.11"}),
            Entrant("foretell", "serves", {"python": "3.11"}),
            Entrant("a<b", "has a name that needs care", {"python": "3.11", "other": "2"}),
        ],
        samples=list(samples),
        failures=list(failures),
    )
