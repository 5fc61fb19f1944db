"""Estimators and samples come from files, and nothing is unpickled unasked."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from foretell.convert import load_estimator, load_sample
from foretell.errors import ForetellError, PublishError
from foretell.tensors import Array


@pytest.fixture
def estimator(iris: tuple[Array, Array]) -> Any:
    X, y = iris
    return LogisticRegression(max_iter=1000).fit(X, y)


def twice(X: Array) -> Array:
    return 2 * X


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("suffix", [".joblib", ".pkl", ".pickle"])
def test_a_trusted_pickle_is_read(suffix: str, estimator: Any, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    joblib.dump(estimator, path)
    assert load_estimator(path, trust_pickle=True).classes_.tolist() == estimator.classes_.tolist()


def test_an_untrusted_pickle_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    with pytest.raises(PublishError, match=r"executes whatever code .* --trust-pickle"):
        load_estimator(path, trust_pickle=False)
    assert not (tmp_path / "exploded").exists()


def test_a_skops_file_is_read_without_trust(estimator: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    skops.io.dump(estimator, path)
    np.testing.assert_array_equal(load_estimator(path, trust_pickle=False).coef_, estimator.coef_)


def test_a_skops_file_with_unknown_types_names_them(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    skops.io.dump(FunctionTransformer(twice), path)
    with pytest.raises(PublishError, match=r"does not trust by itself: .*twice") as caught:
        load_estimator(path, trust_pickle=True)
    name = str(caught.value).split("by itself: ")[1].split(". If")[0]
    assert name.endswith("twice")


def test_a_skops_file_with_types_that_are_trusted_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    skops.io.dump(FunctionTransformer(np.log1p), path)
    unknown = skops.io.get_untrusted_types(file=path)
    assert load_estimator(path, trust_pickle=False, trusted=unknown).func is np.log1p


@pytest.mark.parametrize("name", ["model.skops", "model.joblib"])
def test_a_damaged_file_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"nonsense")
    with pytest.raises(PublishError, match="cannot be read"):
        load_estimator(path, trust_pickle=True)


def load_trusted(path: Path) -> Any:
    return load_estimator(path, trust_pickle=True)


@pytest.mark.parametrize("load", [load_trusted, load_sample])
@pytest.mark.parametrize(("name", "message"), [("absent.csv", "does not exist"), ("here.txt", "expected .")])
def test_other_files_are_refused(load: Any, name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "here.txt").write_text("?", encoding="utf-8")
    with pytest.raises(PublishError, match=message):
        load(tmp_path / name)


def test_samples_are_read_from_csv_and_json(tmp_path: Path) -> None:
    records = [{"a": 1, "b": "x"}, {"a": 2, "b": None}]
    (tmp_path / "rows.json").write_text(json.dumps(records), encoding="utf-8")
    pd.DataFrame(records).to_csv(tmp_path / "rows.csv", index=False)
    for name in ("rows.json", "rows.csv"):
        frame = load_sample(tmp_path / name)
        assert list(frame.columns) == ["a", "b"]
        assert frame["a"].tolist() == [1, 2]
        assert frame["b"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.json", "{", "cannot be read"),
        ("rows.json", '{"a": 1}', "cannot be read"),
        ("rows.json", "[]", "no rows"),
        ("rows.csv", "", "cannot be read"),
        ("rows.csv", "a,b\n", "no rows"),
    ],
    ids=["malformed", "no-list", "empty-list", "empty-file", "header-only"],
)
def test_a_sample_that_holds_no_rows_is_refused(
    name: str, content: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ForetellError, match=message):
        load_sample(tmp_path / name)
