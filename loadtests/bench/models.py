"""The models that contenders serve: where their files are, what is asked of them, and what they answer."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import joblib
import msgspec
import numpy as np
import onnxruntime
from sklearn.datasets import load_breast_cancer, load_digits, load_iris

from loadtests.heavy import WIDTH, write_heavy
from scripts.build_store import breast_cancer, digits, iris

__all__ = ["NAMES", "Model", "Outputs", "prepare"]

ROOT: Final = Path(__file__).parents[2]

Outputs = dict[str, np.ndarray]
"""What a model answers, by the names of its outputs; labels are texts."""

HEAVY_HIDDEN: Final = 1536
"""The width of the heavy model: a run takes more than a millisecond."""


class Model(NamedTuple):
    """A model on disk.

    Attributes:
        name: Its name.
        store: A folder in foretell's layout that holds nothing else.
        file: Its ONNX file.
        estimator: The file of the scikit-learn estimator that it was converted from, dumped by joblib, if there is one.
        dtype: What its input is made of.
        low: A whole number; what the first value of a row may be is from here to one above.
    """

    name: str
    store: Path
    file: Path
    estimator: Path | None
    dtype: Any
    low: int

    @property
    def mark(self) -> str:
        """The text of the first value of each question, which the load generator replaces by ever another one."""
        return f"{self.low}.12345"

    def questions(self, rows: int, count: int) -> list[np.ndarray]:
        """Some arrays of `float64[rows, features]`, no two of them equal and always the same."""
        table, rng = _rows(self.name), np.random.default_rng(rows)
        asked = [table[rng.choice(len(table), rows, replace=rows > len(table))] for _ in range(count)]
        for one in asked:
            one[0, 0] = float(self.mark)
        return asked

    def truth(self, rows: np.ndarray) -> Outputs:
        """What ONNX Runtime itself answers."""
        session = _session(str(self.file))
        names = [each.name for each in session.get_outputs()]
        answers = session.run(names, {session.get_inputs()[0].name: rows.astype(self.dtype)})
        return dict(zip(names, map(np.asarray, answers), strict=True))

    def estimated(self, rows: np.ndarray) -> Outputs:
        """What the scikit-learn estimator answers.

        Raises:
            ValueError: There is none.
        """
        if self.estimator is None:
            raise ValueError(f"{self.name} was not made by scikit-learn")
        estimator = joblib.load(self.estimator)
        return {"label": estimator.predict(rows), "probabilities": estimator.predict_proba(rows)}


def prepare(name: str, folder: Path) -> Model:
    """Write a model's files into a folder.

    Args:
        name: One of `NAMES`.
        folder: An empty folder.

    Raises:
        KeyError: There is no such model.
    """
    low, trained = _KNOWN[name]
    store = folder / "model_store"
    estimator = None
    if trained is None:
        file = write_heavy(store, hidden=HEAVY_HIDDEN, name=name)
        dtype: Any = np.float32
    else:
        version = ROOT / "model_store" / name / "1"
        shutil.copytree(version, store / name / "1")
        file = store / name / "1" / "model.onnx"
        dtype = msgspec.json.decode((version / "manifest.json").read_bytes())["signature"]["inputs"][0][
            "dtype"
        ]
        estimator = folder / f"{name}.joblib"
        pipeline = trained()[0].estimator
        # What takes names while training warns of rows without them.
        for step in (pipeline, *(each for _, each in pipeline.steps)):
            step.__dict__.pop("feature_names_in_", None)
        joblib.dump(pipeline, estimator)
    return Model(name, store, file, estimator, np.dtype(dtype), low)


_KNOWN: Final[dict[str, tuple[int, Callable[[], Any] | None]]] = {
    "iris": (5, iris),
    "breast_cancer": (8, breast_cancer),
    "digits": (5, digits),
    "heavy": (1, None),
}

NAMES: Final = tuple(_KNOWN)


@functools.cache
def _rows(name: str) -> np.ndarray:
    if name == "heavy":
        return np.random.default_rng(0).standard_normal((512, WIDTH)).round(3)
    load: Any = {"iris": load_iris, "breast_cancer": load_breast_cancer, "digits": load_digits}[name]
    return np.asarray(load().data, np.float64)


@functools.cache
def _session(file: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
