"""What cannot be converted is refused with the reason and the remedy."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import DBSCAN
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import NearestCentroid, RadiusNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVC

from foretell.convert import convert
from foretell.errors import ConversionError
from foretell.tensors import Array


def refused(estimator: Any, sample: Any, **options: Any) -> str:
    with pytest.raises(ConversionError) as caught:
        convert(estimator, sample, **options)
    return str(caught.value)


def double(X: Array) -> Array:
    return 2 * X


def test_an_estimator_without_an_onnx_form_is_named(iris: tuple[Array, Array]) -> None:
    X, y = iris
    assert "NearestCentroid has no ONNX form" in refused(NearestCentroid().fit(X, y), X)


def test_a_step_without_an_onnx_form_is_named(iris: tuple[Array, Array]) -> None:
    X, y = iris
    estimator = make_pipeline(StandardScaler(), SplineTransformer(), LogisticRegression(max_iter=5000)).fit(
        X, y
    )
    assert "step 'splinetransformer' (SplineTransformer) has no ONNX form: replace" in refused(estimator, X)


def test_a_function_of_ones_own_is_refused_with_the_ones_that_are_not(iris: tuple[Array, Array]) -> None:
    X, _ = iris
    message = refused(FunctionTransformer(double).fit(X), X)
    assert "FunctionTransformer(double) has no ONNX form" in message
    assert "log1p" in message


def test_what_converts_but_does_not_run_is_refused(cancer: tuple[Array, Array]) -> None:
    X, y = cancer
    estimator = RadiusNeighborsClassifier(radius=100.0).fit(X[:100, :8], y[:100])
    assert "ONNX Runtime cannot run the result" in refused(estimator, X[:100, :8])


def own_kernel(first: Array, second: Array) -> Array:
    return np.asarray(first @ np.transpose(second))


CONFIGURATIONS: dict[str, tuple[Callable[[Array, Array], Any], str]] = {
    "own-kernel": (lambda X, y: SVC(kernel=own_kernel).fit(X, y), "kernel="),
    "own-start": (
        lambda X, y: GradientBoostingClassifier(init=LogisticRegression(max_iter=5000)).fit(X, y),
        "init=None",
    ),
    "random": (lambda X, y: DummyClassifier(strategy="uniform").fit(X, y), "'prior'"),
    "own-target": (
        lambda X, y: TransformedTargetRegressor(Ridge(), transformer=QuantileTransformer(n_quantiles=5)).fit(
            X, X[:, 0]
        ),
        "StandardScaler",
    ),
    "no-predict": (lambda X, y: DBSCAN().fit(X), "neither predicts nor transforms"),
    "not-fitted": (lambda X, y: LogisticRegression(), "call fit first"),
    "other-library": (lambda X, y: object(), "no estimator of scikit-learn"),
}


@pytest.mark.parametrize("kind", CONFIGURATIONS)
def test_configurations_that_cannot_be_expressed_are_refused(kind: str, iris: tuple[Array, Array]) -> None:
    make, message = CONFIGURATIONS[kind]
    X, y = iris
    assert message in refused(make(X, y), X)


def test_rare_categories_of_an_ordinal_encoder_are_refused(customers: tuple[Any, Array]) -> None:
    frame, y = customers
    estimator = make_pipeline(OrdinalEncoder(min_frequency=100), LogisticRegression()).fit(frame[["plan"]], y)
    assert "infrequent categories" in refused(estimator, frame[["plan"]])


def test_an_encoder_trained_on_other_types_is_refused(customers: tuple[Any, Array]) -> None:
    frame, y = customers
    estimator = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    numbers = estimator.fit(frame[["age"]].astype(int), y)
    assert "same types as the training data" in refused(numbers, frame[["age"]].astype(str).astype(object))


SAMPLES: dict[str, tuple[Any, str]] = {
    "empty": (pd.DataFrame({"a": [], "b": []}), "no rows"),
    "flat": (np.arange(4.0), "rows and columns are needed"),
    "cube": (np.zeros((2, 2, 2)), "rows and columns are needed"),
    "ragged": ([[1.0, 2.0], [3.0]], "table"),
    "numbered": (pd.DataFrame(np.zeros((3, 2))), "must be non-empty strings, got 0"),
    "twice": (pd.DataFrame(np.zeros((3, 2)), columns=["a", "a"]), "'a' is there twice"),
    "infinite": (pd.DataFrame({"a": [1.0, np.inf], "b": [1.0, 2.0]}), "'a' holds an infinity"),
    "dates": (pd.DataFrame({"a": [dt.date(2024, 1, 1)] * 2, "b": [1.0, 2.0]}), "'a' holds date"),
    "mixed": (pd.DataFrame({"a": ["x", 1], "b": [1.0, 2.0]}), "'a' holds int and str"),
    "empty-and-missing": (pd.DataFrame({"a": ["", None], "b": [1.0, 2.0]}), "both missing and empty strings"),
    "huge": (pd.DataFrame({"a": [2**70, 1], "b": [1.0, 2.0]}), "beyond 64 bits"),
    "narrow": (np.zeros((3, 1)), "itself refuses the sample"),
    "missing-text": (["a", None], "no missing texts"),
}


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("kind", SAMPLES)
def test_a_sample_that_is_no_table_is_refused(kind: str) -> None:
    sample, message = SAMPLES[kind]
    estimator = RandomForestClassifier(2).fit(np.random.default_rng(0).random((10, 2)), [0, 1] * 5)
    assert message in refused(estimator, sample)


def test_columns_that_the_sample_lacks_are_named(customers: tuple[Any, Array]) -> None:
    frame, y = customers
    estimator = RandomForestClassifier(2).fit(frame[["age", "member"]], y)
    assert "lacks the columns ['member']" in refused(estimator, frame[["age"]])


def test_names_must_fit(iris: tuple[Array, Array], customers: tuple[Any, Array]) -> None:
    X, y = iris
    estimator = RandomForestClassifier(2).fit(X, y)
    assert "4 columns, but there are 2 names" in refused(estimator, X, feature_names=["a", "b"])
    frame, target = customers
    estimator = RandomForestClassifier(2).fit(frame[["age"]], target)
    assert "leave feature_names out" in refused(estimator, frame[["age"]], feature_names=["b"])


def test_importing_the_converter_imports_none_of_its_libraries() -> None:
    heavy = "{'sklearn', 'skl2onnx', 'onnx', 'pandas', 'joblib', 'skops', 'scipy'}"
    program = f"import sys, foretell.convert; print({heavy} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
