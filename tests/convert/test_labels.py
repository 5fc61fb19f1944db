"""Class labels keep their type, and the edges of classification keep their answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from foretell.convert import convert
from foretell.tensors import Array, DTypeName
from tests.convert.served_answers import answers, json_rows

ESTIMATORS: dict[str, Any] = {
    "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    "forest": RandomForestClassifier(6, random_state=0),
    "gradient-boosting": GradientBoostingClassifier(n_estimators=4, random_state=0),
    "histogram-boosting": HistGradientBoostingClassifier(max_iter=4),
    "neighbours": KNeighborsClassifier(),
    "support-vectors": make_pipeline(StandardScaler(), SVC()),
}

LABELS: dict[str, tuple[Callable[[Array], Array], DTypeName]] = {
    "bool": (lambda y: y == 1, "bool"),
    "int8": (lambda y: y.astype(np.int8) - 5, "int64"),
    "uint64": (lambda y: y.astype(np.uint64), "int64"),
    "float": (lambda y: y * 2.0, "float64"),
    "numpy-string": (lambda y: np.array(["no", "yes"])[y], "string"),
    "object-string": (lambda y: np.array(["no", "yes"], object)[y], "string"),
}


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_labels_come_out_as_they_went_in(kind: str, labels: str, cancer: tuple[Array, Array]) -> None:
    X, y = cancer
    make, dtype = LABELS[labels]
    target = make(y)
    estimator = clone(ESTIMATORS[kind]).fit(X[:120, :5], target[:120])

    conversion = convert(estimator, X[:120, :5], probes=100)

    assert conversion.agrees, conversion.parity
    assert conversion.signature.outputs[0].dtype == dtype
    assert conversion.signature.classes == tuple(np.unique(target[:120]).tolist())
    given = answers(conversion, json_rows(X[120:320, :5]))["label"]
    assert given.tolist() == estimator.predict(X[120:320, :5]).tolist()
    assert given.dtype == conversion.signature.outputs[0].type.numpy


@pytest.mark.parametrize("label", [7, "only", True], ids=["int", "string", "bool"])
@pytest.mark.parametrize(
    "estimator", [DecisionTreeClassifier(), RandomForestClassifier(3)], ids=["tree", "forest"]
)
def test_a_single_class_is_always_the_answer(estimator: Any, label: Any, iris: tuple[Array, Array]) -> None:
    X, _ = iris
    fitted = clone(estimator).fit(X, np.array([label] * len(X)))
    conversion = convert(fitted, X, probes=50)
    given = answers(conversion, json_rows(X[:3]))
    assert given["label"].tolist() == [label] * 3
    assert given["probabilities"].tolist() == [[1.0]] * 3


@pytest.mark.parametrize(
    "estimator",
    [
        RandomForestClassifier(5, random_state=0),
        DecisionTreeClassifier(random_state=0),
        MultiOutputClassifier(RandomForestClassifier(5, random_state=0)),
        make_pipeline(StandardScaler(), MultiOutputClassifier(LogisticRegression(max_iter=1000))),
    ],
    ids=["forest", "tree", "forest-for-each", "logistic-for-each"],
)
def test_two_outputs_have_probabilities_each(estimator: Any, cancer: tuple[Array, Array]) -> None:
    X, y = cancer[0][:, :5], cancer[1]
    targets = np.column_stack([y, np.digitize(X[:, 0], [12.0, 15.0])])
    fitted = clone(estimator).fit(X[:150], targets[:150])

    conversion = convert(fitted, X[:150], probes=100)

    assert conversion.agrees, conversion.parity
    assert [output.name for output in conversion.signature.outputs] == [
        "label",
        "probabilities_0",
        "probabilities_1",
    ]
    assert [output.shape for output in conversion.signature.outputs] == [
        ("batch", 2),
        ("batch", 2),
        ("batch", 3),
    ]
    assert conversion.signature.classes is None
    given = answers(conversion, json_rows(X[150:350]))
    assert given["label"].tolist() == fitted.predict(X[150:350]).tolist()
    for index, expected in enumerate(fitted.predict_proba(X[150:350])):
        np.testing.assert_allclose(given[f"probabilities_{index}"], expected, rtol=1e-5, atol=1e-5)


def test_an_even_vote_goes_to_the_first_class() -> None:
    """Ten trees, five for each class: adding tenths in floating point would decide it by rounding."""
    X = np.arange(40, dtype=float).reshape(-1, 1)
    y = np.random.default_rng(3).integers(0, 2, 40)
    estimator = RandomForestClassifier(10, random_state=0).fit(X, y)
    even = X[estimator.predict_proba(X)[:, 0] == 0.5]
    assert len(even)
    given = answers(convert(estimator, X, probes=50), json_rows(even))
    assert given["label"].tolist() == estimator.predict(even).tolist()
