"""The first runs of a version: they prove that it runs, and measure what a run costs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec

from foretell.engine.trial_inputs import trial_inputs
from foretell.errors import RunError

if TYPE_CHECKING:
    from foretell.engine.session import Session
    from foretell.parser import Parser, Tensors
    from foretell.signature import Signature

__all__ = ["Cost", "completed", "measure", "time_us"]

_REPEATS: Final = 5
_REPEATS_OF_SHORT: Final = 25
_SHORT_US: Final = 2_000
"""Runs are repeated more often until they have taken as long as this together."""

_MANY: Final = 64
"""How many rows the second measured run has at least."""

_SLOWER_FIRST: Final = 2
"""The first run of a size may take so many times as long as those that follow."""

_MOST_TIMES: Final = 8
"""By how much at most the next run that is tried is longer than the last."""

_TELLING_US: Final = 1000.0
"""A first run that takes as long as this tells what its rows cost: what else happens on the machine is small against it."""

_MOST_BYTES: Final = 16 * 1024**2
"""The greatest size of inputs that are made up to measure a run of more than the fewest rows, bytes."""

_PATIENCE_US: Final = 200_000


class Cost(msgspec.Struct, frozen=True):
    """A straight line through two measured runs.

    Attributes:
        base_us: What a run costs apart from its rows, µs.
        row_us: What each row adds, µs.
        rows: How many rows the longer of the two had: more were never run.
    """

    base_us: float
    row_us: float
    rows: int = 1

    def of(self, rows: int) -> float:
        """The expected duration of a run, µs."""
        return self.base_us + self.row_us * rows


def measure(session: Session, signature: Signature, parser: Parser) -> Cost | None:
    """Time a version on one row and on as many as it takes to tell what a row costs.

    Returns:
        Its cost; None if it runs on one row and not on many, so that a run's cost cannot be told from its rows.

    Raises:
        RunError: It does not run.
    """
    signature = completed(signature, session)
    inputs = trial_inputs(signature, parser, 1)
    one = time_us(session, inputs)
    if not signature.batched:
        return Cost(one, 0.0)
    bytes_of_row = sum(tensor.nbytes for tensor in inputs.values())
    most = max(_MANY, min(parser.max_rows, _MOST_BYTES // max(bytes_of_row, 1)))
    rows, many, measured, size = 1, one, True, _MANY
    while rows < most and (rows == 1 or many < _TELLING_US / _SLOWER_FIRST):
        inputs = trial_inputs(signature, parser, size)
        try:
            many, measured = _run_us(session, inputs), False
            if many >= _TELLING_US or size == most:
                many, measured = _median_us(session, inputs), True
        except RunError:
            if rows == 1:
                return None
            break
        rows = size
        growth = _SLOWER_FIRST * _TELLING_US / max(many, 1)
        size = min(most, int(size * min(max(growth, 2), _MOST_TIMES)))
    if not measured:  # it told enough at once, or longer ones fail
        many = _median_us(session, trial_inputs(signature, parser, rows))
    row = max(0.0, (many - one) / (rows - 1))
    return Cost(max(0.0, one - row), row, rows)


def completed(signature: Signature, session: Session) -> Signature:
    """A signature with the lengths that only the graph knows, but for the rows'."""
    graph = {tensor.name: tensor.shape for tensor in session.inputs}
    inputs = tuple(
        msgspec.structs.replace(
            tensor,
            shape=(
                *tensor.shape[:1],
                *(
                    known if isinstance(known, int) else length
                    for length, known in zip(tensor.shape[1:], graph[tensor.name][1:], strict=True)
                ),
            ),
        )
        if len(graph[tensor.name]) == len(tensor.shape)
        else tensor
        for tensor in signature.inputs
    )
    return signature if inputs == signature.inputs else msgspec.structs.replace(signature, inputs=inputs)


def time_us(session: Session, inputs: Tensors) -> float:
    """The median duration of a few runs after a first one, µs; a slow model is run fewer times, a fast one more often.

    It is this thread's CPU time: other models load at the same time, and waiting for them is no cost of this one.

    Raises:
        RunError: It does not run.
    """
    session.try_run(inputs)
    return _median_us(session, inputs)


def _median_us(session: Session, inputs: Tensors) -> float:
    durations: list[float] = []
    taken_us = 0.0
    while (
        len(durations) < (_REPEATS if taken_us > _SHORT_US else _REPEATS_OF_SHORT) and taken_us < _PATIENCE_US
    ):
        durations.append(_run_us(session, inputs))
        taken_us += durations[-1]
    return sorted(durations)[len(durations) // 2]


def _run_us(session: Session, inputs: Tensors) -> float:
    started = time.thread_time_ns()
    session.try_run(inputs)
    return (time.thread_time_ns() - started) / 1000
