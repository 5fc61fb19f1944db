"""Converters for scikit-learn's boosted trees: the sum in float64, from the first guess on, in the original's order."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from foretell.convert.nodes import GraphWriter
from foretell.convert.registry import Registry
from foretell.convert.tree_operators import add_tree, choose, doubles, label_attribute, signed_classifier
from foretell.convert.trees import LEAF, Trees
from foretell.errors import ConversionError
from foretell.tensors import Array

__all__ = ["register"]


def register(registry: Registry) -> None:
    """Add the converters of this module."""
    from sklearn import ensemble

    registry.add(ensemble.GradientBoostingClassifier, _boosting_classifier)
    registry.add(ensemble.GradientBoostingRegressor, _boosting_regressor)
    # Histogram boosting keeps an encoder of categories to itself.
    registry.add(
        ensemble.HistGradientBoostingClassifier, _boosting_classifier, parser=_parse_histogram_boosting
    )
    registry.add(
        ensemble.HistGradientBoostingRegressor, _boosting_regressor, parser=_parse_histogram_boosting
    )


def _parse_histogram_boosting(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    parsing: Any = importlib.import_module("skl2onnx._parse")
    if model._preprocessor is not None:  # noqa: SLF001 - there is no public name for it
        inputs = parsing._parse_sklearn(scope, model._preprocessor, inputs, custom_parsers)  # noqa: SLF001
    return parsing._parse_sklearn_simple_model(scope, model, inputs, custom_parsers)  # noqa: SLF001


def _boosting_classifier(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    writer = GraphWriter(scope, container)
    label, probabilities = operator.outputs
    classes = model.classes_
    values = doubles(writer, operator)
    count = len(np.ravel(_baseline(model)))
    if getattr(model, "is_categorical_", None) is not None:
        # ONNX Runtime's classifier misreads leaves that several nodes lead to; its regressor of one target does not.
        parts = [_sum(writer, _boosted(model, operator, target), values) for target in range(count)]
        if count == 1:
            parts.insert(0, writer.add("Neg", parts[0]))
        scores = writer.add("Concat", *parts, axis=1)
        chosen = choose(writer, scores, classes)
    elif count == 1:
        chosen, scores = signed_classifier(writer, values, _boosted(model, operator), classes)
    else:
        chosen, scores = writer.add_ml(
            "TreeEnsembleClassifier",
            values,
            outputs=2,
            **label_attribute(classes),
            **_boosted(model, operator).attributes("class"),
        )
    if getattr(model, "loss", None) == "exponential":
        scores = writer.add("Mul", scores, writer.constant(2.0, np.float32))
    shares = writer.add("Sigmoid", scores) if count == 1 else writer.add("Softmax", scores, axis=1)
    writer.add("Identity", chosen, to=label.full_name)
    writer.deliver(shares, probabilities, np.float32)


def _boosting_regressor(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    writer = GraphWriter(scope, container)
    # The operator gives float32, which holds what the trees add, but not beside a large first guess.
    added = _sum(writer, _boosted(model, operator, guess=False), doubles(writer, operator))
    total = writer.cast(added, np.float64)
    total = writer.add("Add", total, writer.constant(_baseline(model), np.float64))
    loss = type(getattr(model, "_loss", None)).__name__
    if loss in {"HalfPoissonLoss", "HalfGammaLoss"}:  # their link is the logarithm
        total = writer.add("Exp", total)
    writer.deliver(total, operator.outputs[0], np.float64)


def _sum(writer: GraphWriter, trees: Trees, values: str) -> str:
    return writer.add_ml("TreeEnsembleRegressor", values, n_targets=1, **trees.attributes("target"))[0]


def _baseline(model: Any) -> Array:
    """``float64[targets]``: the first guess, which every tree adds to."""
    if hasattr(model, "_predictors"):
        return np.asarray(model._baseline_prediction, np.float64).ravel()  # noqa: SLF001
    if not (model.init is None or model.init == "zero"):
        raise ConversionError(
            f"{type(model).__name__}(init={model.init!r}) starts from another estimator, which has no ONNX form "
            "here: train it with init=None or init='zero'"
        )
    nothing = np.zeros((1, model.n_features_in_), np.float32)
    return np.asarray(model._raw_predict_init(nothing), np.float64).ravel()  # noqa: SLF001


def _boosted(model: Any, operator: Any, only: int | None = None, *, guess: bool = True) -> Trees:
    """The trees of a boosting model, its first guess among them, in the order in which it adds them up.

    Args:
        model: The estimator.
        operator: skl2onnx's operator.
        only: The one target whose trees are meant; all if None.
        guess: Whether the first guess is among them.
    """
    trees = Trees()
    baseline = _baseline(model)
    baseline = baseline if guess else np.zeros_like(baseline)
    trees.add_constant(baseline if only is None else baseline[only : only + 1])
    for stage in model._predictors if hasattr(model, "_predictors") else model.estimators_:  # noqa: SLF001
        for target, member in enumerate(stage):
            if only not in {None, target}:
                continue
            place = target if only is None else 0
            if hasattr(member, "nodes"):
                _add_histogram_tree(trees, model, member, place)
            else:
                tree = member.tree_
                add_tree(trees, operator, tree, model.learning_rate * tree.value[:, 0, :], place)
    return trees


def _add_histogram_tree(trees: Trees, model: Any, predictor: Any, target: int) -> None:
    """Add a tree of histogram boosting, which compares in float64; a set of categories becomes equality nodes."""
    nodes = predictor.nodes
    count = len(nodes)
    leaf = nodes["is_leaf"].astype(bool)
    feature = nodes["feature_idx"].astype(np.int64)
    threshold = nodes["num_threshold"].astype(np.float64)
    left = np.where(leaf, LEAF, nodes["left"].astype(np.int64))
    right = np.where(leaf, LEAF, nodes["right"].astype(np.int64))
    missing_left = nodes["missing_go_to_left"].astype(np.int64)
    equality = np.zeros(count, bool)
    extra: list[tuple[int, float, int, int]] = []  # feature, category, true child, false child
    for index in np.flatnonzero(nodes["is_categorical"].astype(bool) & ~leaf):
        go_left = _members(predictor.raw_left_cat_bitsets[nodes["bitset_idx"][index]])
        if missing_left[index]:  # so do unknown categories: list those that go right
            known = model._bin_mapper.bin_thresholds_[feature[index]]  # noqa: SLF001
            listed = [int(category) for category in known if int(category) not in go_left]
            hit, otherwise = int(right[index]), int(left[index])
        else:
            listed, hit, otherwise = sorted(go_left), int(left[index]), int(right[index])
        if not listed:
            threshold[index], missing_left[index] = np.inf, 1
            left[index] = otherwise
            continue
        following = [count + len(extra) + offset for offset in range(len(listed) - 1)]
        equality[index], missing_left[index] = True, 0
        threshold[index], left[index] = listed[0], hit
        right[index] = following[0] if following else otherwise
        extra.extend(
            (
                int(feature[index]),
                float(category),
                hit,
                following[place + 1] if place + 1 < len(following) else otherwise,
            )
            for place, category in enumerate(listed[1:])
        )
    added = np.array(extra, np.float64).reshape(-1, 4)
    trees.add(
        feature=np.concatenate([feature, added[:, 0].astype(np.int64)]),
        threshold=np.concatenate([threshold, added[:, 1]]),
        left=np.concatenate([left, added[:, 2].astype(np.int64)]),
        right=np.concatenate([right, added[:, 3].astype(np.int64)]),
        missing_left=np.concatenate([missing_left, np.zeros(len(extra), np.int64)]),
        weights=np.concatenate([nodes["value"].astype(np.float64), np.zeros(len(extra))]).reshape(-1, 1),
        first_target=target,
        is_equality=np.concatenate([equality, np.ones(len(extra), bool)]),
    )


def _members(bitset: Array) -> set[int]:
    return {
        32 * word + bit for word, bits in enumerate(bitset.tolist()) for bit in range(32) if bits >> bit & 1
    }
