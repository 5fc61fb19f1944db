"""Rows made up to find where a converted model might answer differently from the original."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from foretell.convert.choices import UNSEEN
from foretell.convert.native import is_integer, rounds_to
from foretell.convert.text_probes import text_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from foretell.convert.frame import Frame, Row
    from foretell.convert.original import Answers, Original
    from foretell.signature import Signature
    from foretell.tensors import Array

__all__ = ["distance", "make_probes"]

_STEPS: Final = 80
"""Halvings until two float64 numbers are neighbours, or nearly so."""

_ASKED_AT_ONCE: Final = 500
"""How many rows an estimator is asked in about the time of one: so many halvings are looked ahead."""

_ASIDE: Final = (1e-12, 1e-9, 1e-8, 1e-7)
"""How far beside a jump to look as well, relative to the distance of the rows that it was found between."""


def make_probes(
    original: Original,
    frame: Frame,
    count: int,
    seed: int,
    on_progress: Callable[[float], None],
    *,
    signature: Signature | None = None,
) -> list[Row]:
    """Generate rows.

    Args:
        original: The estimator, which is asked where its answer changes.
        frame: The sample that rows are made from.
        count: How many at most.
        seed: The same seed gives the same rows.
        on_progress: Is told the fraction that is done.
        signature: What the served model takes; texts that it refuses are not made.

    Returns:
        Rows of JSON values.
    """
    random = np.random.default_rng(seed)
    rows: list[Row] = []
    rows += _take(random, list(_edges(frame, random)), count // 10)
    rows += _take(random, list(_missing(frame, random, count // 10)), count // 10)
    rows += _take(random, list(_combinations(frame, random, count // 10)), count // 10)
    rows += _texts(frame, random, count // 4, signature)
    on_progress(0.1)
    rows += _take(random, list(_straddled(original, frame, random, count // 3)), count // 3)
    on_progress(0.3)
    rest = max(0, count - len(rows))
    rows += _take(
        random,
        list(_jumps(original, frame, random, rest // 10, lambda done: on_progress(0.3 + 0.7 * done))),
        rest,
    )
    on_progress(1.0)
    return rows


def _texts(frame: Frame, random: np.random.Generator, count: int, signature: Signature | None) -> list[Row]:
    columns = () if signature is None else signature.columns
    enforced = signature is not None and "categories" in signature.enforce
    refused = {column.name: column.excluded for column in columns}
    closed = frozenset(column.name for column in columns if enforced and column.categories)
    nonempty = frozenset(column.name for column in columns if column.nonempty)
    return list(text_rows(frame, random, count, refused, closed, nonempty))


def distance(first: Answers, second: Answers) -> Array:
    """``float64[rows]``: how far apart two answers are; another label is further than any number."""
    total: Array = np.zeros(len(next(iter(first.values()))))
    for name, values in first.items():
        other = second[name]
        if values.dtype.kind in "fc":
            difference = np.abs(np.nan_to_num(values) - np.nan_to_num(other))
            total = total + difference.reshape(len(total), -1).sum(axis=1)
        else:
            total = total + 1e12 * (values != other).reshape(len(total), -1).any(axis=1)
    return total


def _take(random: np.random.Generator, rows: list[Row], count: int) -> list[Row]:
    if len(rows) <= count:
        return rows
    return [rows[index] for index in sorted(random.choice(len(rows), count, replace=False))]


def _numeric(frame: Frame) -> list[int]:
    return [at for at, column in enumerate(frame.columns) if column.kind in {"int", "float"}]


def _integers(frame: Frame) -> list[int]:
    """The columns that held integers in the sample, though a tensor of floats may take them."""
    return [
        at
        for at, column in enumerate(frame.columns)
        if column.kind == "int" or (column.kind == "float" and is_integer(column.native))
    ]


def _snapped(frame: Frame, values: Array, numeric: list[int], *, whole: bool) -> Array:
    """Numbers ``[rows, numeric columns]`` as their columns hold them: integers, or rounded to a narrow type.

    Args:
        frame: The sample.
        values: The numbers.
        numeric: The columns' places.
        whole: Whether columns that hold integers but would take others get integers too.
    """
    snapped = values.copy()
    integers = set(_integers(frame))
    for place, at in enumerate(numeric):
        column = frame.columns[at]
        narrow = rounds_to(column.native)
        if column.kind == "int" or (whole and at in integers):
            snapped[:, place] = np.floor(values[:, place])
        elif narrow is not None:
            with np.errstate(over="ignore"):
                snapped[:, place] = values[:, place].astype(narrow)
    return snapped


def _replace(row: Row, at: int, value: Any) -> Row:
    return (*row[:at], value, *row[at + 1 :])


def _any_row(frame: Frame, random: np.random.Generator) -> Row:
    return frame.rows[int(random.integers(len(frame.rows)))]


def _edges(frame: Frame, random: np.random.Generator) -> Iterator[Row]:
    """The ends of each column's range, zero, and a little beyond; each category."""
    for at, column in enumerate(frame.columns):
        present = frame.present(at)
        if not present:
            continue
        if column.kind in {"string", "bool"}:
            values: list[Any] = sorted(set(present), key=str)
            if column.kind == "string":
                values.append(UNSEEN["string"])
        else:
            low, high = min(present), max(present)
            values = [low, high, low - (high - low), high + (high - low), type(low)(0)]
            if column.kind == "int":
                values = [value for value in values if -(2**63) <= value < 2**63]
        for value in values:
            yield _replace(_any_row(frame, random), at, value)


def _missing(frame: Frame, random: np.random.Generator, count: int) -> Iterator[Row]:
    """Rows with gaps where gaps are allowed."""
    nullable = [at for at, column in enumerate(frame.columns) if column.nullable]
    if not nullable:
        return
    for index in range(count):
        row = _replace(_any_row(frame, random), nullable[index % len(nullable)], None)
        for at in nullable:
            if random.random() < 0.2:
                row = _replace(row, at, None)
        yield row


def _combinations(frame: Frame, random: np.random.Generator, count: int) -> Iterator[Row]:
    """Each column's value from another row of the sample."""
    for _ in range(count):
        yield tuple(_any_row(frame, random)[at] for at in range(len(frame.columns)))


def _straddled(original: Original, frame: Frame, random: np.random.Generator, count: int) -> Iterator[Row]:
    """The thresholds of trees that look at the raw columns, and the numbers next to them."""
    numeric, integers = set(_numeric(frame)), _integers(frame)
    for at, value in _sampled(
        random,
        [(place, whole) for place in integers for whole in sorted(set(frame.present(place)))],
        count // 6,
    ):
        for step in (-1, 1):
            yield _replace(_any_row(frame, random), at, value + step)
    thresholds = [(at, value) for at, value in original.thresholds() if at in numeric]
    for at, value in _sampled(random, thresholds, max(1, count // 7)):
        if at in integers:
            kind = int if frame.columns[at].kind == "int" else float
            for step in (-1, 0, 1, 2):
                yield _replace(_any_row(frame, random), at, kind(np.floor(value) + step))
        if frame.columns[at].kind == "int":
            continue
        single = np.float32(value)
        for near in (
            value,
            np.nextafter(value, -np.inf),
            np.nextafter(value, np.inf),
            single,
            np.nextafter(single, np.float32(-np.inf)),
            np.nextafter(single, np.float32(np.inf)),
            (float(single) + float(np.nextafter(single, np.float32(np.inf)))) / 2,
        ):
            if np.isfinite(near):
                yield _replace(_any_row(frame, random), at, float(near))


def _sampled(
    random: np.random.Generator, values: Sequence[tuple[int, float]], count: int
) -> list[tuple[int, float]]:
    if len(values) <= count:
        return list(values)
    return [values[index] for index in sorted(random.choice(len(values), count, replace=False))]


def _jumps(
    original: Original,
    frame: Frame,
    random: np.random.Generator,
    count: int,
    on_progress: Callable[[float], None],
) -> Iterator[Row]:
    """Between pairs of rows, the neighbouring numbers where the original's answer changes most."""
    integers = _integers(frame)
    if any(frame.columns[at].kind == "float" for at in integers):  # look for both kinds of numbers there
        yield from _jumps_of(
            original, frame, random, count // 2, lambda done: on_progress(done / 2), whole=True
        )
        count -= count // 2
    yield from _jumps_of(original, frame, random, count, on_progress, whole=False)


def _jumps_of(
    original: Original,
    frame: Frame,
    random: np.random.Generator,
    count: int,
    on_progress: Callable[[float], None],
    *,
    whole: bool,
) -> Iterator[Row]:
    numeric = _numeric(frame)
    if not numeric or len(frame.rows) < 2 or count < 1:
        return
    starts: list[Row] = []
    ends: list[Row] = []
    for index in range(count):
        start, other = _any_row(frame, random), _any_row(frame, random)
        # Every other pair differs in one column only, so that its jump is at a single threshold.
        varied = numeric if index % 2 else [numeric[int(random.integers(len(numeric)))]]
        end = start
        for at in varied:
            if start[at] is not None and other[at] is not None:
                end = _replace(end, at, other[at])
        starts.append(start)
        ends.append(end)
    try:
        lows, highs = _bisect(original, frame, starts, ends, numeric, on_progress, whole=whole)
    except Exception:  # noqa: BLE001 - what the estimator refuses is nothing to compare
        return
    for low, high, start, end in zip(lows, highs, starts, ends, strict=True):
        yield low
        yield high
        for step in _ASIDE:
            yield _beside(low, start, end, numeric, -step)
            yield _beside(high, start, end, numeric, step)


def _beside(row: Row, start: Row, end: Row, numeric: list[int], step: float) -> Row:
    for at in numeric:
        value, first, last = row[at], start[at], end[at]
        if (
            isinstance(value, float)
            and isinstance(first, float)
            and isinstance(last, float)
            and first != last
        ):
            row = _replace(row, at, value + step * (last - first))
    return row


def _bisect(
    original: Original,
    frame: Frame,
    starts: list[Row],
    ends: list[Row],
    numeric: list[int],
    on_progress: Callable[[float], None],
    *,
    whole: bool,
) -> tuple[list[Row], list[Row]]:
    low, high = _numbers(starts, numeric), _numbers(ends, numeric)
    low_answers, high_answers = original.answer(starts), original.answer(ends)
    pairs = np.arange(len(starts))
    ahead = max(1, (1 + _ASKED_AT_ONCE // len(starts)).bit_length() - 1)
    for step in range(0, _STEPS, ahead):
        middles = _middles(frame, low, high, numeric, ahead, whole=whole)
        asked = original.answer(_filled(starts * len(middles), numeric, np.concatenate(middles)))
        at = np.zeros(len(starts), np.int64)
        for _ in range(ahead):
            middle = np.stack(middles)[at, pairs]
            if bool(np.all((middle == low) | (middle == high) | np.isnan(middle))):
                return _filled(starts, numeric, low), _filled(starts, numeric, high)
            answers = {name: values[at * len(starts) + pairs] for name, values in asked.items()}
            before = distance(low_answers, answers)
            after = distance(answers, high_answers)
            in_first = before >= after
            low = np.where(in_first[:, None], low, middle)
            high = np.where(in_first[:, None], middle, high)
            low_answers = _chosen(in_first, low_answers, answers)
            high_answers = _chosen(in_first, answers, high_answers)
            at = 2 * at + np.where(in_first, 1, 2)
        on_progress(step / _STEPS)
    return _filled(starts, numeric, low), _filled(starts, numeric, high)


def _middles(
    frame: Frame, low: Array, high: Array, numeric: list[int], ahead: int, *, whole: bool
) -> list[Array]:
    """All that so many halvings may ask for: the middle, those of its two halves, and so on, level by level."""
    middles: list[Array] = []
    parts = [(low, high)]
    for _ in range(ahead):
        halves: list[tuple[Array, Array]] = []
        for first, last in parts:
            middle = _snapped(frame, first + (last - first) / 2, numeric, whole=whole)
            middles.append(middle)
            halves += [(first, middle), (middle, last)]
        parts = halves
    return middles


def _chosen(mask: Array, yes: Answers, no: Answers) -> Answers:
    return {
        name: np.where(mask.reshape(-1, *[1] * (values.ndim - 1)), values, no[name])
        for name, values in yes.items()
    }


def _numbers(rows: list[Row], numeric: list[int]) -> Array:
    return np.array([[np.nan if row[at] is None else row[at] for at in numeric] for row in rows], np.float64)


def _filled(rows: list[Row], numeric: list[int], values: Array) -> list[Row]:
    filled: list[Row] = []
    for row, numbers in zip(rows, values.tolist(), strict=True):
        cells = list(row)
        for at, number in zip(numeric, numbers, strict=True):
            if cells[at] is not None:
                cells[at] = int(number) if isinstance(cells[at], int) else number
        filled.append(tuple(cells))
    return filled
