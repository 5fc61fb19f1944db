"""The comparison of a converted model with the original, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from foretell.convert.measure import Measure
from foretell.convert.native import is_integer
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

_WHOLE: Final = 2.0**40
"""Beyond this, a few float64 steps beside an integer could be the next integer."""

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
        rows: The first rows of the sample.
        probes: Generated rows.
        tolerance: What numbers may differ by: probabilities by it and this part of themselves; others by this part
            of the spread of the original's answers on the sample, and of their own distance from those.
        precision: Goes into the report.
        on_progress: Is told the fraction that is done.
    """
    session = Session(served.model)
    parser = Parser(served.signature, max_rows=_CHUNK)
    # The sample is answered as it was given: in other dtypes the original may answer something else.
    answered = original.answer_sample(len(rows))
    tally = _Tally(tolerance)
    judge = _Judge(original, served.frame, tolerance, _measures(answered))

    def weigh(some: list[Row], expected: Answers, *, generated: bool) -> None:
        try:
            given = served.answer(session, parser, some)
        except ForetellError as error:
            tally.failed(
                some, f"the ONNX form fails where the original answers: {error}", generated=generated
            )
            return
        odd = judge.misshapen(expected, given)
        if odd is not None:
            tally.failed(some, odd, generated=generated)
            return
        found = judge.differences(expected, given)
        tally.add(some, found, judge.tied(some, found, expected, given), generated=generated)

    total = len(rows) + len(probes)
    for numbers, expected in answered:
        for begin in range(0, len(numbers), _CHUNK):
            part = slice(begin, begin + _CHUNK)
            some = [rows[number] for number in numbers[part]]
            weigh(some, {name: values[part] for name, values in expected.items()}, generated=False)
    on_progress(len(rows) / total)
    for begin in range(0, len(probes), _CHUNK):
        batch = probes[begin : begin + _CHUNK]
        for numbers, expected in original.answer_each(batch):
            weigh([batch[number] for number in numbers], expected, generated=True)
        on_progress(min(1.0, (len(rows) + begin + _CHUNK) / total))
    return tally.report(precision)


def _measures(answered: list[tuple[list[int], Answers]]) -> dict[str, Measure]:
    """How the numbers that have no bounds vary over the sample, by output."""
    return {
        name: Measure.of(np.concatenate([answers[name] for _, answers in answered]))
        for name, values in answered[0][1].items()
        if not _has_bounds(name) and _is_number(name, values)
    }


def _has_bounds(name: str) -> bool:
    return name == "label" or name.startswith("probabilities")


def _is_number(name: str, values: Array) -> bool:
    return values.dtype.kind in "fc" or (values.dtype.kind in "iu" and name != "label")


class _Judge:
    """Tells rows that are answered alike from those that are not."""

    def __init__(
        self, original: Original, frame: Frame, tolerance: float, measures: dict[str, Measure]
    ) -> None:
        self._original = original
        self._frame = frame
        self._tolerance = tolerance
        self._measures = measures

    @staticmethod
    def misshapen(expected: Answers, given: Answers) -> str | None:
        """Why two answers cannot be compared, if they cannot."""
        for name, values in expected.items():
            if name in given and given[name].shape != values.shape:
                return f"{name!r} has the shape {given[name].shape} instead of {values.shape}"
        return None

    def tied(self, rows: list[Row], found: _Differences, expected: Answers, given: Answers) -> Array:
        """``bool[rows]``: where they differ and either answer would do."""
        differs = np.flatnonzero(found.label | found.beyond)
        tied: Array = np.zeros(len(rows), bool)
        if not differs.size:
            return tied
        some = [rows[index] for index in differs]
        # A label may go either way where the best two are equally good; numbers must still agree.
        tied[differs] = self._original.undecided(some, self._tolerance) & ~found.beyond[differs]
        tied[differs] |= self._original.at_a_vote(some, self._tolerance)
        convicted = 0
        left: list[int] = differs[~tied[differs]].tolist()
        for index in left:
            if convicted == _CONVICTED:
                break
            wanted, got = (
                {name: values[index : index + 1] for name, values in answers.items()}
                for answers in (expected, given)
            )
            tied[index] = self._on_an_edge(rows[index], wanted, got)
            convicted += not tied[index]
        return tied

    def _on_an_edge(self, row: Row, wanted: Answers, given: Answers) -> bool:
        """Whether the original answers the same within a few float64 steps of the row: rounding alone decides there."""
        columns = self._frame.columns
        numeric = [
            at
            for at, column in enumerate(columns)
            if column.kind == "float"
            and row[at] is not None
            and not (is_integer(column.native) and abs(float(row[at] or 0)) > _WHOLE)
        ]
        if not numeric:
            return False
        near = [row, *self._beside(row, numeric)]
        try:
            answers = self._original.answer(near, as_float64=True)
        except Exception:  # noqa: BLE001 - refused here, answered there
            return False
        if self._alike(wanted, answers, slice(0, 1)).any():
            return bool(self._alike(given, answers, slice(1, None)).any())
        return False  # where its dtype matters, what it says in float64 excuses nothing

    def _alike(self, one: Answers, several: Answers, part: slice) -> Array:
        chosen = {name: values[part] for name, values in several.items()}
        count = len(next(iter(chosen.values())))
        repeated = {name: np.repeat(values, count, axis=0) for name, values in one.items()}
        found = self.differences(chosen, repeated)
        return ~(found.label | found.beyond)

    def _beside(self, row: Row, numeric: list[int]) -> list[Row]:
        random = np.random.default_rng(0)
        rows = self._frame.rows[:100]
        scale = {at: max((abs(float(r[at] or 0.0)) for r in rows), default=1.0) for at in numeric}
        near: list[Row] = []
        for ulps in _ULPS:
            moves = [{at: sign} for at in numeric[:64] for sign in (-1, 1)]
            moves += [
                dict(zip(numeric, random.choice([-1, 1], len(numeric)).tolist(), strict=True))
                for _ in range(16)
            ]
            for move in moves:
                cells: list[Any] = list(row)
                for at, sign in move.items():
                    value = float(cells[at])
                    cells[at] = value + sign * ulps * float(np.spacing(max(abs(value), 1e-3 * scale[at])))
                near.append(tuple(cells))
        return near

    def differences(self, expected: Answers, given: Answers) -> _Differences:
        """How far apart answers to the same rows are."""
        count = len(next(iter(expected.values())))
        label = np.zeros(count, bool)
        beyond = np.zeros(count, bool)
        absolute: Array = np.zeros(count)
        relative: Array = np.zeros(count)
        for name, wanted in expected.items():
            if name not in given:  # an output that the graph does not have
                continue
            got = given[name]
            if not _is_number(name, wanted):
                label |= (wanted != got).reshape(count, -1).any(axis=1)
                continue
            a = got.astype(np.float64).reshape(count, -1)
            b = wanted.astype(np.float64).reshape(count, -1)
            measure = self._measures.get(name)
            with np.errstate(all="ignore"):
                difference = np.abs(a - b)
                same = (a == b) | (np.isnan(a) & np.isnan(b))
                odd = ~same & ~np.isfinite(difference)
                difference = np.where(same | odd, 0.0, difference)
                allowed = self._tolerance * (1 + np.abs(b) if measure is None else measure.size(b))
                beyond |= (odd | (difference > allowed)).any(axis=1)
                # Beside zero a relative difference says nothing.
                zero = self._tolerance * (1.0 if measure is None else measure.spread)
                part = np.where(np.abs(b) > zero, difference / np.abs(b), 0.0)
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

    def failed(self, rows: list[Row], reason: str, *, generated: bool) -> None:
        """Count rows that could not be compared as disagreements."""
        self._rows += len(rows)
        self._probes += generated * len(rows)
        self._labels += len(rows)
        self._reason = self._reason or reason
        self._worse(np.inf, rows[0])

    def add(self, rows: list[Row], found: _Differences, tied: Array, *, generated: bool) -> None:
        """Count compared rows."""
        self._rows += len(rows)
        self._probes += generated * len(rows)
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
