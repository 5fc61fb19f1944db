"""What came of mirrored requests, counted for each version and what it was compared with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from foretell.plugin import Instrument

if TYPE_CHECKING:
    from foretell.plugin import ModelInfo
    from foretell_plugins.shadow.comparison import Comparison

__all__ = ["Tallies", "Tally"]


class Tally(msgspec.Struct):
    """What came of the requests that one version answered and another was asked again.

    Attributes:
        agreed: How many had answers that agree in every row.
        differed: How many had not.
        failed: How many the other version did not answer.
        dropped: How many it was not asked, for want of room.
        rows: How many rows were compared.
        rows_agreed: In how many of them the answers agree.
        greatest_difference: How far two floats of them lay apart at most.
        caller_s: How long the compared answers took the version, together, seconds.
        shadow_s: How long they took the other, seconds.
    """

    agreed: int = 0
    differed: int = 0
    failed: int = 0
    dropped: int = 0
    rows: int = 0
    rows_agreed: int = 0
    greatest_difference: float = 0.0
    caller_s: float = 0.0
    shadow_s: float = 0.0

    def add(self, comparison: Comparison, *, caller_s: float, shadow_s: float) -> None:
        """Count two answers that were compared."""
        if comparison.agreed == comparison.rows:
            self.agreed += 1
        else:
            self.differed += 1
        self.rows += comparison.rows
        self.rows_agreed += comparison.agreed
        self.greatest_difference = max(self.greatest_difference, comparison.difference)
        self.caller_s += caller_s
        self.shadow_s += shadow_s


class Tallies:
    """Every tally there is: they outlive the versions, since a counter never falls."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, int, str, int], Tally] = {}

    def of(self, version: ModelInfo, target: ModelInfo) -> Tally:
        """The tally of a version and what it is compared with."""
        key = (version.name, version.version, target.name, target.version)
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally()
        return tally

    def instruments(self) -> Iterator[Instrument]:
        """All of them for metrics; nothing while there is none."""
        if not self._tallies:
            return
        tallies = [
            ({"model": model, "version": str(version), "target": f"{other}/{number}"}, tally)
            for (model, version, other, number), tally in self._tallies.items()
        ]
        yield Instrument(
            "foretell_shadow_total",
            "counter",
            "Requests that were mirrored, by what came of it.",
            [
                ({**labels, "outcome": outcome}, getattr(tally, outcome))
                for labels, tally in tallies
                for outcome in ("agreed", "differed", "failed", "dropped")
            ],
        )
        yield Instrument(
            "foretell_shadow_rows_total",
            "counter",
            "Rows of mirrored requests that were compared.",
            [
                ({**labels, "outcome": outcome}, rows)
                for labels, tally in tallies
                for outcome, rows in (
                    ("agreed", tally.rows_agreed),
                    ("differed", tally.rows - tally.rows_agreed),
                )
            ],
        )
        yield Instrument(
            "foretell_shadow_greatest_difference",
            "gauge",
            "How far two floats of compared answers lay apart at most.",
            [(labels, tally.greatest_difference) for labels, tally in tallies],
            across_workers="max",
        )
        yield Instrument(
            "foretell_shadow_seconds_total",
            "counter",
            "How long compared answers took, seconds.",
            [
                ({**labels, "by": by}, seconds)
                for labels, tally in tallies
                for by, seconds in (("caller", tally.caller_s), ("shadow", tally.shadow_s))
            ],
        )
