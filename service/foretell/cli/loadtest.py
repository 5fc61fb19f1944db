"""``foretell loadtest``: whether a store's models meet their targets under load."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import click
import msgspec

from foretell.cli.options import gather, store_option
from foretell.cli.progress import progress
from foretell.cli.tables import print_table
from foretell.errors import ForetellError, MissingExtraError
from foretell.loadtest.forms import FORMS
from foretell.loadtest.plan import Plan
from foretell.loadtest.profiles import PROFILES
from foretell.loadtest.record import Seen
from foretell.loadtest.report import SEEN_HEAD, VERDICTS_HEAD, markdown, seen_rows, verdict_rows
from foretell.loadtest.targets import Target, Targets, verify, verify_server
from foretell.store.catalog import find_model, scan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from foretell.loadtest.loading import Loaded
    from foretell.loadtest.rig import Rig
    from foretell.loadtest.targets import Verdict

__all__ = ["loadtest"]

_KEPT: Final = ("report.md", "latency.svg", "record.json", "report.html")
_POPULAR: Final = 20
_RIGHT: Final = Targets((Target(errors=0),))


@click.command()
@click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    default="smoke",
    show_default=True,
    help="The load; see above.",
)
@click.option(
    "--targets",
    type=click.Path(path_type=Path),
    help="The file of the targets; without it, every answer must be right.",
)
@store_option
@click.option(
    "--default-model",
    metavar="NAME",
    help="The model that answers POST /predict; the setting store.default_model if not given.",
)
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
    help="Questions a second, of all kinds together; the profile's own without it.",
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
    stands after -- goes to `foretell serve`. The exit status is 1 where a target is missed. Ctrl-C ends the load early, with 130.

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
    from foretell.loadtest.loading import Loader
    from foretell.loadtest.prepare import make_questions
    from foretell.loadtest.rig import Rig

    if following is not None and url is not None:
        raise click.UsageError("--next needs a server of its own: leave out --url")
    if url is not None and not url.startswith("http://"):
        raise click.UsageError("--url is like http://10.0.0.7:8000")
    if url is not None and server_options:
        raise click.UsageError(f"with --url no server is started, for which {server_options[0]} would be")
    wanted = _RIGHT if targets is None else Targets.read(targets)
    chosen = PROFILES[profile]
    if write_plan is not None and chosen.climbs:
        raise click.UsageError(f"{profile} climbs, which no plan says before: take steady")
    for model in models:
        find_model(store, model)
    default_model = _default_model(store, default_model, protocols)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if write_plan is not None:
            write_plan.touch()
    except OSError as error:
        raise ForetellError(f"{error.filename} cannot be written: {error.strerror}") from error
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _end)
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
    for target in wanted.target:
        if not any(target.concerns(Seen(*kind)) for kind in kinds):
            known = ", ".join(
                sorted({f"{model}, {protocol}, {size} rows" for protocol, model, size in kinds})
            )
            raise ForetellError(f"{targets}: no question is of {target.about!r}; there are: {known}")
    per_s = rate or chosen.per_s
    questions = list(kinds.values())
    plan = Plan(questions, chosen.at(per_s, duration), repeats, _POPULAR, 1 / processes)
    if write_plan is not None:
        plan.write(write_plan)
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
    began = datetime.now(UTC)
    with standing as rig:
        click.echo(f"one caller: {rig.alone_ms:.2f} ms, the median", err=True)
        done = Loader(rig.url, plan, out, processes, progress).load(
            chosen,
            per_s=per_s,
            duration_s=duration,
            targets=wanted.target,
            alone_ms=rig.alone_ms,
            told=lambda at, missed: click.echo(f"{at:>8,.0f} a second: {missed or 'met'}", err=True),
        )
    seen = list(done.outcome.record.seen.values())
    verdicts = [
        *verify(wanted.target, seen, took_s=done.outcome.took_s, unloaded_ms=rig.alone_ms),
        *verify_server(wanted.server, rig.samples),
    ]
    notes = _notes(done, rig, began)
    print_table(SEEN_HEAD, seen_rows(done.outcome.record))
    click.echo()
    print_table(VERDICTS_HEAD, verdict_rows(verdicts))
    click.echo()
    for note in notes:
        click.echo(note)
    for complaint in done.outcome.record.examples:
        click.echo(complaint, err=True)
    _keep(out, f"foretell loadtest --profile {profile}", notes, done, rig, verdicts)
    kept = [name for name in _KEPT if (out / name).exists()]
    click.echo(f"{out}: {', '.join(kept)}", err=True)
    if rig.rollouts is not None and rig.rollouts.error is not None:
        raise rig.rollouts.error
    if done.outcome.cut:
        sys.exit(128 + signal.SIGINT)
    sys.exit(int(bool(done.differences) or not all(each.met for each in verdicts)))


def _notes(done: Loaded, rig: Rig, began: datetime) -> list[str]:
    """What else there is to say, a sentence each."""
    record = done.outcome.record
    right = sum(each.latencies.total for each in record.seen.values())
    failed = sum(each.failed for each in record.seen.values())
    notes = [
        f"{began:%Y-%m-%d %H:%M} UTC, {done.outcome.took_s:,.0f} s: {right:,} right answers, {failed:,} failures",
        f"one caller's median before: {rig.alone_ms:.2f} ms",
    ]
    if done.outcome.cut:
        notes.append(f"ENDED EARLY: {done.outcome.took_s:,.0f} of {done.outcome.planned_s:,.0f} s")
    if done.knee_per_s is not None:
        notes.append(f"knee: {done.knee_per_s:,.0f} questions a second")
    if rig.rollouts is not None:
        notes.append(f"{len(rig.rollouts.times_s):,} rollouts")
    if done.outcome.differences is None:
        notes.append("the server has no /metrics: counts are not compared")
    elif not done.differences:
        notes.append("the server counted the same, by model and protocol")
    return notes + done.differences


def _keep(
    out: Path, title: str, notes: Sequence[str], done: Loaded, rig: Rig, verdicts: Sequence[Verdict]
) -> None:
    """Write the report, the chart and the figures."""
    from foretell.loadtest.chart import answers, latencies, resources, svg

    panels = [latencies(done.ticks), answers(done.ticks), *resources(rig.samples)]
    (out / "latency.svg").write_text(svg(title, panels, rig.rollouts_s))
    (out / "report.md").write_text(markdown(title, notes, done.outcome.record, verdicts))
    if rig.samples:
        (out / "resources.json").write_bytes(msgspec.json.encode(rig.samples))


def _default_model(store: Path, given: str | None, protocols: Sequence[str]) -> str | None:
    """The model that is asked by those forms that name none; said if there is none.

    Raises:
        NotFoundError: It is not in the store.
    """
    held = scan(store)
    if given is not None:
        return find_model(store, given).name
    default = gather({}).settings.store.default_model or (next(iter(held)) if len(held) == 1 else None)
    if default in held:
        return default
    left = [form for form, how in FORMS.items() if how.default_model and (not protocols or form in protocols)]
    if left:
        why = "there is no default model" if default is None else f"the default model {default} is not there"
        click.echo(f"{', '.join(left)}: not asked, since {why}; see --default-model", err=True)
    return None


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """End in good order: what was started is stopped."""
    del frame
    sys.exit(128 + number)
