"""Load profiles: how many questions a second, for how long."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

__all__ = ["PROFILES", "Profile", "Stage"]


class Stage(msgspec.Struct, frozen=True):
    """Some time at one rate.

    Attributes:
        per_s: How many questions come in a second, on average.
        duration_s: For how long, seconds.
    """

    per_s: float
    duration_s: float


class Profile(msgspec.Struct, frozen=True):
    """A load.

    Attributes:
        about: What it is for.
        stages: Its stages, at a rate of 1 and with durations in seconds.
        per_s: The rate that they are multiples of, where no other is said.
        climbs: Whether the rate is raised first until the targets are missed, and the stages are multiples of the highest
            rate that met them: the knee.
    """

    about: str
    stages: tuple[Stage, ...] = ()
    per_s: float = 200.0
    climbs: bool = False

    def at(self, per_s: float, duration_s: float | None = None) -> tuple[Stage, ...]:
        """Its stages at a rate.

        Args:
            per_s: What they are multiples of.
            duration_s: How long they take together, seconds; as long as they do if None.
        """
        whole = sum(stage.duration_s for stage in self.stages)
        longer = 1.0 if duration_s is None or not whole else duration_s / whole
        return tuple(Stage(stage.per_s * per_s, stage.duration_s * longer) for stage in self.stages)


PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        "smoke": Profile("a moment at a low rate", (Stage(1, 10),), per_s=50),
        "steady": Profile("one rate", (Stage(1, 60),)),
        "spike": Profile("five times the rate for a moment", (Stage(1, 10), Stage(5, 5), Stage(1, 15))),
        "soak": Profile("one rate for long", (Stage(1, 3600),)),
        "ramp": Profile("up to the knee, the highest rate at which the targets are met", climbs=True),
        "half-knee": Profile("up to the knee, then half of it", (Stage(0.5, 30),), climbs=True),
    }
)
"""The profiles, by name."""
