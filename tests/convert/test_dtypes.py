"""The original is asked in the dtypes of the sample, and the served model answers what a caller with those would get."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVR, OneClassSVM
from sklearn.tree import DecisionTreeClassifier

from foretell.convert import convert
from foretell.convert.frame import Frame
from foretell.convert.original import Original
from foretell.convert.probes import make_probes
from foretell.tensors import Array
from tests.convert.served_answers import answers, json_rows


def silent(done: float) -> None:
    del done


def integers(dtype: str, high: int) -> Array:
    return np.random.default_rng(0).integers(1, high, (200, 3)).astype(dtype)


WRAPS: dict[str, tuple[Any, Array]] = {
    "uint8-square": (np.square, integers("uint8", 255)),
    "uint8-root": (np.sqrt, integers("uint8", 255)),
    "int32-square": (np.square, integers("int32", 100_000)),
    "int64-reciprocal": (np.reciprocal, integers("int64", 9)),
}


@pytest.mark.parametrize("named", [False, True], ids=["array", "frame"])
@pytest.mark.parametrize("kind", WRAPS)
def test_what_only_integers_make_of_a_function_is_found(kind: str, named: bool) -> None:
    function, X = WRAPS[kind]
    sample: Any = pd.DataFrame(X, columns=list("abc")) if named else X
    estimator = make_pipeline(FunctionTransformer(function), LinearRegression()).fit(sample, X.sum(1))
    assert not convert(estimator, sample, probes=100).agrees


def test_identifiers_beyond_float64_are_found() -> None:
    frame = pd.DataFrame({"id": np.array([2**53, 2**53 + 1, 2**53 + 2, 2**53 + 3] * 10)})
    estimator = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    conversion = convert(estimator.fit(frame, list("abcd") * 10), frame, probes=100)
    assert conversion.parity.label_disagreements > 0


def grid() -> tuple[Array, Array]:
    """float32 rows a few float32 steps apart, where rounding decides, and two classes."""
    steps = np.random.default_rng(0).integers(0, 300, (300, 3))
    X = (1e4 + steps * 0.001).astype(np.float32)
    return X, (X[:, 0] > X[:, 1]).astype(int)


FOREST = RandomForestClassifier(20, random_state=0)
NARROW: dict[str, Any] = {
    "standard": make_pipeline(StandardScaler(), FOREST),
    "min-max": make_pipeline(MinMaxScaler(clip=True), FOREST),
    "max-abs": make_pipeline(MaxAbsScaler(), FOREST),
    "robust": make_pipeline(RobustScaler(), FOREST),
    "linear": make_pipeline(StandardScaler(), LogisticRegression()),
    "bins": make_pipeline(KBinsDiscretizer(5, quantile_method="averaged_inverted_cdf"), LogisticRegression()),
}


@pytest.mark.parametrize("named", [False, True], ids=["array", "frame"])
@pytest.mark.parametrize("kind", NARROW)
def test_float32_rows_answer_as_before(kind: str, named: bool) -> None:
    X, y = grid()
    sample: Any = pd.DataFrame(X, columns=list("abc")) if named else X
    estimator = NARROW[kind].fit(sample, y)

    conversion = convert(estimator, sample, probes=300)

    assert conversion.agrees, conversion.parity
    assert {column.dtype for column in conversion.signature.columns} == {"float32"}
    given = answers(conversion, json_rows(sample))
    np.testing.assert_allclose(given["probabilities"], estimator.predict_proba(sample), atol=1e-5)


@pytest.mark.parametrize("others", [[], ["d"], ["k"], ["k", "d"]], ids=["narrow", "wide", "whole", "all"])
def test_narrow_columns_round_what_json_says(others: list[str]) -> None:
    """A decimal fraction is another number in float32; the caller's table would have rounded it, so the graph does."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": random.normal(size=200).round(2).astype(np.float32),
            "d": random.normal(size=200),
            "k": random.integers(0, 50, 200),
        }
    )[["a", *others]]
    estimator = make_pipeline(StandardScaler(), DecisionTreeClassifier(random_state=0))
    estimator.fit(frame, frame["a"] > 0.1)  # splits between what rounds to 0.1 and what is above

    conversion = convert(estimator, frame, probes=300, precision="float64" if others else "auto")

    assert conversion.agrees, conversion.parity
    assert conversion.signature.columns[0].dtype == "float32"
    held = frame["a"].astype(str).astype(float)  # as a person writes them
    rows = [(first, *row[1:]) for first, row in zip(held, json_rows(frame), strict=True)]
    given = answers(conversion, rows)["label"]
    assert given.tolist() == estimator.predict(frame).tolist()


def test_integers_beside_text_answer_as_before_up_to_the_threshold() -> None:
    random = np.random.default_rng(0)
    seconds = random.integers(1_690_000_000, 1_720_000_000, 300)
    frame = pd.DataFrame({"seconds": seconds, "city": random.choice(["x", "y"], 300)})
    columns = make_column_transformer((StandardScaler(), ["seconds"]), (OneHotEncoder(), ["city"]))
    estimator = make_pipeline(columns, DecisionTreeClassifier(max_depth=1)).fit(
        frame, seconds > 1_700_000_000
    )

    conversion = convert(estimator, frame, probes=300)

    assert conversion.agrees, conversion.parity
    assert conversion.parity.precision == "float64"
    below, above = max(s for s in seconds if s <= 1_700_000_000), min(s for s in seconds if s > 1_700_000_000)
    edge = (int(below) + int(above)) // 2
    near = pd.DataFrame({"seconds": list(range(edge - 300, edge + 300)), "city": ["x"] * 600})
    assert answers(conversion, json_rows(near))["label"].tolist() == estimator.predict(near).tolist()
    assert not convert(estimator, frame, probes=300, precision="float32").agrees


def test_probes_of_integers_lie_on_both_sides_of_a_jump() -> None:
    frame = pd.DataFrame({"n": [0, 40, 100_000_000] * 10, "t": ["x", "y", "x"] * 10})
    columns = make_column_transformer((StandardScaler(), ["n"]), (OneHotEncoder(), ["t"]))
    estimator = make_pipeline(columns, DecisionTreeClassifier()).fit(frame, frame["n"] > 40)
    original = Original(estimator, Frame.of(frame, estimator))
    probes = make_probes(original, original.frame, 200, 0, silent)
    values = [row[0] for row in probes]
    assert {type(value) for value in values} == {int}
    threshold = 50_000_020
    below = max(value for value in values if isinstance(value, int) and value <= threshold)
    above = min(value for value in values if isinstance(value, int) and value > threshold)
    assert above - below == 1


OFFSETS = 1e6 + np.random.default_rng(0).normal(size=(300, 3))


def test_small_targets_are_held_to_their_own_spread() -> None:
    y = 1e-6 * (OFFSETS.sum(1) - 3e6)
    estimator = LinearRegression().fit(OFFSETS, y)

    narrow = convert(estimator, OFFSETS, probes=100, precision="float32").parity
    assert narrow.beyond_tolerance > 0
    assert narrow.max_abs_diff < 1e-5
    assert narrow.max_rel_diff > 0.1
    conversion = convert(estimator, OFFSETS, probes=100)
    assert conversion.agrees
    given = answers(conversion, json_rows(OFFSETS))["prediction"].ravel()
    np.testing.assert_allclose(given, estimator.predict(OFFSETS), atol=1e-10)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_the_tolerance_means_the_same_in_every_unit(unit: float) -> None:
    X = np.random.default_rng(0).normal(size=(200, 3))
    estimator = LinearRegression().fit(X, unit * X.sum(1))
    assert convert(estimator, X, probes=100, precision="float32").agrees
    assert not convert(estimator, X, probes=100, precision="float32", tolerance=1e-10).agrees


@pytest.mark.parametrize(
    "estimator", [RandomForestRegressor(5, random_state=0), SVR()], ids=["forest", "vectors"]
)
def test_targets_far_from_zero_answer_as_before(estimator: Any) -> None:
    X = np.random.default_rng(0).normal(size=(200, 3))
    estimator.fit(X, 1e6 + X.sum(1))
    conversion = convert(estimator, X, probes=100)
    assert conversion.agrees, conversion.parity
    given = answers(conversion, json_rows(X))["prediction"].ravel()
    np.testing.assert_allclose(given - 1e6, estimator.predict(X) - 1e6, atol=1e-5)


def test_outliers_by_support_vectors_answer_as_before(iris: tuple[Array, Array]) -> None:
    X, _ = iris
    estimator = OneClassSVM(nu=0.3).fit(X)
    conversion = convert(estimator, X, probes=100, precision="float64")
    given = answers(conversion, json_rows(X))
    np.testing.assert_allclose(given["scores"], estimator.decision_function(X), atol=1e-12)


def test_an_estimator_that_is_never_sure_keeps_its_labels() -> None:
    """All its probabilities are within the tolerance of one half, and yet it tells the classes apart."""
    X = 1e3 + np.random.default_rng(0).normal(size=(300, 3))
    y = X.sum(1) > 3e3
    estimator = make_pipeline(StandardScaler(), LogisticRegression(C=1e-8)).fit(X, y)
    estimator[-1].intercept_[:] = 0.0
    conversion = convert(estimator, X, probes=100)
    assert conversion.agrees, conversion.parity
    assert answers(conversion, json_rows(X))["label"].tolist() == estimator.predict(X).tolist()


class Recorder(RegressorMixin, BaseEstimator):
    """Remembers the dtypes that it is asked in."""

    def fit(self, X: Array, y: Array) -> Recorder:
        self.seen_: list[str] = []
        del X, y
        return self

    def predict(self, X: Array) -> Array:
        self.seen_.append(X.dtype.name)
        return np.zeros(len(X))


@pytest.mark.parametrize(
    ("dtype", "value", "asked"),
    [
        ("uint8", 7.0, ["uint8"]),
        ("uint8", 300.0, ["int64"]),
        ("uint8", 0.5, ["float64"]),
        ("float32", 0.1, ["float32"]),
    ],
)
def test_rows_are_asked_in_the_dtype_that_holds_them(dtype: str, value: float, asked: list[str]) -> None:
    X = np.array([[1], [2]], dtype)
    estimator = Recorder().fit(X, np.zeros(2))
    Original(estimator, Frame.of(X, estimator)).answer([(value,)])
    assert estimator.seen_ == asked
