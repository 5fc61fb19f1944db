"""Converters for scikit-learn's trees and forests: the same branches, and sums in float64.

skl2onnx's own lose the missing-value branches, divide each vote by the number of trees before it is summed
(so that an even split is decided by rounding), and write float64 thresholds as float32.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from foretell.convert.nodes import GraphWriter, is_double
from foretell.convert.registry import Registry
from foretell.convert.trees import LEAF, Trees, float32_at_most, float64_at_most
from foretell.errors import ConversionError
from foretell.tensors import Array

__all__ = ["register"]


def register(registry: Registry) -> None:
    """Add the converters of this module."""
    from sklearn import ensemble, tree

    for kind in (
        tree.DecisionTreeClassifier,
        tree.ExtraTreeClassifier,
        ensemble.RandomForestClassifier,
        ensemble.ExtraTreesClassifier,
    ):
        registry.add(kind, _voting_classifier)
    for kind in (
        tree.DecisionTreeRegressor,
        tree.ExtraTreeRegressor,
        ensemble.RandomForestRegressor,
        ensemble.ExtraTreesRegressor,
    ):
        registry.add(kind, _averaging_regressor)
    registry.add(ensemble.GradientBoostingClassifier, _boosting_classifier)
    registry.add(ensemble.GradientBoostingRegressor, _boosting_regressor)
    # Histogram boosting keeps an encoder of categories to itself.
    registry.add(
        ensemble.HistGradientBoostingClassifier, _boosting_classifier, parser=_parse_histogram_boosting
    )
    registry.add(
        ensemble.HistGradientBoostingRegressor, _boosting_regressor, parser=_parse_histogram_boosting
    )
    registry.add(ensemble.IsolationForest, _isolation_forest)


def _parse_histogram_boosting(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    parsing: Any = importlib.import_module("skl2onnx._parse")
    if model._preprocessor is not None:  # noqa: SLF001 - there is no public name for it
        inputs = parsing._parse_sklearn(scope, model._preprocessor, inputs, custom_parsers)  # noqa: SLF001
    return parsing._parse_sklearn_simple_model(scope, model, inputs, custom_parsers)  # noqa: SLF001


# ---------------------------------------------------------------- trees that vote or average


def _voting_classifier(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    _refuse_extra_outputs(operator, 2)
    writer = GraphWriter(scope, container)
    grown = _grown(model)
    values = _doubles(writer, operator)
    if model.n_outputs_ > 1:
        _voting_multi_output(writer, operator, grown, values)
        return
    classes = model.classes_
    label, probabilities = operator.outputs
    trees = Trees()
    if len(classes) > 2:
        for tree in grown:
            _add_tree(trees, operator, tree, tree.value[:, 0, :])
        chosen, votes = writer.add_ml(
            "TreeEnsembleClassifier", values, outputs=2, **_labels(classes), **trees.attributes("class")
        )
        writer.add("Identity", chosen, to=label.full_name)
        share = writer.add("Div", votes, writer.constant(len(grown), np.float32))
    elif len(classes) == 2:
        # Votes are counted from the middle, unscaled: an even split sums to zero exactly, and is the first class.
        for tree in grown:
            _add_tree(trees, operator, tree, tree.value[:, 0, 1:2] - 0.5)
        chosen, balance = _signed_classifier(writer, values, trees, classes)
        writer.add("Identity", chosen, to=label.full_name)
        share = writer.add("Div", balance, writer.constant(len(grown), np.float32))
        share = writer.add("Add", share, writer.constant(0.5, np.float32))
    else:
        for tree in grown:
            _add_tree(trees, operator, tree, tree.value[:, 0, :])
        votes = writer.add_ml("TreeEnsembleRegressor", values, n_targets=1, **trees.attributes("target"))[0]
        share = writer.add("Div", votes, writer.constant(len(grown), np.float32))
        _choose(writer, share, classes, label.full_name)
    writer.deliver(share, probabilities, np.float32)


def _voting_multi_output(writer: GraphWriter, operator: Any, grown: list[Any], values: str) -> None:
    model = operator.raw_operator
    label, probabilities = operator.outputs
    widest = max(len(classes) for classes in model.classes_)
    chosen: list[str] = []
    shares: list[str] = []
    for output, classes in enumerate(model.classes_):
        trees = Trees()
        for tree in grown:
            _add_tree(trees, operator, tree, tree.value[:, output, : len(classes)])
        votes = writer.add_ml(
            "TreeEnsembleRegressor", values, n_targets=len(classes), **trees.attributes("target")
        )[0]
        share = writer.add("Div", votes, writer.constant(len(grown), np.float32))
        one = _choose(writer, share, classes)
        chosen.append(writer.add("Unsqueeze", one, writer.constant([1], np.int64)))
        padding = writer.constant([0, 0, 0, widest - len(classes)], np.int64)
        padded = writer.add("Pad", share, padding)
        shares.append(writer.add("Unsqueeze", padded, writer.constant([0], np.int64)))
    writer.add("Concat", *chosen, to=label.full_name, axis=1)
    writer.deliver(writer.add("Concat", *shares, axis=0), probabilities, np.float32)


def _averaging_regressor(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    _refuse_extra_outputs(operator, 1)
    writer = GraphWriter(scope, container)
    grown = _grown(model)
    trees = Trees()
    for tree in grown:
        _add_tree(trees, operator, tree, tree.value[:, :, 0])
    total = writer.add_ml(
        "TreeEnsembleRegressor",
        _doubles(writer, operator),
        n_targets=int(model.n_outputs_),
        **trees.attributes("target"),
    )[0]
    if len(grown) > 1:
        total = writer.add("Div", total, writer.constant(len(grown), np.float32))
    writer.deliver(total, operator.outputs[0], np.float32)


# ---------------------------------------------------------------- trees that add up


def _boosting_classifier(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    writer = GraphWriter(scope, container)
    label, probabilities = operator.outputs
    classes = model.classes_
    trees, targets = _boosted(model, operator)
    values = _doubles(writer, operator)
    if targets == 1:
        chosen, scores = _signed_classifier(writer, values, trees, classes)
        if getattr(model, "loss", None) == "exponential":
            scores = writer.add("Mul", scores, writer.constant(2.0, np.float32))
        shares = writer.add("Sigmoid", scores)
    else:
        chosen, scores = writer.add_ml(
            "TreeEnsembleClassifier", values, outputs=2, **_labels(classes), **trees.attributes("class")
        )
        shares = writer.add("Softmax", scores, axis=1)
    writer.add("Identity", chosen, to=label.full_name)
    writer.deliver(shares, probabilities, np.float32)


def _boosting_regressor(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    writer = GraphWriter(scope, container)
    trees, targets = _boosted(model, operator)
    total = writer.add_ml(
        "TreeEnsembleRegressor", _doubles(writer, operator), n_targets=targets, **trees.attributes("target")
    )[0]
    loss = type(getattr(model, "_loss", None)).__name__
    if loss in {"HalfPoissonLoss", "HalfGammaLoss"}:  # their link is the logarithm
        total = writer.add("Exp", total)
    writer.deliver(total, operator.outputs[0], np.float32)


def _boosted(model: Any, operator: Any) -> tuple[Trees, int]:
    """The trees of a boosting model, its first guess among them, in the order in which it adds them up."""
    trees = Trees()
    if hasattr(model, "_predictors"):
        baseline = np.asarray(model._baseline_prediction, np.float64).ravel()  # noqa: SLF001
        trees.add_constant(baseline)
        for iteration in model._predictors:  # noqa: SLF001
            for target, predictor in enumerate(iteration):
                _add_histogram_tree(trees, model, predictor, target)
        return trees, len(baseline)
    if not (model.init is None or model.init == "zero"):
        raise ConversionError(
            f"{type(model).__name__}(init={model.init!r}) starts from another estimator, which has no ONNX form "
            "here: train it with init=None or init='zero'"
        )
    stages = model.estimators_
    baseline = np.asarray(
        model._raw_predict_init(np.zeros((1, model.n_features_in_), np.float32)), np.float64
    ).ravel()
    trees.add_constant(baseline)
    for stage in stages:
        for target, estimator in enumerate(stage):
            tree = estimator.tree_
            _add_tree(trees, operator, tree, model.learning_rate * tree.value[:, 0, :], target)
    return trees, len(baseline)


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


# ---------------------------------------------------------------- trees that isolate


def _isolation_forest(scope: Any, operator: Any, container: Any) -> None:
    from sklearn.ensemble import _iforest

    model = operator.raw_operator
    _refuse_extra_outputs(operator, 2)
    writer = GraphWriter(scope, container)
    label, scores = operator.outputs
    splits: list[Array] = []
    table: dict[str, list[int]] = {
        name: []
        for name in (
            "tree_roots", "nodes_featureids", "nodes_truenodeids", "nodes_trueleafs", "nodes_falsenodeids",
            "nodes_falseleafs", "nodes_missing_value_tracks_true",
        )
    }  # fmt: skip
    weights: list[Array] = []
    nodes = leaves = 0
    for index, (estimator, features) in enumerate(
        zip(model.estimators_, model.estimators_features_, strict=True)
    ):
        tree = estimator.tree_
        depth = model._decision_path_lengths[index] + model._average_path_length_per_tree[index] - 1.0  # noqa: SLF001
        leaf = tree.children_left == LEAF
        inner = np.flatnonzero(~leaf)
        place = np.where(leaf, leaves + np.cumsum(leaf) - 1, nodes + np.cumsum(~leaf) - 1)
        if inner.size == 0:  # a lone leaf needs a node above it
            inner, place = np.zeros(1, np.int64), np.array([leaves])
            children = {"true": inner, "false": inner}
            threshold, feature, missing = np.zeros(1), np.zeros(1, np.int64), np.zeros(1, np.int64)
        else:
            children = {"true": tree.children_left[inner], "false": tree.children_right[inner]}
            threshold, feature = tree.threshold[inner], np.asarray(features)[tree.feature[inner]]
            missing = tree.missing_go_to_left[inner]
        table["tree_roots"].append(nodes)
        table["nodes_featureids"] += feature.tolist()
        table["nodes_missing_value_tracks_true"] += missing.astype(np.int64).tolist()
        for side, child in children.items():
            table[f"nodes_{side}nodeids"] += place[child].tolist()
            table[f"nodes_{side}leafs"] += leaf[child].astype(np.int64).tolist()
        splits.append(_at_most(operator, threshold))
        weights.append(np.asarray(depth, np.float64)[leaf])
        nodes += len(inner)
        leaves += int(leaf.sum())
    from onnx import numpy_helper

    # The operator of version 5 (`convert_estimator` says so of the whole graph): it gives the sum in float64.
    total = writer.add_ml(
        "TreeEnsemble",
        _doubles(writer, operator),
        n_targets=1,
        aggregate_function=1,
        post_transform=0,
        nodes_modes=numpy_helper.from_array(np.zeros(nodes, np.uint8), "modes"),
        nodes_splits=numpy_helper.from_array(np.concatenate(splits).astype(np.float64), "splits"),
        leaf_targetids=[0] * leaves,
        leaf_weights=numpy_helper.from_array(np.concatenate(weights), "weights"),
        **table,
    )[0]
    scale = len(model.estimators_) * _iforest._average_path_length([model._max_samples])  # noqa: SLF001
    if not np.all(scale):
        raise ConversionError("IsolationForest was trained on one row: train it on more")
    power = writer.add("Neg", writer.add("Div", total, writer.constant(scale, np.float64)))
    anomaly = writer.add("Pow", writer.constant([2.0], np.float64), power)
    decision = writer.add("Sub", writer.add("Neg", anomaly), writer.constant([model.offset_], np.float64))
    inlier = writer.add("GreaterOrEqual", decision, writer.constant([0.0], np.float64))
    sign = writer.add("Where", inlier, writer.constant([1], np.int64), writer.constant([-1], np.int64))
    writer.add("Reshape", sign, writer.constant([-1], np.int64), to=label.full_name)
    writer.deliver(decision, scores, np.float64)


# ---------------------------------------------------------------- shared


def _grown(model: Any) -> list[Any]:
    return [estimator.tree_ for estimator in getattr(model, "estimators_", [model])]


def _at_most(operator: Any, threshold: Array) -> Array:
    if is_double(operator.inputs[0]):
        return float64_at_most(threshold)
    return float32_at_most(threshold).astype(np.float64)


def _add_tree(trees: Trees, operator: Any, tree: Any, weights: Array, first_target: int = 0) -> None:
    trees.add(
        feature=tree.feature,
        threshold=_at_most(operator, tree.threshold),
        left=tree.children_left,
        right=tree.children_right,
        missing_left=tree.missing_go_to_left,
        weights=weights,
        first_target=first_target,
    )


def _doubles(writer: GraphWriter, operator: Any) -> str:
    """The operator's input as one float64 tensor."""
    names = [
        str(variable.full_name) if is_double(variable) else writer.cast(variable.full_name, np.float64)
        for variable in operator.inputs
    ]
    return names[0] if len(names) == 1 else writer.add("Concat", *names, axis=1)


def _labels(classes: Array) -> dict[str, Any]:
    """The operator's attribute with class labels."""
    if all(isinstance(label, str) for label in classes.tolist()):
        return {"classlabels_strings": [str(label) for label in classes], "post_transform": "NONE"}
    return {"classlabels_int64s": [int(label) for label in classes], "post_transform": "NONE"}


def _signed_classifier(writer: GraphWriter, values: str, trees: Trees, classes: Array) -> list[str]:
    """A two-class classifier whose one score decides by its sign: the labels, and ``[-score, score]``."""
    if trees.only_nonnegative:  # then ONNX Runtime would take the score for a probability, and decide at 0.5
        trees.add_constant(np.array([-1.0]))
        trees.add_constant(np.array([1.0]))
    return writer.add_ml(
        "TreeEnsembleClassifier", values, outputs=2, **_labels(classes), **trees.attributes("class")
    )


def _choose(writer: GraphWriter, shares: str, classes: Array, to: str | None = None) -> str:
    """The label of the largest share in each row."""
    best = writer.add("ArgMax", shares, axis=1, keepdims=0)
    return writer.add("Gather", writer.labels(classes), best, to=to)


def _refuse_extra_outputs(operator: Any, expected: int) -> None:
    if len(operator.outputs) != expected:
        raise ConversionError(
            f"{type(operator.raw_operator).__name__} is asked for its decision path, which is not converted: "
            "publish an estimator that predicts or transforms without it"
        )
