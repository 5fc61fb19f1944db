"""``foretell loadtest``: whether a store's models meet their targets under load."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

import click

from foretell.cli.loadtest_report import print_record, print_verdicts, write_chart
from foretell.cli.progress import progress
from foretell.errors import ForetellError, MissingExtraError
from foretell.loadtest.forms import FORMS
from foretell.loadtest.plan import Plan
from foretell.loadtest.profiles import PROFILES, Stage
from foretell.loadtest.targets import Target, Targets, verify, verify_server

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from foretell.loadtest.profiles import Profile
    from foretell.loadtest.question import Question
    from foretell.loadtest.record import Tick
    from foretell.loadtest.run import Outcome

__all__ = ["loadtest"]

_STEP_S: Final = 5.0
_POPULAR: Final = 20
_RIGHT: Final = Targets((Target(errors=0),))


class _Done(NamedTuple):
    """What came of a load: of its last part, second by second of all, and where the server counted otherwise."""

    outcome: Outcome
    ticks: dict[int, Tick]
    differences: list[str]


class _Loader(NamedTuple):
    """What a load is made with."""

    url: str
    questions: list[list[Question]]
    folder: Path
    repeats: float
    processes: int

    def run(self, stages: tuple[Stage, ...]) -> Outcome:
        from foretell.loadtest.run import run

        plan = Plan(self.questions, stages, self.repeats, _POPULAR, 1 / self.processes)
        with progress() as show:
            return run(
                self.url,
                plan,
                self.folder,
                processes=self.processes,
                told=lambda done: show("load", done),
            )


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
    "--next",
    "following",
    type=click.Path(path_type=Path),
    metavar="STORE",
    help="Another store: its models are rolled out while they are asked, one after the other, and rolled back.",
)
@click.option(
    "--roll-every",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="With --next: seconds from one rollout to the next.",
)
@click.option(
    "--any-version",
    is_flag=True,
    help="Right is what any version of a model answers, as where the plugin canary chooses.",
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
    following: Path | None,
    roll_every: float,
    any_version: bool,
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
    stands after -- goes to `foretell serve`. The exit status is 1 where a target is missed. Ctrl-C ends the load early.

    \b
    A file of targets:
      [[target]]           # of those questions that it names
      model = "iris"
      protocol = "native"
      rows = 1
      p99_ms = 10          # or p50_ms, p95_ms; p99_ratio: multiples of one caller's median
      per_s = 100          # right answers a second, at least
      [[target]]           # of all
      errors = 0           # which part may fail

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
      foretell loadtest --profile soak --next tomorrow --rows 1 --rows 16
    """  # noqa: D301 - click wants the control character, not its name
    if find_spec("locust") is None:
        raise MissingExtraError("loadtest", "a load test")
    from foretell.loadtest.defaults import other_defaults
    from foretell.loadtest.prepare import make_questions
    from foretell.loadtest.rig import Rig

    if following is not None and url is not None:
        raise click.UsageError("--next needs a server of its own: leave out --url")
    wanted = _RIGHT if targets is None else Targets.read(targets)
    chosen = PROFILES[profile]
    if write_plan is not None and chosen.climbs:
        raise click.UsageError(f"{profile} climbs, which no plan says before: take steady")
    out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, _end)
    stores = [store] if following is None else [store, following]
    with progress() as show, ExitStack() as stack:
        if any_version:
            stores += [copy for each in stores for copy in stack.enter_context(other_defaults(each))]
        kinds, skipped = asyncio.run(
            make_questions(
                stores,
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
    questions = list(kinds.values())
    if write_plan is not None:
        stages = chosen.at(per_s, duration)
        Plan(questions, stages, repeats, _POPULAR, 1 / processes).write(write_plan)
        return
    if url is not None:
        standing = Rig.there(url, questions[0])
    else:
        named = ("--default-model", default_model) if default_model else ()
        standing = Rig.started(
            store,
            (*named, *server_options),
            questions[0],
            out,
            following=following,
            roll_every_s=roll_every,
        )
    with standing as rig:
        click.echo(f"one caller: {rig.alone_ms:.2f} ms, the median", err=True)
        loader = _Loader(rig.url, questions, out, repeats, processes)
        done = _load(loader, chosen, per_s, duration, wanted.target, rig.alone_ms)
    seen = list(done.outcome.record.seen.values())
    verdicts = [
        *verify(wanted.target, seen, took_s=done.outcome.took_s, unloaded_ms=rig.alone_ms),
        *verify_server(wanted.server, rig.samples),
    ]
    print_record(done.outcome.record)
    print_verdicts(verdicts)
    if done.outcome.differences is None:
        click.echo("the server has no /metrics: counts are not compared", err=True)
    for difference in done.differences:
        click.echo(difference, err=True)
    if rig.rollouts is not None:
        click.echo(f"{len(rig.rollouts.times_s)} rollouts")
        if rig.rollouts.error is not None:
            raise rig.rollouts.error
    write_chart(out, f"foretell loadtest --profile {profile}", done.ticks, rig.samples, rig.rollouts_s)
    click.echo(f"\n{out}: report.html, latency.svg, record.json, locust_stats.csv", err=True)
    sys.exit(int(bool(done.differences) or not all(each.met for each in verdicts)))


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """End in good order: what was started is stopped."""
    del frame
    sys.exit(128 + number)


def _load(
    loader: _Loader,
    profile: Profile,
    per_s: float,
    duration_s: float | None,
    targets: Sequence[Target],
    alone_ms: float,
) -> _Done:
    """Make the load of a profile."""
    from foretell.loadtest.climb import climb

    if not profile.climbs:
        outcome = loader.run(profile.at(per_s, duration_s))
        return _Done(outcome, outcome.record.ticks, outcome.differences or [])
    climbed = climb(
        lambda stage: loader.run((stage,)),
        per_s=per_s,
        step_s=duration_s or _STEP_S,
        targets=targets,
        alone_ms=alone_ms,
        told=lambda rate, missed: click.echo(f"{rate:>8,.0f} a second: {missed or 'met'}", err=True),
    )
    click.echo(f"knee: {climbed.per_s:,.0f} questions a second")
    if not profile.stages:
        return _Done(climbed.outcome, climbed.ticks, climbed.differences)
    outcome = loader.run(profile.at(climbed.per_s))
    return _Done(
        outcome,
        climbed.ticks | outcome.record.ticks,
        climbed.differences + (outcome.differences or []),
    )
