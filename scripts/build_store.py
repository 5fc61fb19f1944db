"""Build the sample models of model_store/ anew: ``make store``.

Every data set ships inside a package, and every random choice has a seed, so that the same library versions give
the same models. The tests train the same estimators to compare the server's answers with theirs.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from palmerpenguins import load_penguins
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from foretell import publish

SEED = 7


class SampleModel(NamedTuple):
    """One version of a sample model: how it is made, and the rows that its training did not see."""

    name: str
    description: str
    estimator: Any
    train: pd.DataFrame
    held_back: pd.DataFrame


class Data(NamedTuple):
    """A data set in two parts."""

    train: pd.DataFrame
    held_back: pd.DataFrame
    target: Any


def iris(seed: int = SEED) -> list[SampleModel]:
    """Two versions: a linear champion and a forest as its candidate."""
    bunch = load_iris(as_frame=True)
    frame = bunch.data.rename(columns=_identifier)
    data = _split(frame, bunch.target_names[bunch.target], seed)
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    forest = RandomForestClassifier(n_estimators=50, max_depth=5, random_state=seed)
    return [
        _trained("iris", "Species of an iris from four lengths in cm; logistic regression", linear, data),
        _trained("iris", "Species of an iris from four lengths in cm; 50 trees", forest, data),
    ]


def breast_cancer(seed: int = SEED) -> list[SampleModel]:
    """A scaler and a forest of 100 trees."""
    bunch = load_breast_cancer(as_frame=True)
    frame = bunch.data.rename(columns=_identifier)
    data = _split(frame, bunch.target_names[bunch.target], seed)
    forest = RandomForestClassifier(n_estimators=100, max_depth=8, random_state=seed)
    estimator = make_pipeline(StandardScaler(), forest)
    return [
        _trained(
            "breast_cancer", "Whether a tumour is malignant, from 30 measures of its cells", estimator, data
        )
    ]


def diabetes(seed: int = SEED) -> list[SampleModel]:
    """A regressor."""
    bunch = load_diabetes(as_frame=True)
    estimator = GradientBoostingRegressor(n_estimators=100, random_state=seed)
    data = _split(bunch.data, bunch.target, seed)
    return [_trained("diabetes", "How far diabetes goes within a year; 100 boosted trees", estimator, data)]


def digits(seed: int = SEED) -> list[SampleModel]:
    """A small neural network on 64 pixels."""
    bunch = load_digits(as_frame=True)
    estimator = make_pipeline(StandardScaler(), MLPClassifier((32,), max_iter=400, random_state=seed))
    return [
        _trained(
            "digits",
            "A handwritten digit from 8 by 8 grey values",
            estimator,
            _split(bunch.data, bunch.target, seed),
        )
    ]


def penguins(seed: int = SEED) -> list[SampleModel]:
    """Strings and numbers, with gaps in both."""
    frame = load_penguins()
    numbers = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
    words = ["island", "sex"]
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        (
            make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")),
            words,
        ),
    )
    estimator = make_pipeline(columns, LogisticRegression(max_iter=500))
    data = _split(frame[numbers + words], frame["species"], seed, alike=frame["bill_length_mm"].isna())
    return [_trained("penguins", "Species of a penguin from its measures, island and sex", estimator, data)]


SAMPLES: dict[str, Callable[[int], list[SampleModel]]] = {
    "breast_cancer": breast_cancer,
    "diabetes": diabetes,
    "digits": digits,
    "iris": iris,
    "penguins": penguins,
}
"""The versions of each sample model, in their order, from a seed."""

CONFIGS = {
    "iris": 'default = "champion"\n\n[aliases]\nchampion = 1\ncandidate = 2\n',
}
"""The model.toml of those that have one."""


def held_back_rows(model: SampleModel, count: int) -> pd.DataFrame:
    """Rows that training did not see: those that were held back, and near copies of them if they are too few."""
    rows = model.held_back.sample(count, replace=len(model.held_back) < count, random_state=SEED)
    chance = np.random.default_rng(SEED)
    for column in rows.select_dtypes("float"):
        rows[column] = rows[column] * (1 + chance.normal(0, 0.01, count) * rows.index.duplicated())
    return rows.reset_index(drop=True)


def build(store: Path) -> None:
    """Publish every sample model; folders of the same names are replaced."""
    for name, make in SAMPLES.items():
        shutil.rmtree(store / name, ignore_errors=True)
        for model in make(SEED):
            print(
                publish(model.estimator, model.train, name=name, store=store, description=model.description)
            )
        if name in CONFIGS:
            (store / name / "model.toml").write_text(CONFIGS[name])


def _identifier(name: str) -> str:
    """A column's name without its unit and without spaces."""
    return name.removesuffix(" (cm)").replace(" ", "_")


def _split(frame: pd.DataFrame, target: Any, seed: int, alike: Any = None) -> Data:
    """Split a data set; both parts have the same share of each value of `alike`."""
    train, held_back, answers, _ = train_test_split(
        frame, target, test_size=0.4, random_state=seed, stratify=alike
    )
    return Data(train, held_back, answers)


def _trained(name: str, description: str, estimator: Any, data: Data) -> SampleModel:
    return SampleModel(name, description, estimator.fit(data.train, data.target), data.train, data.held_back)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, default=Path("model_store"), help="the folder to build in")
    build(parser.parse_args().store)
