"""The load of a profile: one rate after the other, the way up to the knee among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, NamedTuple

from foretell.loadtest.climb import climb
from foretell.loadtest.plan import Plan
from foretell.loadtest.profiles import Profile, Stage
from foretell.loadtest.record import Tick
from foretell.loadtest.run import Outcome, run
from foretell.loadtest.targets import Target

__all__ = ["Loaded", "Loader"]

_STEP_S: Final = 5.0


class Loaded(NamedTuple):
    """What came of a load.

    Attributes:
        outcome: What came of its last part, or of the knee.
        ticks: All of it, second by second.
        differences: Where the server counted otherwise, in any part.
        knee_per_s: The knee; None if none was looked for.
    """

    outcome: Outcome
    ticks: dict[int, Tick]
    differences: list[str]
    knee_per_s: float | None = None


class Loader(NamedTuple):
    """What loads are made with.

    Attributes:
        url: The server.
        plan: What is asked; its stages are those of each load.
        folder: Where Locust's reports go.
        processes: How many processes of Locust share a load.
        progress: Shows how far a load is; what it yields is called with a name and a part.
    """

    url: str
    plan: Plan
    folder: Path
    processes: int
    progress: Callable[[], AbstractContextManager[Callable[[str, float], None]]]

    def load(
        self,
        profile: Profile,
        *,
        per_s: float,
        duration_s: float | None,
        targets: Sequence[Target],
        alone_ms: float,
        told: Callable[[float, str], None],
    ) -> Loaded:
        """Make the load of a profile.

        Args:
            profile: The profile.
            per_s: The rate that its stages are multiples of, or from which it climbs.
            duration_s: How long it takes, or each step of the climb; as it says itself if None.
            targets: What the knee is found with.
            alone_ms: The median of one caller, ms.
            told: See `climb`.

        Raises:
            ForetellError: Locust fails, the server does not answer, or there is no knee.
        """
        if not profile.climbs:
            outcome = self._run(profile.at(per_s, duration_s))
            return Loaded(outcome, outcome.record.ticks, outcome.differences or [])
        climbed = climb(
            lambda stage: self._run((stage,)),
            per_s=per_s,
            step_s=duration_s or _STEP_S,
            targets=targets,
            alone_ms=alone_ms,
            told=told,
        )
        if not profile.stages:
            return Loaded(climbed.outcome, climbed.ticks, climbed.differences, climbed.per_s)
        outcome = self._run(profile.at(climbed.per_s))
        differences = climbed.differences + (outcome.differences or [])
        return Loaded(outcome, climbed.ticks | outcome.record.ticks, differences, climbed.per_s)

    def _run(self, stages: tuple[Stage, ...]) -> Outcome:
        self.plan.stages = stages
        with self.progress() as show:
            return run(
                self.url,
                self.plan,
                self.folder,
                processes=self.processes,
                told=lambda done: show("load", done),
            )
