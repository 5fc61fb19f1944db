"""The converters of this package, in the corners of what their estimators can be set to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC

from foretell.convert import Conversion, convert
from foretell.errors import ConversionError
from foretell.tensors import Array
from tests.convert.served_answers import answers, json_rows


def assert_transforms(transformer: Any, sample: Any, held_back: Any) -> Conversion:
    conversion = convert(transformer, sample, probes=200)
    assert conversion.agrees, conversion.parity
    expected = transformer.transform(held_back)
    expected = expected.toarray() if hasattr(expected, "toarray") else np.asarray(expected)
    given = answers(conversion, json_rows(held_back))["transformed"]
    np.testing.assert_allclose(given, expected.astype(float), rtol=1e-5, atol=1e-6)
    return conversion


GAPS = np.array([[1.0, np.nan, 7.0], [np.nan, np.nan, 8.0], [3.0, np.nan, np.nan], [-1.0, np.nan, 9.0]])

IMPUTERS: dict[str, Any] = {
    "mean": SimpleImputer(),
    "constant": SimpleImputer(strategy="constant", fill_value=-5.0),
    "keeps-empty-columns": SimpleImputer(keep_empty_features=True),
    "flags": SimpleImputer(add_indicator=True),
    "another-value": SimpleImputer(missing_values=-1.0, keep_empty_features=True),
}


@pytest.mark.filterwarnings("ignore:Skipping features")
@pytest.mark.parametrize("kind", IMPUTERS)
def test_gaps_in_numbers_are_filled_alike(kind: str) -> None:
    table = GAPS[:, [0, 2]] if kind == "another-value" else GAPS
    if kind == "another-value":
        table = np.nan_to_num(table, nan=2.0)
    assert_transforms(IMPUTERS[kind].fit(table), table, table)


def texts(*values: str | None) -> Any:
    return pd.DataFrame({"a": pd.Series(values, dtype="str"), "b": ["x", "y"] * (len(values) // 2)})


@pytest.mark.parametrize(
    "imputer",
    [
        SimpleImputer(strategy="most_frequent"),
        SimpleImputer(strategy="constant", fill_value="none"),
        SimpleImputer(strategy="most_frequent", missing_values="?"),
    ],
    ids=["frequent", "constant", "question-mark"],
)
def test_gaps_in_strings_are_filled_alike(imputer: Any) -> None:
    gap = "?" if imputer.missing_values == "?" else None
    frame = texts("u", gap, "v", "u", gap, "v", "u", "u")
    pipeline = make_pipeline(imputer, OneHotEncoder(handle_unknown="ignore")).fit(frame)
    assert_transforms(pipeline, frame, frame)


def test_flags_beside_strings_are_refused() -> None:
    frame = texts("u", None, "v", "u")
    pipeline = make_pipeline(SimpleImputer(strategy="most_frequent", add_indicator=True), OneHotEncoder())
    with pytest.raises(ConversionError, match="add_indicator=False"):
        convert(pipeline.fit(frame), frame)


NUMBERS = np.array([[0.5, 3.0], [1.5, 3.0], [0.5, -2.0], [2.5, np.nan], [1.5, -2.0]] * 6)

ENCODERS: dict[str, Any] = {
    "one-hot": OneHotEncoder(handle_unknown="ignore"),
    "one-hot-of-integers": OneHotEncoder(handle_unknown="ignore", dtype=np.int64),
    "one-hot-rare": OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=9),
    "ordinal": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    "ordinal-unknown-as-missing": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan),
    "ordinal-strict": OrdinalEncoder(),
}


@pytest.mark.parametrize("kind", ENCODERS)
def test_categories_that_are_numbers_are_told_apart_exactly(kind: str) -> None:
    assert_transforms(ENCODERS[kind].fit(NUMBERS), NUMBERS, NUMBERS)


def test_a_target_of_three_classes_is_encoded_alike(customers: tuple[Any, Array]) -> None:
    frame, _ = customers
    strings = frame[["city", "plan"]]
    encoder = TargetEncoder(target_type="multiclass").fit(strings, np.arange(len(frame)) % 3)
    assert_transforms(encoder, strings[:200], strings[200:])


def test_an_encoder_that_tells_empty_from_missing_is_refused() -> None:
    both = pd.DataFrame({"a": pd.Series(["", None, "u", "u"], dtype=object)})
    encoder = OneHotEncoder(handle_unknown="ignore").fit(both)
    with pytest.raises(ConversionError, match="JSON null cannot"):
        convert(encoder, both[2:])


def test_an_encoder_of_strings_refuses_a_sample_of_numbers() -> None:
    strings = pd.DataFrame({"a": pd.Series(["u", "v"], dtype=object)})
    encoder = OneHotEncoder(handle_unknown="ignore").fit(strings)
    with pytest.raises(ConversionError, match="holds numbers in the sample"):
        convert(encoder, pd.DataFrame({"a": [1.0, 2.0]}))


@pytest.mark.parametrize("encode", ["onehot", "onehot-dense", "ordinal"])
def test_bins_have_their_edges_where_they_were(encode: Any, iris: tuple[Array, Array]) -> None:
    X = np.column_stack([iris[0], np.ones(len(iris[0]))])  # the last column has one bin only
    with pytest.warns(UserWarning, match="constant and will be replaced"):
        bins = KBinsDiscretizer(3, encode=encode, strategy="uniform").fit(X[:100])
    assert_transforms(bins, X[:100], X[100:])


@pytest.mark.parametrize("standardize", [True, False], ids=["standardized", "raw"])
@pytest.mark.parametrize("method", ["yeo-johnson", "box-cox"])
def test_powers_are_alike_at_their_limits(method: str, standardize: bool) -> None:
    table = np.random.default_rng(0).lognormal(size=(60, 3))
    power = PowerTransformer(method, standardize=standardize).fit(table)
    power.lambdas_[:2] = 0.0, 2.0
    assert_transforms(power, table[:30], table[30:] if method == "box-cox" else -table[30:])


FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    name: getattr(np, name)
    for name in (
        "abs", "ceil", "cos", "exp", "expm1", "floor", "log", "log1p", "negative", "reciprocal", "sign", "sin",
        "sqrt", "square", "tanh",
    )
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_numpy_are_alike(name: str, iris: tuple[Array, Array]) -> None:
    X = iris[0] + 0.25
    assert_transforms(FunctionTransformer(FUNCTIONS[name]).fit(X), X[:100], X[100:])


def test_a_function_with_arguments_is_refused(iris: tuple[Array, Array]) -> None:
    X, _ = iris
    with pytest.raises(ConversionError, match="no ONNX form"):
        convert(FunctionTransformer(np.round, kw_args={"decimals": 1}).fit(X), X)


def test_exponential_boosting_answers_as_before(cancer: tuple[Array, Array]) -> None:
    X, y = cancer
    boosting = GradientBoostingClassifier(n_estimators=5, loss="exponential", random_state=0)
    conversion = convert(boosting.fit(X[:200], y[:200]), X[:200], probes=300)
    assert conversion.agrees, conversion.parity


def test_leaves_that_all_lean_one_way_still_decide_by_their_sign() -> None:
    """Where no weight is negative, ONNX Runtime would take the sum for a probability."""
    X = np.arange(20.0).reshape(-1, 1)
    forest = RandomForestClassifier(5, max_depth=1, random_state=0).fit(X, [0] + [1] * 19)
    conversion = convert(forest, X, probes=100)
    assert conversion.agrees, conversion.parity
    assert answers(conversion, json_rows(X))["label"].tolist() == forest.predict(X).tolist()


@pytest.mark.parametrize(
    ("boosting", "classes"),
    [
        (HistGradientBoostingClassifier, 2),
        (HistGradientBoostingClassifier, 3),
        (HistGradientBoostingRegressor, 2),
    ],
    ids=["two-classes", "three-classes", "number"],
)
def test_sets_of_categories_go_the_way_they_went(boosting: Any, classes: int) -> None:
    """Rows with gaps and with categories never seen, in trees that send either to the left or to the right."""
    random = np.random.default_rng(0)
    codes = random.integers(0, 40, 600)
    y = (codes * 7) % 11 % classes
    frame = pd.DataFrame({"code": [f"c{code}" for code in codes], "size": random.random(600)})
    gaps = random.random(600) < 0.2
    frame.loc[gaps, "code"] = None
    y[gaps] = classes - 1
    frame["code"] = frame["code"].astype("category")
    model = boosting(max_iter=15, categorical_features="from_dtype").fit(frame, y)

    conversion = convert(model, frame, probes=600)

    assert conversion.agrees, conversion.parity
    unseen = pd.DataFrame({"code": pd.Categorical(["c99"] * 10), "size": np.linspace(0, 1, 10)})
    given = answers(conversion, json_rows(unseen))[conversion.signature.prediction_output]
    np.testing.assert_allclose(given.ravel(), model.predict(unseen), rtol=1e-5)


def test_an_isolation_tree_of_one_leaf_counts() -> None:
    X = np.array([[1.0, 2.0]] * 6 + [[5.0, 6.0]])
    forest = IsolationForest(n_estimators=12, max_samples=2, random_state=0).fit(X)
    assert any(estimator.tree_.node_count == 1 for estimator in forest.estimators_)
    assert convert(forest, X, probes=60).agrees


def test_an_isolation_forest_of_one_row_is_refused() -> None:
    forest = IsolationForest(n_estimators=2, max_samples=1, random_state=0).fit([[1.0], [2.0]])
    with pytest.raises(ConversionError, match="train it on more"):
        convert(forest, [[1.0], [2.0]])


def test_probabilities_of_support_vectors_are_compared(cancer: tuple[Array, Array]) -> None:
    X, y = cancer
    with pytest.warns(FutureWarning, match="probability"):
        model = make_pipeline(StandardScaler(), SVC(probability=True, random_state=0)).fit(
            X[:150, :5], y[:150]
        )
    conversion = convert(model, X[:150, :5], probes=100)
    assert conversion.signature.probabilities == "probabilities"
    assert conversion.parity.rows == 250


def test_a_search_over_support_vectors_answers_as_before(iris: tuple[Array, Array]) -> None:
    X, y = iris
    search = GridSearchCV(make_pipeline(StandardScaler(), SVC()), {"svc__C": [1.0, 10.0]}, cv=2).fit(X, y)
    conversion = convert(search, X, probes=200)
    assert conversion.agrees, conversion.parity
    assert conversion.provenance.estimator == "SVC"


def inner_step(kind: str) -> Any:
    splines = SplineTransformer()
    return {
        "union": FeatureUnion([("splines", splines)]),
        "columns": ColumnTransformer([("splines", splines, [0, 1])]),
    }[kind]


@pytest.mark.parametrize("kind", ["union", "columns"])
def test_a_step_deep_inside_is_named(kind: str, iris: tuple[Array, Array]) -> None:
    X, y = iris
    estimator = GridSearchCV(
        make_pipeline(inner_step(kind), StandardScaler(), LogisticRegression(max_iter=9000)),
        {"logisticregression__C": [0.1]},
        cv=2,
    ).fit(X, y)
    with pytest.raises(ConversionError, match=r"splines' \(SplineTransformer\) has no ONNX form"):
        convert(estimator, X)


class Wrapped:
    """A table of another library."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def to_pandas(self) -> Any:
        return self._table


class Sparse:
    """A sparse matrix."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def toarray(self) -> Any:
        return self._table


def test_other_tables_are_taken(iris: tuple[Array, Array]) -> None:
    X, y = iris
    frame = pd.DataFrame(X, columns=list("abcd"))
    named = convert(RandomForestClassifier(2).fit(frame, y), Wrapped(frame), probes=20)
    assert [column.name for column in named.signature.columns] == list("abcd")
    plain = convert(RandomForestClassifier(2).fit(X, y), Sparse(X), probes=20)
    assert [column.name for column in plain.signature.columns] == ["x0", "x1", "x2", "x3"]
