"""Rounds: in each, every contender has its turn, so that what else the machine does falls on all of them."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from loadtests.bench.cases import Case
from loadtests.bench.contender import Contender
from loadtests.bench.environment import NoEnvironment, python_of, releases
from loadtests.bench.load import Wrk
from loadtests.bench.machine import describe
from loadtests.bench.models import Model, prepare
from loadtests.bench.process import cores
from loadtests.bench.receiver import Receiver
from loadtests.bench.results import Entrant, Failure, Results, Sample
from loadtests.bench.turn import Turn
from loadtests.ports import free_port

__all__ = ["measure"]


def measure(
    cases: list[Case],
    contenders: list[Contender],
    *,
    rounds: int,
    seconds: float,
    folder: Path,
    tell: Callable[[str], None],
) -> Results:
    """Measure some contenders in some cases.

    Args:
        cases: What is asked.
        contenders: Who is asked; those that do not take part in a case are left out of it.
        rounds: How often each has its turn in each case; it is started anew every time.
        seconds: How long each measurement takes.
        folder: An empty folder, for models and for what servers write.
        tell: Takes a line on how far it is.

    Raises:
        LoadError: wrk is not installed.
    """
    server_core, load_core = cores()
    if server_core == load_core:
        tell("this process may use one CPU only: servers and load share it, and disturb each other")
    (folder / "wrk").mkdir()
    wrk = Wrk(folder / "wrk", load_core)
    failures: list[Failure] = []
    contenders = [each for each in contenders if any(map(each.takes, cases))]
    pythons = dict(_pythons(contenders, failures, tell))
    there = [each for each in contenders if each.name in pythons]
    samples: list[Sample] = []
    models: dict[str, Model] = {}
    was_stopped = False
    (folder / "receiver").mkdir()
    with Receiver(folder / "receiver", load_core, free_port()) as receiver:
        try:
            for number, case in enumerate(cases, 1):
                place = f"case {number} of {len(cases)} {case.name}"
                left = [each for each in there if each.takes(case)]
                tell(f"{place}: {', '.join(each.name for each in left)}")
                if case.model not in models:
                    tell(f"{place}: training and writing the model")
                    (folder / case.model).mkdir()
                    models[case.model] = prepare(case.model, folder / case.model)
                for turn, contender in itertools.product(range(1, rounds + 1), tuple(left)):
                    if contender not in left:
                        continue
                    with tempfile.TemporaryDirectory(dir=folder) as own:
                        taken = Turn(
                            contender,
                            case,
                            turn,
                            models[case.model],
                            pythons[contender.name],
                            Path(own),
                            server_core,
                            seconds,
                            wrk,
                            receiver,
                            f"{place}, round {turn} of {rounds}, {contender.name}",
                            tell,
                        )
                        if not _has_taken(taken, samples, failures):
                            left.remove(contender)
        except KeyboardInterrupt:
            was_stopped = True
    entrants = [
        Entrant(each.name, each.about, releases(each.environment, pythons[each.name])) for each in there
    ]
    floor = next(each.name for each in contenders if each.floor)
    machine = describe(server_core, load_core)
    return Results(machine, floor, cases, entrants, samples, failures, was_stopped)


def _has_taken(turn: Turn, samples: list[Sample], failures: list[Failure]) -> bool:
    """Let a contender have its turn; False if it does not start, or answers wrongly: it would again."""
    for each in turn.take():
        if isinstance(each, Sample):
            samples.append(each)
            continue
        failures.append(each)
        turn.tell(f"{turn.place}: NOT MEASURED: {each.reason}")
        if not each.connections:
            return False
    return True


def _pythons(
    contenders: list[Contender], failures: list[Failure], tell: Callable[[str], None]
) -> Iterator[tuple[str, Path]]:
    """The interpreter of each contender; whose environment cannot be made is among the failures."""
    for contender in contenders:
        try:
            yield contender.name, python_of(contender.environment)
        except NoEnvironment as error:
            failures.append(Failure("", contender.name, str(error)))
            tell(f"{contender.name} is left out: {error}")
