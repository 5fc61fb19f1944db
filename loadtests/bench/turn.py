"""A contender's turn: it starts, proves that its answers are right, is measured, and ends."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from loadtests.bench.answers import Asked, Refused, WrongAnswer, ask, check
from loadtests.bench.cases import Case
from loadtests.bench.contender import Contender, Launch
from loadtests.bench.dialects import Dialect
from loadtests.bench.load import Load, LoadError, Wrk
from loadtests.bench.models import Model, Outputs
from loadtests.bench.process import ENVIRON, ServerProcess
from loadtests.bench.receiver import Receiver
from loadtests.bench.results import Failure, Sample
from loadtests.ports import free_port
from loadtests.processes import resident_mb

__all__ = ["Turn", "too_few"]

START_S: Final = 90.0
"""How long a contender may take to its first answer, seconds."""
CHECKED: Final = 8
"""How many questions each contender answers before it is measured."""
WARM_UP_S: Final = 1.0
ANSWERS_EACH: Final = 3
"""How many answers each caller should have got on average; a contender that is slow is measured for longer."""
LONGEST_S: Final = 60.0
"""How long at most, seconds."""


class Turn(NamedTuple):
    """One contender in one case and one round.

    Attributes:
        contender: Who.
        case: What is asked.
        round: In which round, from 1.
        model: The case's model.
        python: The interpreter of the contender's environment.
        folder: An empty folder.
        core: The CPU that the contender gets.
        seconds: How long each measurement takes.
        wrk: The load generator.
        receiver: Takes the spans of those who trace.
        place: What the lines of `tell` begin with.
        tell: Takes a line on how far it is.
    """

    contender: Contender
    case: Case
    round: int
    model: Model
    python: Path
    folder: Path
    core: int
    seconds: float
    wrk: Wrk
    receiver: Receiver
    place: str
    tell: Callable[[str], None]

    def take(self) -> Iterator[Sample | Failure]:
        """Start, check, measure at each number of callers, and end."""
        self.tell(f"{self.place}: starting")
        asked = self.model.questions(self.case.rows, self.case.different)
        try:
            if not self.contender.dialects:
                yield self._loop(asked)
            else:
                yield from self._serve(self.contender.dialects[self.case.encoding], asked)
        except (LoadError, OSError, RuntimeError, WrongAnswer, subprocess.SubprocessError) as error:
            yield self._failure(str(error))

    def _serve(self, dialect: Dialect, asked: list[np.ndarray]) -> Iterator[Sample | Failure]:
        port = free_port()
        command, environ = self.contender.start(self._launch(port))
        checked = [self._asked(rows) for rows in asked[:CHECKED]]
        requests = [dialect.request(self.model, rows).encode() for rows in asked]
        mark = self.model.mark
        with ServerProcess(command, dict(environ), self.folder, self.core) as server:
            start_s = self._first_answer(server, port, dialect, checked[0])
            for one in checked:
                check(ask(port, dialect, self.model, one.rows), one)
            for connections in self.case.connections:
                self.tell(f"{self.place}: {connections} connections")
                warm = self.wrk.run(port, requests, mark, connections=connections, seconds=WARM_UP_S)
                seconds = self._long_enough(warm, connections)
                # Its answer comes when those are done with whose callers have hung up.
                check(ask(port, dialect, self.model, checked[0].rows), checked[0])
                before, had = server.cpu_s(), self.receiver.received()
                load = self.wrk.run(port, requests, mark, connections=connections, seconds=seconds)
                cpu_s = server.cpu_s() - before
                check(ask(port, dialect, self.model, checked[-1].rows), checked[-1])
                fault = load.fault or too_few(load, connections)
                if self.contender.traces and not fault and not self.receiver.gets_more_than(had):
                    fault = "none of its spans arrived"
                if fault:
                    yield self._failure(fault, connections)
                    continue
                yield self._sample(
                    connections,
                    per_s=load.per_s,
                    p50_us=load.p50_us,
                    p99_us=load.p99_us,
                    cpu_us=cpu_s / load.requests * 1e6,
                    rss_mb=server.resident_mb(),
                    pss_mb=server.proportional_mb(),
                    start_s=start_s,
                )

    def _launch(self, port: int) -> Launch:
        return Launch(self.python, port, self.model, self.folder, free_port, self.receiver.endpoint)

    def _long_enough(self, warm: Load, connections: int) -> float:
        """How long to measure, seconds, so that each caller has some answers of a slow contender too."""
        wanted = ANSWERS_EACH * connections
        return max(self.seconds, min(LONGEST_S, wanted / warm.per_s if warm.requests else LONGEST_S))

    def _first_answer(self, server: ServerProcess, port: int, dialect: Dialect, asked: Asked) -> float:
        """Seconds from the start to the first right answer.

        Raises:
            WrongAnswer: It is wrong.
            RuntimeError: None comes.
        """
        last = "nobody listens"
        while time.perf_counter() - server.began < START_S:
            if server.status is not None:
                raise RuntimeError(f"it ended with {server.status} before it answered: {server.log_end()}")
            try:
                outputs = ask(port, dialect, self.model, asked.rows)
            except (OSError, Refused) as error:  # not there yet, or not ready
                last = str(error)
                time.sleep(0.005)
                continue
            took_s = time.perf_counter() - server.began
            check(outputs, asked)
            return took_s
        raise RuntimeError(f"no answer in {START_S:.0f} s: {last}; it printed: {server.log_end()}")

    def _loop(self, asked: list[np.ndarray]) -> Sample:
        np.save(self.folder / "rows.npy", np.array(asked))
        command, environ = self.contender.start(self._launch(0))
        began = time.perf_counter()
        with subprocess.Popen(
            ["taskset", "--cpu-list", str(self.core), *command],
            env={**ENVIRON, **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin
            assert process.stdout
            start_s = 0.0
            for rows in asked:
                line = process.stdout.readline()
                start_s = start_s or time.perf_counter() - began
                outputs = {name: np.array(value) for name, value in json.loads(line or "{}").items()}
                check(outputs, self._asked(rows))
            figures: dict[str, float] = {}
            for seconds in (WARM_UP_S / 2, self.seconds):
                process.stdin.write(f"{seconds}\n")
                process.stdin.flush()
                figures = json.loads(process.stdout.readline())
            memory = resident_mb(process.pid)
            sample = self._sample(1, **figures, rss_mb=memory, pss_mb=memory, start_s=start_s)
            process.stdin.close()
        return sample

    def _asked(self, rows: np.ndarray) -> Asked:
        if self.contender.floor:
            return Asked(rows, {"the floor": {}})
        truths: dict[str, Outputs] = {"session.run": self.model.truth(rows)}
        if self.contender.estimator:
            truths["scikit-learn"] = self.model.estimated(rows)
        return Asked(rows, truths)

    def _sample(self, connections: int, **figures: float) -> Sample:
        return Sample(self.case.name, connections, self.contender.name, self.round, **figures)

    def _failure(self, reason: str, connections: int = 0) -> Failure:
        return Failure(self.case.name, self.contender.name, reason, self.round, connections)


def too_few(load: Load, connections: int) -> str | None:
    """Why an average of so few answers says nothing; None if there are enough."""
    if load.requests >= connections:
        return None
    return f"{load.requests} answers for {connections} callers in {load.duration_us / 1e6:.0f} s"
