"""Data frames of mixed columns, and what the signature says of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)

from foretell.convert import Conversion, convert
from foretell.signature import Column
from foretell.tensors import Array
from tests.convert.served_answers import answers, json_rows

NUMBERS = ["age", "income", "visits"]
STRINGS = ["city", "plan"]
FOREST = RandomForestClassifier(10, random_state=0)
LOGISTIC = LogisticRegression(max_iter=2000)


def columns(strings: Any, numbers: Any = None, member: Any = "passthrough") -> ColumnTransformer:
    numbers = (
        make_pipeline(SimpleImputer(strategy="median"), StandardScaler()) if numbers is None else numbers
    )
    return ColumnTransformer(
        [("numbers", numbers, NUMBERS), ("strings", strings, STRINGS), ("member", member, ["member"])]
    )


PIPELINES: dict[str, Any] = {
    "one-hot": make_pipeline(columns(OneHotEncoder(handle_unknown="ignore")), FOREST),
    "one-hot-strict": make_pipeline(columns(OneHotEncoder()), LOGISTIC),
    "one-hot-without-first": make_pipeline(columns(OneHotEncoder(drop="first")), LOGISTIC),
    "one-hot-without-one-of-two": make_pipeline(
        columns(OneHotEncoder(), member=OneHotEncoder(drop="if_binary")), LOGISTIC
    ),
    "one-hot-rare": make_pipeline(
        columns(OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=0.3)), LOGISTIC
    ),
    "one-hot-rare-without-first": make_pipeline(
        columns(OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=0.3, drop="first")),
        LOGISTIC,
    ),
    "one-hot-at-most": make_pipeline(
        columns(OneHotEncoder(max_categories=2, handle_unknown="ignore")), LOGISTIC
    ),
    "impute-frequent": make_pipeline(
        columns(
            make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
        ),
        LOGISTIC,
    ),
    "impute-constant": make_pipeline(
        columns(make_pipeline(SimpleImputer(strategy="constant", fill_value="none"), OneHotEncoder())),
        LOGISTIC,
    ),
    "ordinal": make_pipeline(
        columns(OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), "passthrough"),
        HistGradientBoostingClassifier(max_iter=8),
    ),
    "ordinal-with-code-for-missing": make_pipeline(
        columns(
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
            "passthrough",
        ),
        HistGradientBoostingClassifier(max_iter=8),
    ),
    "target-encoder": make_pipeline(columns(TargetEncoder()), LOGISTIC),
    "gaps-as-flags": make_pipeline(
        columns(OneHotEncoder(), SimpleImputer(add_indicator=True)),
        GradientBoostingClassifier(n_estimators=6, random_state=0),
    ),
    "gaps-in-the-forest": make_pipeline(columns(OneHotEncoder(), "passthrough"), FOREST),
    "bins": make_pipeline(
        columns(
            OneHotEncoder(),
            make_pipeline(
                SimpleImputer(),
                KBinsDiscretizer(4, encode="onehot-dense", quantile_method="averaged_inverted_cdf"),
            ),
        ),
        LOGISTIC,
    ),
    "remainder": make_pipeline(
        ColumnTransformer([("strings", OneHotEncoder(), STRINGS)], remainder="passthrough"), FOREST
    ),
    "dropped": make_pipeline(
        ColumnTransformer(
            [
                ("o", OneHotEncoder(handle_unknown="ignore"), ["age", "city"]),
                ("v", SimpleImputer(), ["visits"]),
            ]
        ),
        LOGISTIC,
    ),
    "other-order": make_pipeline(
        ColumnTransformer([("n", SimpleImputer(), ["visits", "income"]), ("a", StandardScaler(), ["age"])]),
        StandardScaler(),
        LOGISTIC,
    ),
    "by-type": make_pipeline(
        make_column_transformer(
            (SimpleImputer(), make_column_selector(dtype_include="number")),
            (OneHotEncoder(), make_column_selector(dtype_exclude="number")),
        ),
        FOREST,
    ),
    "by-mask": make_pipeline(
        ColumnTransformer([("n", SimpleImputer(), [True, True, False, False, True, False])]),
        StandardScaler(),
        LOGISTIC,
    ),
}


def assert_same(estimator: Any, sample: Any, held_back: Any, **options: Any) -> Conversion:
    conversion = convert(estimator, sample, probes=300, **options)
    assert conversion.agrees, conversion.parity
    given = answers(conversion, json_rows(held_back))
    assert given["label"].tolist() == estimator.predict(held_back).tolist()
    np.testing.assert_allclose(
        given["probabilities"], estimator.predict_proba(held_back), rtol=1e-5, atol=1e-5
    )
    return conversion


@pytest.mark.parametrize("kind", PIPELINES)
def test_mixed_columns_with_gaps_answer_as_before(kind: str, customers: tuple[Any, Array]) -> None:
    frame, y = customers
    estimator = PIPELINES[kind].fit(frame[:200], y[:200])
    assert_same(estimator, frame[:200], frame[200:])


def column(conversion: Conversion, name: str) -> Column:
    return next(column for column in conversion.signature.columns if column.name == name)


def test_the_signature_tells_what_the_sample_holds(customers: tuple[Any, Array]) -> None:
    frame, y = customers
    estimator = PIPELINES["one-hot"].fit(frame[:200], y[:200])
    conversion = convert(estimator, frame[:200], probes=50)

    signature = conversion.signature
    assert [entry.name for entry in signature.columns] == list(frame.columns)
    assert column(conversion, "city").categories == ("Bern", "Linz", "Ulm")
    assert column(conversion, "city").missing == "empty"
    assert column(conversion, "plan").missing == "refuse"
    assert column(conversion, "income").missing == "nan"
    assert column(conversion, "age").missing == "refuse"
    assert column(conversion, "member").dtype == "bool"
    assert column(conversion, "member").categories == (False, True)
    assert (column(conversion, "age").minimum, column(conversion, "age").maximum) == (
        frame["age"][:200].min(),
        frame["age"][:200].max(),
    )
    assert signature.example == json_rows(frame[:200].dropna())[0]
    assert signature.enforce == ()
    assert {entry.shape for entry in signature.inputs} == {("batch", 1), ("batch", 3)}


def test_numbers_that_are_read_together_share_one_tensor(customers: tuple[Any, Array]) -> None:
    frame, y = customers
    conversion = convert(PIPELINES["other-order"].fit(frame, y), frame, probes=50)
    assert column(conversion, "income").input == column(conversion, "visits").input == "numbers"


def test_an_integer_with_a_tensor_of_its_own_is_an_integer(customers: tuple[Any, Array]) -> None:
    frame, y = customers
    conversion = convert(PIPELINES["dropped"].fit(frame, y), frame, probes=50)
    assert column(conversion, "age").dtype == "int64"


def test_a_strict_encoder_has_its_categories_enforced(customers: tuple[Any, Array]) -> None:
    frame, y = customers
    estimator = PIPELINES["one-hot-strict"].fit(frame, y)
    few = frame[frame["plan"] == "pro"]

    conversion = convert(estimator, few, probes=50)

    assert conversion.signature.enforce == ("categories",)
    assert column(conversion, "plan").categories == ("basic", "plus", "pro")


def test_categories_and_ranges_are_enforced_when_asked(customers: tuple[Any, Array]) -> None:
    frame, y = customers
    estimator = PIPELINES["one-hot"].fit(frame, y)
    conversion = convert(estimator, frame, probes=50, enforce=["ranges", "categories"])
    assert conversion.signature.enforce == ("ranges", "categories")


NULLABLE = {"age": "Int64", "income": "Float64", "visits": "Float64", "member": "boolean"}

STORED: dict[str, Callable[[Any], Any]] = {
    "nullable": lambda frame: frame.astype(NULLABLE),
    "category": lambda frame: frame.astype({"city": "category", "plan": "category"}),
    "narrow": lambda frame: frame.astype({"age": "uint8", "visits": "float32"}),
    "None": lambda frame: frame.assign(city=frame["city"].astype(object).where(frame["city"].notna(), None)),
    "object": lambda frame: frame.assign(city=frame["city"].astype(object)),
}


@pytest.mark.parametrize("kind", STORED)
def test_every_way_to_store_columns_answers_as_before(kind: str, customers: tuple[Any, Array]) -> None:
    frame, y = STORED[kind](customers[0]), customers[1]
    estimator = PIPELINES["one-hot"].fit(frame[:200], y[:200])
    assert_same(estimator, frame[:200], frame[200:])


def test_booleans_with_gaps_answer_as_before(customers: tuple[Any, Array]) -> None:
    frame, y = customers
    frame = frame.assign(member=frame["member"].astype(object))
    frame.loc[::7, "member"] = None
    estimator = make_pipeline(columns(OneHotEncoder(), member=OneHotEncoder()), FOREST).fit(
        frame[:200], y[:200]
    )

    conversion = assert_same(estimator, frame[:200], frame[200:])

    assert column(conversion, "member").missing == "nan"


def test_histogram_boosting_on_categories_answers_as_before(customers: tuple[Any, Array]) -> None:
    frame, y = customers
    frame = frame.astype({"city": "category", "plan": "category"})
    estimator = HistGradientBoostingClassifier(max_iter=20, categorical_features="from_dtype")
    assert_same(estimator.fit(frame[:200], y[:200]), frame[:200], frame[200:])


def test_names_that_clash_or_are_no_identifiers_do_no_harm(customers: tuple[Any, Array]) -> None:
    frame, y = customers
    frame = frame.rename(columns={"age": "label", "income": "my income (€)", "city": "probabilities"})
    estimator = make_pipeline(
        ColumnTransformer(
            [
                ("n", make_pipeline(SimpleImputer(), StandardScaler()), ["label", "my income (€)"]),
                ("c", OneHotEncoder(), ["probabilities"]),
            ]
        ),
        LOGISTIC,
    )
    conversion = assert_same(estimator.fit(frame, y), frame[:200], frame[200:])
    assert [entry.name for entry in conversion.signature.columns] == list(frame.columns)


def test_columns_beyond_the_training_data_are_left_out(customers: tuple[Any, Array]) -> None:
    frame, y = customers
    numbers = frame[["age", "member"]]
    estimator = FOREST.fit(numbers, y)
    sample = frame.assign(target=y)[["target", "member", "age"]]

    conversion = convert(estimator, sample, probes=50)

    assert [entry.name for entry in conversion.signature.columns] == ["age", "member"]
    assert len(conversion.signature.inputs) == 1


def test_an_array_for_an_estimator_of_named_columns_gets_those_names(customers: tuple[Any, Array]) -> None:
    frame, y = customers
    numbers = frame[NUMBERS].fillna(0)
    conversion = convert(FOREST.fit(numbers, y), numbers.to_numpy(), probes=50)
    assert [entry.name for entry in conversion.signature.columns] == NUMBERS


def test_an_array_of_strings_answers_as_before(customers: tuple[Any, Array]) -> None:
    frame, y = customers
    strings = frame[STRINGS].fillna("none").to_numpy(object)
    estimator = make_pipeline(OneHotEncoder(), LOGISTIC).fit(strings, y)
    conversion = assert_same(estimator, strings[:200], strings[200:])
    assert [entry.name for entry in conversion.signature.columns] == ["x0", "x1"]


def test_a_list_of_rows_takes_given_names(iris: tuple[Array, Array]) -> None:
    X, y = iris
    conversion = convert(FOREST.fit(X, y), X.tolist(), feature_names=["a", "b", "c", "d"], probes=50)
    assert [entry.name for entry in conversion.signature.columns] == ["a", "b", "c", "d"]
    assert [entry.dtype for entry in conversion.signature.columns] == ["float32"] * 4


def test_texts_answer_as_before() -> None:
    texts = ["good nice fine", "bad awful day", "Nice day, good", "awful bad night"] * 8
    estimator = make_pipeline(TfidfVectorizer(), LOGISTIC).fit(texts, [1, 0, 1, 0] * 8)

    conversion = convert(estimator, texts, probes=50)

    assert conversion.agrees, conversion.parity
    (entry,) = conversion.signature.columns
    assert (entry.name, entry.dtype) == ("text", "string")
    given = answers(conversion, [("a good day",), ("bad",)])
    assert given["label"].tolist() == estimator.predict(["a good day", "bad"]).tolist()


def test_a_series_of_texts_names_its_column() -> None:
    texts = pd.Series(["good", "bad"] * 10, name="review")
    estimator = make_pipeline(TfidfVectorizer(), LOGISTIC).fit(texts, [1, 0] * 10)
    assert convert(estimator, texts, probes=10).signature.columns[0].name == "review"


def test_one_row_is_sample_enough(iris: tuple[Array, Array]) -> None:
    X, y = iris
    conversion = convert(FOREST.fit(X, y), X[:1], probes=50)
    assert conversion.agrees
