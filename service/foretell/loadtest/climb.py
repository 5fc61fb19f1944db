"""Looks for the knee: the highest rate at which a server meets its targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from foretell.errors import ForetellError
from foretell.loadtest.profiles import Stage
from foretell.loadtest.record import Tick
from foretell.loadtest.run import Outcome
from foretell.loadtest.targets import Target, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Climb", "climb"]

_STEP: Final = 1.25
_KEEPS_UP: Final = 0.95
"""Which part of the questions that were due must be answered in time, for a rate to count as met."""
_ORDINARY: Final = (Target(p99_ratio=5, errors=0),)


class Climb(msgspec.Struct):
    """What came of looking for the knee.

    Attributes:
        per_s: The knee.
        outcome: What came of it.
        ticks: All of the rates, second by second.
        differences: Where the server counted otherwise, at any rate.
    """

    per_s: float
    outcome: Outcome
    ticks: dict[int, Tick]
    differences: list[str]


def climb(
    load: Callable[[Stage], Outcome],
    *,
    per_s: float,
    step_s: float,
    targets: Sequence[Target],
    alone_ms: float,
    told: Callable[[float, str], None],
) -> Climb:
    """The highest rate that meets the targets of latency and errors.

    Where none is of latency it is 5 times the median of one caller for 99 of 100.

    Args:
        load: Makes some load.
        per_s: The first rate; each is a quarter higher than the one before. One that is missed is tried again.
        step_s: How long each is tried, seconds.
        targets: The targets.
        alone_ms: The median of one caller, ms.
        told: Is told of each rate, and what was missed at it; nothing if all was met.

    Raises:
        ForetellError: Not even the first rate meets them, or it was ended early.
    """
    judged = _judged(targets)
    met: tuple[float, Outcome] | None = None
    ticks: dict[int, Tick] = {}
    differences: list[str] = []
    misses = 0
    while True:
        outcome = load(Stage(per_s, step_s))
        if outcome.cut:
            raise ForetellError("ended before the knee was found")
        ticks.update(outcome.record.ticks)
        differences += outcome.differences or ()
        missed = _missed(outcome, per_s, judged, alone_ms)
        told(per_s, missed)
        if not missed:
            met, per_s, misses = (per_s, outcome), per_s * _STEP, 0
        elif misses:
            break
        else:  # a neighbour of the machine may have been to blame
            misses = 1
    if met is None:
        raise ForetellError(f"the targets are missed at {per_s:g} a second already: {missed}")
    return Climb(*met, ticks, differences)


def _judged(targets: Sequence[Target]) -> Sequence[Target]:
    """Those of latency and errors: a slow rate cannot give the number of answers that is wanted at the end."""
    found = [
        msgspec.structs.replace(target, per_s=None)
        for target in targets
        if target.is_of_latency or target.errors is not None
    ]
    return found if any(target.is_of_latency for target in found) else _ORDINARY


def _missed(outcome: Outcome, per_s: float, targets: Sequence[Target], alone_ms: float) -> str:
    seen = list(outcome.record.seen.values())
    for verdict in verify(targets, seen, took_s=outcome.took_s, unloaded_ms=alone_ms):
        if not verdict.met:
            return f"{verdict.figure}: {verdict.seen:.3g}"
    right = sum(each.in_time for each in seen)
    return "" if right >= _KEEPS_UP * per_s * outcome.took_s else "it does not keep up"
