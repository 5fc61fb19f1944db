"""What was measured, as it stands in results.json."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from loadtests.bench.cases import Case
from loadtests.bench.statistic import Spread

__all__ = ["FIGURES", "Entrant", "Failure", "Results", "Row", "Sample", "rows"]

FIGURES = ("per_s", "p50_us", "p99_us", "cpu_us", "rss_mb", "pss_mb", "start_s")
"""The figures of a sample."""


class Sample(msgspec.Struct, frozen=True):
    """One measurement.

    Attributes:
        case: The case's name.
        connections: How many callers asked; 1 of what is no server, but a loop.
        contender: Who answered.
        round: In which round, from 1.
        per_s: Requests a second.
        p50_us: The median latency, µs.
        p99_us: The latency that 99 of 100 are below, µs.
        cpu_us: CPU time of all of the server's processes for one request, µs.
        rss_mb: Resident memory of all of them, MB; what they share counts in each.
        pss_mb: The same, where what they share counts once.
        start_s: From the start of the process to the first answer that was right, seconds.
    """

    case: str
    connections: int
    contender: str
    round: int
    per_s: float
    p50_us: float
    p99_us: float
    cpu_us: float
    rss_mb: float
    pss_mb: float
    start_s: float


class Failure(msgspec.Struct, frozen=True):
    """Why there is no measurement.

    Attributes:
        case: The case's name.
        contender: Who failed.
        reason: Wrong answers, errors under load, no environment, no start.
        round: In which round; 0 if before the first.
        connections: At how many callers; 0 if before the load.
    """

    case: str
    contender: str
    reason: str
    round: int = 0
    connections: int = 0


class Entrant(msgspec.Struct, frozen=True):
    """A contender that took part: its name, what it is, and the releases that it was made of."""

    name: str
    about: str
    releases: dict[str, str]


class Results(msgspec.Struct, frozen=True):
    """A whole run.

    Attributes:
        machine: What it ran on, and when, and which foretell.
        floor: The contender that the others are compared with.
        cases: What was asked.
        contenders: Who took part.
        samples: What was measured.
        failures: What was not, and why.
        was_stopped: Whether somebody stopped it before its end.
    """

    machine: dict[str, str]
    floor: str
    cases: list[Case]
    contenders: list[Entrant]
    samples: list[Sample]
    failures: list[Failure]
    was_stopped: bool = False


class Row(msgspec.Struct, frozen=True):
    """A contender in one case at one number of callers: each figure, and as a ratio to the floor's in its round."""

    case: str
    connections: int
    contender: str
    figures: dict[str, Spread]
    ratios: dict[str, Spread]


def rows(results: Results) -> Iterator[Row]:
    """One row for each contender, case and number of callers that was measured, in the order of the lists."""
    for case in results.cases:
        of_case = [each for each in results.samples if each.case == case.name]
        for connections in sorted({each.connections for each in of_case}):
            here = [each for each in of_case if each.connections == connections]
            floors = {each.round: each for each in here if each.contender == results.floor}
            for entrant in results.contenders:
                own = [each for each in here if each.contender == entrant.name]
                if own:
                    yield _row(own, floors)


def _row(own: list[Sample], floors: dict[int, Sample]) -> Row:
    figures: dict[str, Spread] = {}
    ratios: dict[str, Spread] = {}
    for figure in FIGURES:
        spread = Spread.of(getattr(each, figure) for each in own)
        ratio = Spread.of(
            getattr(each, figure) / getattr(floors[each.round], figure)
            for each in own
            if each.round in floors and getattr(floors[each.round], figure)
        )
        if spread:
            figures[figure] = spread
        if ratio:
            ratios[figure] = ratio
    return Row(own[0].case, own[0].connections, own[0].contender, figures, ratios)
