"""Targets: what must be so after a load test, and whether it is."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec

from foretell.errors import SettingsError
from foretell.loadtest.histogram import Histogram
from foretell.loadtest.record import Seen
from foretell.loadtest.resources import Sample, growth

__all__ = ["ServerTarget", "Target", "Targets", "Verdict", "verify", "verify_server"]

_PERCENTS: Final = (50, 95, 99)
_ABOUT: Final = 3
"""How many fields of a target tell which questions it is about."""

Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What must be so of the questions that it is about; every figure that is given.

    Attributes:
        model: Who is asked; any model if None.
        protocol: How; any way if None.
        rows: How many rows a question has; any number if None.
        p50_ms: What half of the answers take at most, ms.
        p95_ms: What 95 of 100 take at most.
        p99_ms: What 99 of 100 take at most.
        p50_ratio: The same as multiples of the median without load.
        p95_ratio: See `p50_ratio`.
        p99_ratio: See `p50_ratio`.
        errors: Which part of the questions may fail, or be answered wrongly.
        per_s: How many right answers a second there are at least.
    """

    model: str | None = None
    protocol: str | None = None
    rows: int | None = None
    p50_ms: Positive | None = None
    p95_ms: Positive | None = None
    p99_ms: Positive | None = None
    p50_ratio: Positive | None = None
    p95_ratio: Positive | None = None
    p99_ratio: Positive | None = None
    errors: Share | None = None
    per_s: Positive | None = None

    def __post_init__(self) -> None:
        if not any(getattr(self, name) is not None for name in self.__struct_fields__[_ABOUT:]):
            raise ValueError(f"a target says what is wanted: {', '.join(self.__struct_fields__[_ABOUT:])}")

    def concerns(self, seen: Seen) -> bool:
        """Whether it is about questions of a kind."""
        return (
            self.model in {None, seen.model}
            and self.protocol in {None, seen.protocol}
            and self.rows in {None, seen.rows}
        )

    @property
    def is_of_latency(self) -> bool:
        """Whether it says how long answers may take."""
        return any(
            getattr(self, f"p{percent}_{unit}") is not None
            for percent in _PERCENTS
            for unit in ("ms", "ratio")
        )

    @property
    def about(self) -> str:
        """What it is about, in words."""
        rows = "any number of rows" if self.rows is None else f"{self.rows} row{'s' * (self.rows != 1)}"
        return f"{self.model or 'any model'}, {self.protocol or 'any protocol'}, {rows}"


class ServerTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What must be so of the server that the load test starts. See `resources.growth`.

    Attributes:
        memory_growth: By which part its memory may grow.
        descriptors_growth: By which part its open file descriptors may.
    """

    memory_growth: NotNegative | None = None
    descriptors_growth: NotNegative | None = None


class Targets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What must be so after a load test.

    Attributes:
        target: Of questions.
        server: Of the server.
    """

    target: tuple[Target, ...] = ()
    server: ServerTarget = ServerTarget()

    @classmethod
    def read(cls, path: Path) -> Targets:
        """Read a file of targets.

        Raises:
            SettingsError: It cannot be read, says something that is no target, or says none.
        """
        try:
            found = msgspec.convert(tomllib.loads(path.read_text()), cls)
        except OSError as error:
            raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
        except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            known = ", ".join((*Target.__struct_fields__, *ServerTarget.__struct_fields__))
            raise SettingsError(f"{path}: {error}; [[target]] and [server] may say: {known}") from error
        if found == Targets():
            raise SettingsError(f"{path}: there is no target")
        return found


class Verdict(msgspec.Struct, frozen=True):
    """Whether a figure of a target was met.

    Attributes:
        about: Which questions it is about.
        figure: Which figure.
        wanted: What was wanted.
        seen: What was seen; NaN where nothing was.
        met: Whether that will do.
    """

    about: str
    figure: str
    wanted: float
    seen: float
    met: bool

    @property
    def by(self) -> str:
        """By how much it was met or missed."""
        if math.isnan(self.seen):
            return "nothing was seen"
        if not self.wanted:
            return f"{self.seen:+.4g}"
        return f"{100 * (self.seen - self.wanted) / self.wanted:+.0f} %"


def verify(
    targets: Sequence[Target], seen: Sequence[Seen], *, took_s: float, unloaded_ms: float | None
) -> list[Verdict]:
    """Hold what was seen against targets.

    Args:
        targets: What is wanted.
        seen: What was seen, by kind of question.
        took_s: In how long.
        unloaded_ms: The median of one caller's questions before; None if it was not measured.
    """
    return [verdict for target in targets for verdict in _judge(target, seen, took_s, unloaded_ms)]


def verify_server(target: ServerTarget, samples: Sequence[Sample]) -> list[Verdict]:
    """Hold what a server took against its targets."""
    figures = (
        ("memory, growth", target.memory_growth, [each.memory_mb for each in samples]),
        (
            "file descriptors, growth",
            target.descriptors_growth,
            [float(each.descriptors) for each in samples],
        ),
    )
    return [
        Verdict("server", figure, wanted, grown := growth(values), grown <= wanted)
        for figure, wanted, values in figures
        if wanted is not None
    ]


def _judge(target: Target, seen: Sequence[Seen], took_s: float, unloaded_ms: float | None) -> list[Verdict]:
    all_seen, failed, in_time = Histogram(), 0, 0
    for each in seen:
        if target.concerns(each):
            all_seen.merge(each.latencies)
            failed += each.failed
            in_time += each.in_time
    asked = all_seen.total + failed
    found: list[Verdict] = []

    def at_most(figure: str, wanted: float | None, value: float) -> None:
        if wanted is not None:
            found.append(Verdict(target.about, figure, wanted, value, value <= wanted))

    for percent in _PERCENTS:
        ms = all_seen.percentile(percent) / 1000
        at_most(f"p{percent}, ms", getattr(target, f"p{percent}_ms"), ms)
        ratio = math.nan if unloaded_ms is None else ms / unloaded_ms
        at_most(f"p{percent}, × unloaded median", getattr(target, f"p{percent}_ratio"), ratio)
    at_most("errors, part of all", target.errors, failed / asked if asked else math.nan)
    if target.per_s is not None:
        value = in_time / took_s if took_s and asked else math.nan
        found.append(
            Verdict(
                target.about, "right answers a second, at least", target.per_s, value, value >= target.per_s
            )
        )
    return found
