"""foretell beside what people would take in its place: who answers how much, how fast, and at what cost.

Each contender is started in turn on one CPU, with one worker and one thread, and asked by wrk from another CPU. Before
it is measured its answers are compared with ONNX Runtime's own; one that answers wrongly, or not at all under load, is
told of and not measured. All take turns, round after round, each started anew, so that what else the machine does falls
on all of them. The floor is an ASGI application that does nothing, on the uvicorn that foretell has: the ratios say how
much more than that a contender takes in the same round.

  make bench                                                    everything; an hour and a half
  make bench-quick                                              the floors, foretell, FastAPI; within a minute
  make bench ARGS="--cases breast_cancer-1 --contenders foretell mosec"
  make bench ARGS="--cases iris-1 --connections 1 16 --rounds 7 --seconds 5"
  make bench ARGS=--list                                        who and what there is

Environments of contenders are made in .venv-bench/ when they are first needed, from requirements/bench-*.txt. Needs wrk
(apt-get install wrk) and two CPUs that are not busy.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from loadtests.bench import cases, contenders
from loadtests.bench.brief import brief
from loadtests.bench.cases import CASES, Case
from loadtests.bench.chart import svg
from loadtests.bench.contender import Contender
from loadtests.bench.environment import is_there
from loadtests.bench.load import LoadError
from loadtests.bench.measure import measure
from loadtests.bench.report import markdown
from loadtests.bench.results import Results

QUICK_CASES = ["breast_cancer-1"]
QUICK_CONNECTIONS = [1, 16]


def main(words: list[str] | None = None) -> int:
    """Measure, print the table, and write it down; 1 if something that was to be measured was not."""
    arguments = _parser().parse_args(words)
    if arguments.list:
        _list()
        return 0
    try:
        asked, entrants = _chosen(arguments)
        arguments.out.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    seconds = arguments.seconds or (2 if arguments.quick else 3)
    began = time.monotonic()

    def tell(line: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {line}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="foretell-bench-") as folder:
        try:
            results = measure(asked, entrants, rounds=rounds, seconds=seconds, folder=Path(folder), tell=tell)
        except LoadError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 2
    print(markdown(results))
    write(results, arguments.out)
    tell(f"written to {arguments.out}: results.json, table.md, brief.md, chart.svg")
    if results.was_stopped:
        tell("it was stopped: what is there is of the measurements until then")
    return int(bool(results.failures) or results.was_stopped)


def write(results: Results, folder: Path) -> None:
    """Write results.json, table.md, brief.md and chart.svg into a folder."""
    (folder / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1))
    (folder / "table.md").write_text(markdown(results))
    (folder / "brief.md").write_text(brief(results))
    (folder / "chart.svg").write_text(svg(results))


def _chosen(arguments: argparse.Namespace) -> tuple[list[Case], list[Contender]]:
    """The cases and the contenders that are asked for.

    Raises:
        ValueError: There is no such case, or no such contender.
    """
    names, connections = list(dict.fromkeys(arguments.cases)), list(dict.fromkeys(arguments.connections))
    who = contenders.choose(arguments.contenders)
    if arguments.quick:
        names, connections = names or QUICK_CASES, connections or QUICK_CONNECTIONS
        if not arguments.contenders:
            who = contenders.choose(list(contenders.QUICK))
            for each in who:
                if not is_there(each.environment):
                    target = f".venv-bench/{each.environment}/.done"
                    print(f"{each.name} is left out: `make {target}` makes its environment", file=sys.stderr)
            who = [each for each in who if is_there(each.environment)]
    chosen = cases.choose(names, connections)
    for each in who:
        if each.name in arguments.contenders and not any(map(each.takes, chosen)):
            there = ", ".join(case.name for case in CASES if each.takes(case))
            raise ValueError(f"{each.name} takes no part in what is asked; it does in {there}")
    return chosen, who


def _list() -> None:
    for case in CASES:
        callers = ", ".join(map(str, case.connections))
        count = "1 row" if case.rows == 1 else f"{case.rows} rows"
        print(f"{case.name:<26} {count} of {case.model} as {case.encoding}, {callers} callers")
    for each in contenders.CONTENDERS:
        taken = ", ".join(case.name for case in CASES if each.takes(case))
        print(f"\n{each.name:<26} {each.about}\n{'':<26} {taken}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--list", action="store_true", help="list cases and contenders, and measure nothing")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"breast_cancer-1 at 1 and 16 callers, one round of 2 s: {', '.join(contenders.QUICK)}",
    )
    parser.add_argument("--cases", nargs="+", default=[], metavar="CASE", help="what is asked; all")
    parser.add_argument(
        "--contenders",
        nargs="+",
        default=[],
        metavar="NAME",
        help="who is asked, beside the floor; all that take part in the case",
    )
    parser.add_argument(
        "--connections",
        nargs="+",
        type=_count,
        default=[],
        metavar="N",
        help="how many callers ask at once; 1, 16 and 64, or what the case says",
    )
    parser.add_argument("--seconds", type=_count, help="how many whole seconds each measurement takes; 3")
    parser.add_argument("--rounds", type=_count, help="how often each contender has its turn; 3")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("build/bench"),
        help="where the results go, in place of those that are there; build/bench",
    )
    return parser


def _count(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return number


if __name__ == "__main__":
    raise SystemExit(main())
