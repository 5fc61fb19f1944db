"""The comparison of a converted model with the original, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from foretell.engine.session import Session
from foretell.errors import ForetellError
from foretell.parser import Parser
from foretell.store.manifest import ParityReport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from foretell.convert.frame import Frame, Row
    from foretell.convert.original import Answers, Original
    from foretell.convert.served import Served
    from foretell.convert.sklearn_onnx import Precision
    from foretell.tensors import Array

__all__ = ["compare"]

_CHUNK: Final = 500
"""Rows that are compared at once."""

_ULPS: Final = (1, 4, 32)
"""How many float64 steps beside a row the original may answer what the served model answers there."""

_CONVICTED: Final = 5
"""After so many disagreements that are none of rounding, further ones are no longer looked at for that."""


class _Differences(NamedTuple):
    """One entry a row.

    Attributes:
        label: Whether labels or texts differ.
        absolute: The largest absolute difference of numbers.
        relative: The largest relative one.
        beyond: Whether a number differs by more than the tolerance.
    """

    label: Array
    absolute: Array
    relative: Array
    beyond: Array


def compare(
    served: Served,
    original: Original,
    rows: Sequence[Row],
    probes: Sequence[Row],
    *,
    tolerance: float,
    precision: Precision,
    on_progress: Callable[[float], None],
) -> ParityReport:
    """Compare the answers on the sample and on probes.

    Rows that the original itself refuses are left out.

    Args:
        served: The converted model, run through the server's own parser and session.
        original: The estimator.
        rows: Rows of the sample.
        probes: Generated rows.
        tolerance: The absolute difference, and the part of the original's number, that two numbers may differ by.
        precision: Goes into the report.
        on_progress: Is told the fraction that is done.
    """
    session = Session(served.model)
    parser = Parser(served.signature, max_rows=_CHUNK)
    tally = _Tally(tolerance)
    everything = [(row, False) for row in rows] + [(row, True) for row in probes]
    for begin in range(0, len(everything), _CHUNK):
        part = everything[begin : begin + _CHUNK]
        batch = [row for row, _ in part]
        for numbers, expected in original.answer_each(batch):
            some = [batch[number] for number in numbers]
            marks = [part[number][1] for number in numbers]
            try:
                given = served.answer(session, parser, some)
            except ForetellError as error:
                tally.failed(some, marks, f"the ONNX form fails where the original answers: {error}")
                continue
            _weigh(tally, original, served.frame, some, marks, expected, given)
        on_progress(min(1.0, (begin + _CHUNK) / len(everything)))
    return tally.report(precision)


def _weigh(
    tally: _Tally,
    original: Original,
    frame: Frame,
    rows: list[Row],
    marks: list[bool],
    expected: Answers,
    given: Answers,
) -> None:
    for name, values in expected.items():
        if name in given and given[name].shape != values.shape:
            tally.failed(rows, marks, f"{name!r} has the shape {given[name].shape} instead of {values.shape}")
            return
    found = _differences(expected, given, tally.tolerance)
    differs = np.flatnonzero(found.label | found.beyond)
    tied: Array = np.zeros(len(rows), bool)
    if differs.size:
        some = [rows[index] for index in differs]
        # A label may go either way where the best two are equally good; numbers must still agree.
        tied[differs] = original.undecided(some, tally.tolerance) & ~found.beyond[differs]
        tied[differs] |= original.at_a_vote(some, tally.tolerance)
        convicted = 0
        left: list[int] = differs[~tied[differs]].tolist()
        for index in left:
            if convicted == _CONVICTED:
                break
            one = {name: values[index : index + 1] for name, values in given.items()}
            tied[index] = _on_an_edge(original, frame, rows[index], one, tally.tolerance)
            convicted += not tied[index]
    tally.add(rows, marks, found, tied)


def _on_an_edge(original: Original, frame: Frame, row: Row, given: Answers, tolerance: float) -> bool:
    """Whether the original answers the same within a few float64 steps of the row: rounding alone decides there."""
    numeric = [
        at for at, column in enumerate(frame.columns) if column.kind == "float" and row[at] is not None
    ]
    if not numeric:
        return False
    random = np.random.default_rng(0)
    scale = {at: max((abs(float(r[at] or 0.0)) for r in frame.rows[:100]), default=1.0) for at in numeric}
    near: list[Row] = []
    for ulps in _ULPS:
        moves = [{at: sign} for at in numeric[:64] for sign in (-1, 1)]
        moves += [
            dict(zip(numeric, random.choice([-1, 1], len(numeric)).tolist(), strict=True)) for _ in range(16)
        ]
        for move in moves:
            cells: list[Any] = list(row)
            for at, sign in move.items():
                value = float(cells[at])
                cells[at] = value + sign * ulps * float(np.spacing(max(abs(value), 1e-3 * scale[at])))
            near.append(tuple(cells))
    try:
        answers = original.answer(near)
    except Exception:  # noqa: BLE001 - refused here, answered there
        return False
    repeated = {name: np.repeat(values, len(near), axis=0) for name, values in given.items()}
    found = _differences(answers, repeated, tolerance)
    return bool((~(found.label | found.beyond)).any())


def _differences(expected: Answers, given: Answers, tolerance: float) -> _Differences:
    count = len(next(iter(expected.values())))
    label = np.zeros(count, bool)
    beyond = np.zeros(count, bool)
    absolute: Array = np.zeros(count)
    relative: Array = np.zeros(count)
    for name, wanted in expected.items():
        if name not in given:  # an output that the graph does not have
            continue
        got = given[name]
        if wanted.dtype.kind not in "fc":
            label |= (wanted != got).reshape(count, -1).any(axis=1)
            continue
        a = got.astype(np.float64).reshape(count, -1)
        b = wanted.astype(np.float64).reshape(count, -1)
        with np.errstate(all="ignore"):
            difference = np.abs(a - b)
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            odd = ~same & ~np.isfinite(difference)
            difference = np.where(same | odd, 0.0, difference)
            beyond |= (odd | (difference > tolerance + tolerance * np.abs(b))).any(axis=1)
            # Beside zero a relative difference says nothing.
            part = np.where(np.abs(b) > tolerance, difference / np.abs(b), 0.0)
        absolute = np.maximum(absolute, difference.max(axis=1, initial=0.0))
        relative = np.maximum(relative, part.max(axis=1, initial=0.0))
        if name == "label":
            label |= (~same).any(axis=1)
    return _Differences(label, absolute, relative, beyond)


class _Tally:
    """Adds up what a report says."""

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance
        self._rows = self._probes = self._labels = self._ties = self._beyond = 0
        self._absolute = self._relative = 0.0
        self._worst: tuple[float, Row] | None = None
        self._reason: str | None = None

    def failed(self, rows: list[Row], marks: list[bool], reason: str) -> None:
        """Count rows that could not be compared as disagreements."""
        self._rows += len(rows)
        self._probes += sum(marks)
        self._labels += len(rows)
        self._reason = self._reason or reason
        self._worse(np.inf, rows[0])

    def add(self, rows: list[Row], marks: list[bool], found: _Differences, tied: Array) -> None:
        """Count compared rows."""
        self._rows += len(rows)
        self._probes += sum(marks)
        self._ties += int(tied.sum())
        label, beyond = found.label & ~tied, found.beyond & ~tied
        self._labels += int(label.sum())
        self._beyond += int(beyond.sum())
        badness = np.where(tied, 0.0, 1e12 * label + 1e6 * beyond + found.absolute)
        worst = int(badness.argmax())
        if badness[worst] > 0:
            self._worse(float(badness[worst]), rows[worst])
        self._absolute = max(self._absolute, float(found.absolute[~tied].max(initial=0.0)))
        self._relative = max(self._relative, float(found.relative[~tied].max(initial=0.0)))

    def _worse(self, badness: float, row: Row) -> None:
        if self._worst is None or badness > self._worst[0]:
            self._worst = (badness, row)

    def report(self, precision: Precision) -> ParityReport:
        """What was found."""
        return ParityReport(
            rows=self._rows,
            probes=self._probes,
            max_abs_diff=self._absolute,
            max_rel_diff=self._relative,
            label_disagreements=self._labels,
            ties=self._ties,
            tolerance=self.tolerance,
            precision=precision,
            worst_row=None if self._worst is None else self._worst[1],
            beyond_tolerance=self._beyond,
            reason=self._reason,
        )
