"""The estimator behind one interface: what it answers, under the names that the served model uses."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from foretell.convert.sklearn_onnx import last_step, with_last_step
from foretell.errors import ConversionError
from foretell.tensors import Array

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from foretell.convert.frame import Frame, Row
    from foretell.signature import Scalar, Task

__all__ = ["Answers", "Original"]

Answers = dict[str, Array]
"""The outputs of a model by name, the answer itself first."""


_MEASURED: Final = 500
"""How many rows of the sample tell how scores vary."""


class Original:
    """The estimator, asked with rows of JSON values.

    Args:
        estimator: A fitted estimator of scikit-learn.
        frame: The sample, which tells how to hand rows over.

    Attributes:
        estimator: The estimator itself.
        task: What the answer means.
        classes: The labels of a classifier with one output, in the order of its probabilities.

    Raises:
        ConversionError: It is not fitted, or neither predicts nor transforms.
    """

    def __init__(self, estimator: Any, frame: Frame) -> None:
        from sklearn.base import is_classifier, is_regressor
        from sklearn.exceptions import NotFittedError
        from sklearn.utils.validation import check_is_fitted

        try:
            check_is_fitted(estimator)
        except (NotFittedError, TypeError) as error:
            raise ConversionError(
                f"{type(estimator).__name__} is not a fitted estimator: call fit first"
            ) from error
        self.estimator = estimator
        self._last = last_step(estimator)
        self.frame = frame
        self._refusal = ""
        self._predicts = hasattr(estimator, "predict")
        if not self._predicts and not hasattr(estimator, "transform"):
            raise ConversionError(
                f"{type(self._last).__name__} neither predicts nor transforms new rows: there is nothing to serve"
            )
        self._classifies = self._predicts and bool(is_classifier(estimator))
        self._regresses = self._predicts and bool(is_regressor(estimator))
        self.task: Task = (
            "classification" if self._classifies else "regression" if self._regresses else "other"
        )
        self.classes: tuple[Scalar, ...] | None = None
        classes = getattr(estimator, "classes_", None)
        if self._classifies and isinstance(classes, np.ndarray) and classes.ndim == 1:
            self.classes = tuple(classes.tolist())

    @property
    def name(self) -> str:
        """The class of the estimator, or of a pipeline's last step."""
        return type(self._last).__name__

    @property
    def has_probabilities(self) -> bool:
        """Whether it gives one probability for each class."""
        return hasattr(self.estimator, "predict_proba")

    @property
    def answer_name(self) -> str:
        """The output that holds the answer itself."""
        if not self._predicts:
            return "transformed"
        return "prediction" if self._regresses else "label"

    def answer(self, rows: Sequence[Row], *, as_float64: bool = False) -> Answers:
        """What it answers.

        Args:
            rows: At least one row. They are asked in the dtypes of the sample, as far as those hold the values.
            as_float64: Ask all numbers as float64 instead.

        Returns:
            ``label``, ``prediction`` or ``transformed``, and the probabilities or scores if it has them.

        Raises:
            Exception: Whatever the estimator raises on these rows.
        """
        frame = self.frame
        if as_float64:
            return self._ask(frame.restore(rows, as_float64=True))
        held = frame.held(rows)
        if held.all() or not held.any():
            return self._ask(frame.restore(rows))
        # One value that a column's dtype cannot hold would change the dtype of all the others.
        groups = [np.flatnonzero(held), np.flatnonzero(~held)]
        parts = [self._ask(frame.restore([rows[at] for at in group.tolist()])) for group in groups]
        order = np.argsort(np.concatenate(groups))
        return {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}

    def answer_sample(self, count: int) -> list[tuple[list[int], Answers]]:
        """What it answers to the first rows of the sample itself, as it was given, without those that it refuses.

        Returns:
            The numbers of rows and their answers, as of `answer_each`.

        Raises:
            ConversionError: It refuses every row.
        """
        groups = self._answer_part(0, min(count, len(self.frame.rows)))
        if not groups:
            raise ConversionError(f"{self.name} refuses every row of the sample: {self._refusal}")
        return groups

    def _answer_part(self, begin: int, end: int) -> list[tuple[list[int], Answers]]:
        try:
            return [(list(range(begin, end)), self._ask(self.frame.take(begin, end)))]
        except Exception as error:  # noqa: BLE001 - whatever the estimator raises on a row that it refuses
            self._refusal = f"{type(error).__name__}: {error}"
            if end - begin == 1:
                return []
        half = (begin + end) // 2
        return self._answer_part(begin, half) + self._answer_part(half, end)

    def _ask(self, X: Any) -> Answers:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return self._answer(X)

    def answer_each(self, rows: Sequence[Row]) -> list[tuple[list[int], Answers]]:
        """What it answers, without the rows that it refuses.

        Args:
            rows: Any number of rows.

        Returns:
            The numbers of rows and their answers, in as few groups as that takes.
        """
        return self._answer_some(rows, list(range(len(rows))))

    def _answer_some(self, rows: Sequence[Row], numbers: list[int]) -> list[tuple[list[int], Answers]]:
        if not numbers:
            return []
        try:
            return [(numbers, self.answer([rows[number] for number in numbers]))]
        except Exception:  # noqa: BLE001 - whatever the estimator raises on a row that it refuses
            if len(numbers) == 1:
                return []
        half = len(numbers) // 2
        return self._answer_some(rows, numbers[:half]) + self._answer_some(rows, numbers[half:])

    def _answer(self, X: Any) -> Answers:
        estimator = self.estimator
        if not self._predicts:
            return {"transformed": _dense(estimator.transform(X))}
        predicted = _dense(estimator.predict(X))
        if self._regresses:
            return {"prediction": predicted.reshape(len(predicted), -1)}
        answers = {"label": _labels(predicted)}
        if self.has_probabilities:
            probabilities = estimator.predict_proba(X)
            parts = _parts(probabilities)
            if isinstance(probabilities, list):
                answers |= {f"probabilities_{index}": part for index, part in enumerate(parts)}
            else:
                answers["probabilities"] = parts[0]
        elif hasattr(estimator, "decision_function"):
            answers["scores"] = np.asarray(estimator.decision_function(X))
        elif not self._classifies and hasattr(estimator, "transform"):
            answers["scores"] = _dense(estimator.transform(X))
        return answers

    def thresholds(self) -> list[tuple[int, float]]:
        """Where its trees split: the column's number and the threshold, for trees on the raw columns."""
        found: set[tuple[int, float]] = set()
        if self._last is not self.estimator:
            return []
        for tree, features in _trees(self.estimator):
            inner = tree.children_left >= 0
            columns = tree.feature[inner] if features is None else features[tree.feature[inner]]
            found.update(zip(columns.tolist(), tree.threshold[inner].tolist(), strict=True))
        if getattr(self.estimator, "_preprocessor", None) is None:
            for iteration in getattr(self.estimator, "_predictors", []):
                for predictor in iteration:
                    nodes = predictor.nodes[predictor.nodes["is_leaf"] == 0]
                    found.update(
                        zip(nodes["feature_idx"].tolist(), nodes["num_threshold"].tolist(), strict=True)
                    )
        return sorted(found)

    def at_a_vote(self, rows: Sequence[Row], tolerance: float) -> Array:
        """``bool[rows]``: where a vote between two classes is within the tolerance of going the other way.

        Support vector classifiers count such votes: labels and scores jump where one changes.
        """
        if not hasattr(self._last, "decision_function_shape"):
            return np.zeros(len(rows), bool)
        pairs = with_last_step(self.estimator, decision_function_shape="ovo", break_ties=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            decisions = np.asarray(pairs.decision_function(self.frame.restore(rows)))
            usual = np.asarray(pairs.decision_function(self.frame.take(0, _MEASURED)))
        allowed = tolerance * _typical(np.abs(usual))
        return np.asarray((np.abs(decisions).reshape(len(rows), -1) <= allowed).any(axis=1))

    def undecided(self, rows: Sequence[Row], tolerance: float) -> Array:
        """``bool[rows]``: where its best two choices are within the tolerance of each other.

        The tolerance is a part of how far apart they typically are on the sample, and of no more than 1 for
        probabilities: an estimator that is never sure of anything is decided by less.
        """
        tied = np.zeros(len(rows), bool)
        if not self._predicts or self._regresses:
            return tied
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            X = self.frame.restore(rows)
            usual = self.frame.take(0, _MEASURED)
            if hasattr(self.estimator, "predict_proba"):
                shares = _parts(self.estimator.predict_proba(X))
                for part, known in zip(shares, _parts(self.estimator.predict_proba(usual)), strict=True):
                    best, margin = _margins(part)
                    typical = min(1.0, _typical(_margins(known)[1]))
                    tied |= margin <= tolerance * typical * (1 + np.abs(best))
            scores = self._scores(X)
            if scores is not None:
                best, margin = _margins(scores)
                known_best, known_margin = _margins(np.asarray(self._scores(usual)))
                away = np.abs(best - np.median(known_best)) if scores.ndim > 1 else 0.0
                tied |= margin <= tolerance * (_typical(known_margin) + away)
        return tied

    def _scores(self, X: Any) -> Any:
        """The scores whose best one decides, if it has some."""
        if hasattr(self.estimator, "decision_function"):
            return np.asarray(self.estimator.decision_function(X))
        if not self._classifies and hasattr(self.estimator, "transform"):
            return -_dense(self.estimator.transform(X))
        return None


def _trees(estimator: Any) -> Iterator[tuple[Any, Array | None]]:
    """The trees of an estimator that look at its own columns, and which of the columns each one has."""
    if hasattr(estimator, "tree_"):
        yield estimator.tree_, None
    members = getattr(estimator, "estimators_", None)
    if members is None or hasattr(estimator, "final_estimator_"):
        return
    features = getattr(estimator, "estimators_features_", None)
    for index, member in enumerate(np.asarray(members, object).ravel().tolist()):
        for tree, inner in _trees(member):
            outer = None if features is None else np.asarray(features[index])
            yield tree, outer if inner is None or outer is None else outer[inner]


def _labels(predicted: Array) -> Array:
    """Labels of one plain numpy type; numpy's own strings become objects."""
    if predicted.dtype.kind in "OUT":
        values = predicted.ravel().tolist()
        if all(isinstance(value, bool) for value in values):
            return predicted.astype(np.bool_)
        if all(isinstance(value, int) for value in values):
            return predicted.astype(np.int64)
        return np.array([str(value) for value in values], object).reshape(predicted.shape)
    return predicted.astype(np.int64) if predicted.dtype.kind in "iu" else predicted


def _parts(probabilities: Any) -> list[Array]:
    """One array, or one for each output."""
    several: Any = list
    return [
        np.asarray(part)
        for part in (probabilities if isinstance(probabilities, several) else [probabilities])
    ]


def _dense(values: Any) -> Array:
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values)


def _margins(scores: Array) -> tuple[Array, Array]:
    """The best of each row, and by how much it is the best; a lone score decides at zero."""
    if scores.ndim == 1:
        return scores, np.abs(scores)
    if scores.shape[1] == 1:  # a single class has nothing beside it
        return scores[:, 0], np.full(len(scores), np.inf)
    second, best = np.sort(scores, axis=1)[:, -2:].T
    return best, best - second


def _typical(margins: Array) -> float:
    """The median of the margins that are none of ties; 1 where all are."""
    clear = margins[(margins > 0) & np.isfinite(margins)]
    return float(np.median(clear)) if clear.size else 1.0
