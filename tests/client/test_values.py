"""What callers may hand over, and the body that becomes of it."""

from __future__ import annotations

import datetime as dt
import json
import multiprocessing
from collections import UserDict, deque
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.client import ForetellError, InvalidInputError, OverloadedError, Prediction, Problem
from foretell.client import errors as all_errors
from foretell.client.values import encode_data

NAN = float("nan")
FRAME = pd.DataFrame(
    {
        "whole": np.array([1, 2], dtype=np.int8),
        "real": [0.5, NAN],
        "text": ["a", None],
        "flag": [True, False],
        "some": pd.array([1, None], dtype="Int64"),
        "kind": pd.Categorical(["x", "y"]),
    }
)

GIVEN: dict[str, tuple[Any, Any]] = {
    "lists": ([[1, 2.5], (True, "x")], {"instances": [[1, 2.5], [True, "x"]]}),
    "records": ([{"a": 1, "b": None}], {"instances": [{"a": 1, "b": None}]}),
    "scalars": (["good", "bad"], {"instances": ["good", "bad"]}),
    "a tuple": (([1],), {"instances": [[1]]}),
    "gaps in lists": ([[1, NAN], [None, 2]], {"instances": [[1, None], [None, 2]]}),
    "gaps in records": ([{"a": NAN}, {"a": pd.NA}, {"a": pd.NaT}], {"instances": [{"a": None}] * 3}),
    "other collections": (
        [deque([1, 2]), UserDict(a=1), range(2)],
        {"instances": [[1, 2], {"a": 1}, [0, 1]]},
    ),
    "columns": ({"a": [1, 2], "b": ("x", None)}, {"inputs": {"a": [1, 2], "b": ["x", None]}}),
    "columns of arrays": (
        {"a": np.array([1, 2]), "b": np.array([1.5, NAN])},
        {"inputs": {"a": [1, 2], "b": [1.5, None]}},
    ),
    "columns of series": (
        {"a": pd.Series([1, 2], index=["x", "y"]), "b": pd.Series([NAN, 1])},
        {"inputs": {"a": [1, 2], "b": [None, 1.0]}},
    ),
    "a frame": (
        FRAME,
        {
            "inputs": {
                "whole": [1, 2],
                "real": [0.5, None],
                "text": ["a", None],
                "flag": [True, False],
                "some": [1, None],
                "kind": ["x", "y"],
            }
        },
    ),
    "a series with a name": (pd.Series([1, 2], name="a"), {"inputs": {"a": [1, 2]}}),
    "a series without": (pd.Series([1, 2]), {"instances": [1, 2]}),
    "rows of a frame": (
        [pd.Series({"b": 2, "a": 1}), pd.Series([1, 2])],
        {"instances": [{"b": 2, "a": 1}, [1, 2]]},
    ),
    "an array": (np.array([[1, 2], [3, 4]]), {"instances": [[1, 2], [3, 4]]}),
    "an array with gaps": (np.array([[1, NAN]]), {"instances": [[1.0, None]]}),
    "an array of objects": (np.array([["a", None, NAN]], dtype=object), {"instances": [["a", None, None]]}),
    "an array of records": (
        np.array([(1, 0.5)], dtype=[("a", "i4"), ("b", "f8")]),
        {"instances": [[1, 0.5]]},
    ),
    "rows of an array": ([*np.array([[1, 2]])], {"instances": [[1, 2]]}),
    "scalars of numpy": (
        [[np.int64(1), np.float64(0.5), np.bool_(True), np.str_("x"), np.float32(0.5), np.longdouble(2)]],
        {"instances": [[1, 0.5, True, "x", 0.5, 2.0]]},
    ),
    "gaps of numpy": (
        [[np.float32("nan"), np.float64("nan"), np.longdouble("nan")]],
        {"instances": [[None] * 3]},
    ),
    "nothing": ([], {"instances": []}),
    "text in other scripts": ([["Grüße", "🌸", '"\\\n']], {"instances": [["Grüße", "🌸", '"\\\n']]}),
}


@pytest.mark.parametrize(("data", "body"), GIVEN.values(), ids=GIVEN.keys())
def test_what_is_given_becomes_this_body(data: Any, body: Any) -> None:
    assert json.loads(encode_data(data)) == body


def test_a_float32_comes_back_as_itself() -> None:
    values = np.random.default_rng(7).standard_normal(1000).astype(np.float32)
    sent = json.loads(encode_data(values))["instances"]
    assert np.array_equal(np.array(sent, dtype=np.float32), values)


def test_what_is_given_is_not_changed() -> None:
    frame, rows = FRAME.copy(), [[1, NAN]]
    encode_data(frame)
    encode_data(rows)
    pd.testing.assert_frame_equal(frame, FRAME)
    assert rows == [[1, rows[0][1]]]


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "infinity": ([[1, 2], [3, float("inf")]], InvalidInputError, r"^\$\.instances\[1\]\[1\]: .*got inf"),
    "infinity in a frame": (
        pd.DataFrame({"a": [-np.inf]}),
        InvalidInputError,
        r"^\$\.inputs\.a\[0\]: .*got -inf",
    ),
    "half a surrogate pair": ([["\ud800"]], InvalidInputError, "half a surrogate pair"),
    "a column that stands twice": (
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        InvalidInputError,
        "'a' stands 2 times",
    ),
    "a date": ([{"day": dt.date(2024, 1, 2)}], TypeError, r"^\$\.instances\[0\]\.day: .*got date"),
    "a decimal": ([[Decimal("1.5")]], TypeError, r"^\$\.instances\[0\]\[0\]: .*Decimal\('1.5'\)"),
    "bytes": ([[b"x"]], TypeError, r"\[0\]\[0\]: .*got bytes"),
    "a set": ([{1, 2}], TypeError, "got set"),
    "timestamps in a frame": (
        pd.DataFrame({"a": [1], "day": [pd.Timestamp("2024-01-02")]}),
        TypeError,
        r"^\$\.inputs\.day\[0\]: .*got Timestamp",
    ),
    "durations in a frame": (pd.DataFrame({"a": [pd.Timedelta(1)]}), TypeError, "got Timedelta"),
    "dates in an array": (np.array([["2024-01-02"]], dtype="M8[ns]"), TypeError, r"^\$\.instances: .*a date"),
    "dates in a column": (
        {"day": np.array(["2024-01-02"], dtype="M8[ns]")},
        TypeError,
        r"^\$\.inputs\.day: .*a date",
    ),
    "a date of numpy": ([[np.datetime64("2024-01-02", "ns")]], TypeError, r"\[0\]\[0\]: .*a date"),
    "complex numbers": (np.array([[1j]]), TypeError, "a complex number"),
    "a row for columns": (
        pd.DataFrame({"a": [1], "b": [2]}).iloc[0],
        TypeError,
        r"0 cannot name one: pass \[series\]",
    ),
    "a frame without names": (pd.DataFrame([[1, 2]]), TypeError, "named by texts, got 0"),
    "columns without names": ({1: [2]}, TypeError, "named by texts, got 1"),
    "a text": ("good", TypeError, "got str"),
    "a number": (1, TypeError, "got int"),
    "an array without axes": (np.array(1.0), TypeError, r"pass \[value\]"),
    "nothing at all": (None, TypeError, "got NoneType"),
    "a generator": ((row for row in [[1]]), TypeError, "got generator"),
}


@pytest.mark.parametrize(("data", "kind", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_sent_is_refused_with_its_place(data: Any, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        encode_data(data)


def test_an_infinity_is_told_as_the_server_tells_of_problems() -> None:
    with pytest.raises(InvalidInputError) as caught:
        encode_data([{"a": float("inf")}])
    problem = Problem("$.instances[0].a", "expected a finite number, got inf: JSON has no infinity")
    assert (caught.value.errors, caught.value.status) == ((problem,), None)


CELLS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)


@given(
    st.lists(
        st.lists(CELLS, max_size=4) | st.dictionaries(st.text(max_size=4), CELLS, max_size=4), max_size=4
    )
)
def test_a_gap_somewhere_changes_nothing_elsewhere(rows: list[Any]) -> None:
    whole = json.loads(encode_data(rows))["instances"]
    assert json.loads(encode_data([*rows, NAN]))["instances"] == [*whole, None]
    assert whole == rows


# ------------------------------------------------------------------ answers


def prediction(rows: list[Any] | None = None, columns: dict[str, Any] | None = None) -> Prediction:
    return Prediction(rows, columns, "m", "1", "r")


def test_columns_and_rows_give_the_same() -> None:
    rows = [{"label": "a", "scores": 0.5}, {"label": "b", "scores": 1.5}]
    columns = {"label": ["a", "b"], "scores": [[0.5], [1.5]]}
    assert prediction(columns=columns).predictions == rows
    assert prediction(rows).outputs == {"label": ["a", "b"], "scores": [0.5, 1.5]}
    assert prediction(columns=columns).labels == prediction(rows).labels == ["a", "b"]


def test_only_what_has_width_one_is_a_scalar() -> None:
    assert prediction(columns={"y": [[1.0], [2.0]]}).predictions == [1.0, 2.0]
    assert prediction(columns={"y": [[[1.0, 2.0]], [[3.0, 4.0]]]}).predictions == [[[1.0, 2.0]], [[3.0, 4.0]]]
    assert prediction(columns={"y": [[1.0, 2.0]]}).predictions == [[1.0, 2.0]]


@pytest.mark.parametrize(
    "columns", [{"y": 1.0}, {"y": [1], "z": [1, 2]}, {}], ids=["scalar", "lengths", "none"]
)
def test_outputs_that_are_no_rows_are_only_columns(columns: dict[str, Any]) -> None:
    with pytest.raises(LookupError, match="see `columns`"):
        _ = prediction(columns=columns).predictions
    assert prediction(columns=columns).outputs == columns


def test_an_output_that_is_not_there_is_told_with_what_is() -> None:
    with pytest.raises(LookupError, match="no output 'probabilities', but 'y'"):
        _ = prediction(columns={"y": [1]}).probabilities
    with pytest.raises(LookupError, match="does not name its one output"):
        _ = prediction([1.0]).labels


# ------------------------------------------------------------------ errors


def test_errors_survive_being_sent_to_another_process() -> None:
    kinds = [
        kind
        for kind in vars(all_errors).values()
        if isinstance(kind, type) and issubclass(kind, ForetellError)
    ]
    assert len(kinds) == 9
    for kind in kinds:
        error = kind("no", status=503, errors=(Problem("$", "x"),), request_id="r", retry_after_s=1.5)
        error.tries = 2
        here, there = multiprocessing.Pipe()
        with here, there:
            there.send(error)
            twin = here.recv()
        assert type(twin) is kind
        assert vars(twin) == vars(error)
        assert str(twin) == "no (status 503, request r, 2 tries)"


def test_an_error_says_what_it_knows_and_no_more() -> None:
    assert str(OverloadedError("full")) == "full"
    assert str(OverloadedError("full", status=503)) == "full (status 503)"


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    for name in all_errors.__all__:
        kind = getattr(all_errors, name)
        if isinstance(kind, type) and issubclass(kind, ForetellError):
            assert name in (all_errors.__doc__ or "")
