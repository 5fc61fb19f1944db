"""``foretell loadtest``: whether a store's models meet their targets under load."""

from __future__ import annotations

import asyncio
import sys
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from foretell.cli.progress import progress
from foretell.cli.tables import print_table
from foretell.errors import ForetellError, MissingExtraError
from foretell.loadtest.forms import FORMS
from foretell.loadtest.plan import Plan
from foretell.loadtest.profiles import PROFILES, Stage
from foretell.loadtest.targets import Target, read_targets, verify

if TYPE_CHECKING:
    from foretell.loadtest.prepare import Kind
    from foretell.loadtest.question import Question
    from foretell.loadtest.run import Outcome

__all__ = ["loadtest"]

_STEP: Final = 1.25
_STEP_S: Final = 5.0
_KEEPS_UP: Final = 0.95
"""Which part of the questions that were due must be answered in time, for a rate to count as met."""
_ORDINARY: Final = (Target(p99_ratio=5, errors=0),)
_POPULAR: Final = 20
_RIGHT: Final = (Target(errors=0),)


class _Loader(NamedTuple):
    """What a load is made with."""

    url: str
    kinds: dict[Kind, list[Question]]
    folder: Path
    repeats: float
    processes: int

    def run(self, name: str, stages: tuple[Stage, ...]) -> Outcome:
        from foretell.loadtest.run import run

        plan = Plan(list(self.kinds.values()), stages, self.repeats, _POPULAR, 1 / self.processes)
        return run(self.url, plan, self.folder / name if name else self.folder, processes=self.processes)


@click.command()
@click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    default="smoke",
    show_default=True,
    help="The load; see below.",
)
@click.option(
    "--targets",
    type=click.Path(path_type=Path),
    help="The file of the targets; without it, every answer must be right.",
)
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    default=Path("model_store"),
    show_default=True,
    help="The model store; the right answers come from it.",
)
@click.option("--default-model", help="The model that answers POST /predict.")
@click.option(
    "--url", help="A server that serves the store already; without it, one is started, and stopped again."
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="Ask this model, and other ones so named; all without it.",
)
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    type=click.Choice(list(FORMS)),
    help="Ask in this form, and others so named; all without it.",
)
@click.option(
    "--rows",
    multiple=True,
    type=click.IntRange(min=1),
    default=(1,),
    help="How many rows a question has; may be given again.  [default: 1]",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Questions a second; the profile's own without it.",
)
@click.option(
    "--duration",
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds; the profile's own without it, and 5 for each step of a climb.",
)
@click.option(
    "--repeats",
    type=click.FloatRange(0, 1),
    default=0.3,
    show_default=True,
    help="Which part of the questions is one of twenty that come again and again, for caches.",
)
@click.option(
    "--distinct",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="How many questions of each kind there are.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Where chance begins: the same seed makes the same questions.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many processes make the load.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("loadtest"),
    show_default=True,
    help="The folder for the report, the chart and the figures.",
)
@click.option(
    "--write-plan",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Only write down what is asked, and the right answers, for Locust on its own.",
)
@click.argument("server_options", nargs=-1, type=click.UNPROCESSED)
def loadtest(
    profile: str,
    targets: Path | None,
    store: Path,
    default_model: str | None,
    url: str | None,
    models: tuple[str, ...],
    protocols: tuple[str, ...],
    rows: tuple[int, ...],
    rate: float | None,
    duration: float | None,
    repeats: float,
    distinct: int,
    seed: int,
    processes: int,
    out: Path,
    write_plan: Path | None,
    server_options: tuple[str, ...],
) -> None:
    """Ask a store's models under load, and tell whether they meet their targets.

    Questions are drawn from what each model's signature tells of its sample, and each answer is compared with the one that
    is right. They come when they are due, whether those before are answered or not, and latency counts from then. What
    stands after -- goes to `foretell serve`. The exit status is 1 where a target is missed.

    \b
    Profiles:
      smoke      10 s at 50 a second: does it answer, and rightly?
      steady     a minute at one rate
      spike      30 s, five times the rate for 5 of them
      soak       an hour at one rate
      ramp       up to the knee: the highest rate at which the targets are met
      half-knee  the same, and then 30 s at half of it

    \b
    Examples:
      foretell loadtest
      foretell loadtest --profile steady --rate 500 --targets targets.toml --model iris --protocol native
      foretell loadtest --profile half-knee -- --workers 2
    """  # noqa: D301 - click wants the control character, not its name
    if find_spec("locust") is None:
        raise MissingExtraError("loadtest", "a load test")
    from foretell.loadtest.prepare import make_questions
    from foretell.loadtest.run import unloaded_ms
    from foretell.loadtest.server import Server

    wanted = list(_RIGHT) if targets is None else read_targets(targets)
    chosen = PROFILES[profile]
    out.mkdir(parents=True, exist_ok=True)
    with progress() as show:
        kinds, skipped = asyncio.run(
            make_questions(
                store,
                protocols=protocols or tuple(FORMS),
                rows=rows,
                distinct=distinct,
                seed=seed,
                models=models,
                default_model=default_model,
                told=lambda done, whole: show("questions", done / max(whole, 1)),
            )
        )
    for name, reason in skipped.items():
        click.echo(f"{name} is not asked: {reason}", err=True)
    if not kinds:
        raise ForetellError("there is nothing to ask")
    per_s = rate or chosen.per_s
    if write_plan is not None:
        stages = chosen.at(per_s, duration)
        if not stages or chosen.climbs:
            raise click.UsageError(f"{profile} climbs, which no plan says before: take steady")
        Plan(list(kinds.values()), stages, repeats, _POPULAR, 1 / processes).write(write_plan)
        return
    arguments = [
        "--store",
        str(store),
        *(("--default-model", default_model) if default_model else ()),
        *server_options,
    ]
    with nullcontext() if url else Server(arguments, out / "server.log") as server:
        at = url or (server.url if server is not None else "")
        alone_ms = unloaded_ms(at, next(iter(kinds.values())))
        click.echo(f"one caller: {alone_ms:.2f} ms, the median", err=True)
        loader = _Loader(at, kinds, out, repeats, processes)
        if chosen.climbs:
            per_s = _climb(loader, per_s, duration or _STEP_S, wanted, alone_ms)
            click.echo(f"knee: {per_s:,.0f} questions a second")
        if chosen.stages:
            outcome = loader.run("", chosen.at(per_s, None if chosen.climbs else duration))
            sys.exit(_report(outcome, wanted, alone_ms, out, profile))


def _climb(loader: _Loader, per_s: float, step_s: float, targets: list[Target], alone_ms: float) -> float:
    """The highest rate that meets the targets, or the ordinary ones where there are none of latency.

    Raises:
        ForetellError: Not even the first does.
    """
    judged = targets if any(target.is_of_latency for target in targets) else list(_ORDINARY)
    met = 0.0
    while True:
        outcome = loader.run("climb", (Stage(per_s, step_s),))
        seen = list(outcome.record.seen.values())
        right = sum(each.latencies.total for each in seen)
        missed = [
            each for each in verify(judged, seen, took_s=outcome.took_s, unloaded_ms=alone_ms) if not each.met
        ]
        reason = ""
        if missed:
            reason = f"{missed[0].figure}: {missed[0].seen:.3g}"
        elif right < _KEEPS_UP * per_s * step_s:
            reason = "it does not keep up"
        click.echo(f"{per_s:>8,.0f} a second: {reason or 'met'}", err=True)
        if reason:
            break
        met, per_s = per_s, per_s * _STEP
    if not met:
        raise ForetellError(f"the targets are missed at {per_s:g} a second already: {reason}")
    return met


def _report(outcome: Outcome, targets: list[Target], alone_ms: float, out: Path, profile: str) -> int:
    """Print what was seen, and whether it will do; the exit status."""
    from foretell.loadtest.chart import svg

    seen = sorted(outcome.record.seen.values(), key=lambda each: (each.model, each.protocol, each.rows))
    print_table(
        ("model", "protocol", "rows", "right", "failed", "p50, ms", "p95, ms", "p99, ms", "most, ms"),
        [
            (
                each.model,
                each.protocol,
                str(each.rows),
                f"{each.latencies.total:,}",
                f"{each.failed:,}",
                *(f"{each.latencies.percentile(percent) / 1000:.2f}" for percent in (50, 95, 99)),
                f"{each.latencies.most_us / 1000:.1f}",
            )
            for each in seen
        ],
    )
    verdicts = verify(targets, seen, took_s=outcome.took_s, unloaded_ms=alone_ms)
    click.echo()
    print_table(
        ("target", "figure", "wanted", "seen", "by", ""),
        [
            (
                each.about,
                each.figure,
                f"{each.wanted:g}",
                f"{each.seen:.4g}",
                each.by,
                "met" if each.met else "MISSED",
            )
            for each in verdicts
        ],
    )
    for complaint in outcome.record.examples:
        click.echo(complaint, err=True)
    if outcome.differences is None:
        click.echo("the server has no /metrics: counts are not compared", err=True)
    for difference in outcome.differences or ():
        click.echo(difference, err=True)
    (out / "latency.svg").write_text(svg(outcome.record.ticks, f"foretell loadtest --profile {profile}"))
    click.echo(f"\n{out}: report.html, latency.svg, record.json, locust_stats.csv", err=True)
    return int(bool(outcome.differences) or not all(each.met for each in verdicts))
