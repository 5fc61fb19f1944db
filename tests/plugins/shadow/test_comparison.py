"""Two answers agree row by row: floats within the tolerances, everything else if it is equal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from foretell_plugins.shadow.comparison import Comparison, compare


def compared(
    ours: dict[str, Any],
    theirs: dict[str, Any],
    rows: int,
    decisive: tuple[str, ...] = ("Y",),
    *,
    rtol: float = 0.0,
    atol: float = 0.0,
) -> Comparison:
    return compare(
        {name: np.asarray(value) for name, value in ours.items()},
        {name: np.asarray(value) for name, value in theirs.items()},
        rows,
        decisive=decisive,
        rtol=rtol,
        atol=atol,
    )


def texts(*values: str) -> Any:
    return np.array(values, dtype=object)


@pytest.mark.parametrize(
    ("ours", "theirs", "differing"),
    [
        (texts("a", "b", "c"), texts("a", "x", "c"), (1,)),
        ([1, 2, 3], [1, 2, 4], (2,)),
        ([True, False, True], [True, False, True], ()),
        ([[1, 2], [3, 4], [5, 6]], [[1, 2], [3, 0], [5, 6]], (1,)),
        ([1.0, 2.0, 3.0], [1.0, 2.5, 3.0], (1,)),
        ([np.nan, 2.0, np.nan], [np.nan, np.nan, 3.0], (1, 2)),
        ([np.inf, -np.inf, np.inf], [np.inf, np.inf, 3.0], (1, 2)),
        (7, 7, ()),
        (7, 8, (0, 1, 2)),
        ([1.0, 2.0], [1.0, 2.5], (0, 1, 2)),
        ([1, 2, 3], [1, 2], (0, 1, 2)),
        ([1.0, 2.0, 3.0], [[1.0], [2.0], [3.0]], (0, 1, 2)),
    ],
    ids=[
        "texts", "integers", "booleans", "more than one a row", "floats", "nan", "infinity", "one for all rows, equal",
        "one for all rows", "another length than the rows", "another length than ours", "another rank",
    ],
)  # fmt: skip
def test_the_rows_that_differ_are_found(ours: Any, theirs: Any, differing: tuple[int, ...]) -> None:
    found = compared({"Y": ours}, {"Y": theirs}, 3)
    assert (found.rows, found.agreed, found.differing) == (3, 3 - len(differing), differing)


def test_an_infinity_is_near_nothing_but_itself_whatever_the_tolerance() -> None:
    found = compared({"Y": [np.inf, np.inf, 3.0]}, {"Y": [np.inf, 3.0, np.inf]}, 3, rtol=0.5, atol=1)
    assert (found.differing, found.difference) == ((1, 2), np.inf)


@pytest.mark.parametrize(
    ("other", "rtol", "atol", "agrees"),
    [
        (100.9, 0.01, 0, True),
        (99.1, 0.01, 0, True),
        (101.1, 0.01, 0, False),
        (100.5, 0, 0.6, True),
        (100.7, 0, 0.6, False),
        (101.5, 0.01, 0.6, True),
    ],
)
def test_floats_agree_within_the_tolerances(other: float, rtol: float, atol: float, agrees: bool) -> None:
    found = compared({"Y": [100.0]}, {"Y": [other]}, 1, rtol=rtol, atol=atol)
    assert (found.agreed == 1) is agrees
    assert found.difference == pytest.approx(abs(other - 100))


def test_outputs_that_do_not_decide_count_only_for_the_difference() -> None:
    ours = {"label": texts("a", "b"), "p": [[0.9, 0.1], [0.2, 0.8]], "id": [1, 2]}
    theirs = {"label": texts("a", "b"), "p": [[0.6, 0.4], [0.2, 0.8]], "id": [3, 4]}
    found = compared(ours, theirs, 2, ("label",))
    assert found.agreed == 2
    assert found.difference == pytest.approx(0.3)
    assert compared(ours, theirs, 2, ("label", "p")).differing == (0,)


def test_no_more_than_ten_rows_are_named() -> None:
    found = compared({"Y": [0] * 50}, {"Y": [1] * 50}, 50)
    assert (found.agreed, found.differing) == (0, tuple(range(10)))


def test_small_floats_do_not_overflow() -> None:
    half = np.array([6e4], dtype=np.float16)
    assert compared({"Y": half}, {"Y": -half}, 1, rtol=1).difference == pytest.approx(12e4, rel=1e-3)


@given(
    arrays.arrays(
        st.sampled_from([np.float32, np.float64, np.int64, np.bool_]),
        st.tuples(st.integers(1, 5), st.integers(0, 3)),
    )
)
def test_an_answer_agrees_with_itself(array: Any) -> None:
    found = compared({"Y": array}, {"Y": array.copy()}, len(array))
    assert (found.agreed, found.difference) == (len(array), 0)
