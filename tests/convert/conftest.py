"""Data for the converter's tests: small tables that ship with scikit-learn, and one of mixed columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from foretell.tensors import Array


@pytest.fixture(scope="session")
def iris() -> tuple[Array, Array]:
    """Three classes of flowers, shuffled, as names."""
    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    return X[order], np.array(["setosa", "versicolor", "virginica"])[y[order]]


@pytest.fixture(scope="session")
def cancer() -> tuple[Array, Array]:
    """Two classes, as 0 and 1."""
    X, y = load_breast_cancer(return_X_y=True)
    return X, y


@pytest.fixture(scope="session")
def diabetes() -> tuple[Array, Array]:
    """A number to predict."""
    X, y = load_diabetes(return_X_y=True)
    return X, y


@pytest.fixture(scope="session")
def customers() -> tuple[Any, Array]:
    """A data frame of integers, floats, strings and booleans with gaps, and two classes."""
    random = np.random.default_rng(0)
    count = 400
    frame = pd.DataFrame(
        {
            "age": random.integers(18, 90, count),
            "income": random.lognormal(10, 1, count).round(2),
            "city": random.choice(
                np.array(["Bern", "Ulm", "Linz", None], object), count, p=[0.3, 0.3, 0.3, 0.1]
            ),
            "member": random.random(count) < 0.5,
            "visits": random.integers(0, 5, count).astype(float),
            "plan": random.choice(["basic", "plus", "pro"], count),
        }
    )
    frame["city"] = frame["city"].astype("str")
    frame.loc[random.random(count) < 0.15, "income"] = np.nan
    frame.loc[random.random(count) < 0.1, "visits"] = np.nan
    target = ((frame["age"] > 50) ^ frame["member"] ^ (frame["city"] == "Ulm")).astype(int)
    return frame, target.to_numpy()
