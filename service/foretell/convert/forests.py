"""Converters for scikit-learn's trees and forests: the same branches, and sums in float64.

skl2onnx's own lose the missing-value branches, divide each vote by the number of trees before it is summed
(so that an even split is decided by rounding), and write float64 thresholds as float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from foretell.convert.nodes import GraphWriter
from foretell.convert.registry import Registry
from foretell.convert.tree_operators import add_tree, choose, doubles, label_attribute, signed_classifier
from foretell.convert.trees import Trees
from foretell.errors import ConversionError

__all__ = ["register"]


def register(registry: Registry) -> None:
    """Add the converters of this module."""
    from sklearn import ensemble, tree

    voting: tuple[type, ...] = (
        tree.DecisionTreeClassifier,
        tree.ExtraTreeClassifier,
        ensemble.RandomForestClassifier,
        ensemble.ExtraTreesClassifier,
    )
    averaging: tuple[type, ...] = (
        tree.DecisionTreeRegressor,
        tree.ExtraTreeRegressor,
        ensemble.RandomForestRegressor,
        ensemble.ExtraTreesRegressor,
    )
    for kind in voting:
        registry.add(kind, _voting_classifier)
    for kind in averaging:
        registry.add(kind, _averaging_regressor)


def _voting_classifier(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    _refuse_extra_outputs(operator, 2)
    writer = GraphWriter(scope, container)
    grown = _grown(model)
    values = doubles(writer, operator)
    if model.n_outputs_ > 1:
        _voting_multi_output(writer, operator, grown, values)
        return
    classes = model.classes_
    label, probabilities = operator.outputs
    trees = Trees()
    if len(classes) > 2:
        for tree in grown:
            add_tree(trees, operator, tree, tree.value[:, 0, :])
        chosen, votes = writer.add_ml(
            "TreeEnsembleClassifier",
            values,
            outputs=2,
            **label_attribute(classes),
            **trees.attributes("class"),
        )
        writer.add("Identity", chosen, to=label.full_name)
        share = writer.add("Div", votes, writer.constant(len(grown), np.float32))
    elif len(classes) == 2:
        # Votes are counted from the middle, unscaled: an even split sums to zero exactly, and is the first class.
        for tree in grown:
            add_tree(trees, operator, tree, tree.value[:, 0, 1:2] - 0.5)
        chosen, balance = signed_classifier(writer, values, trees, classes)
        writer.add("Identity", chosen, to=label.full_name)
        share = writer.add("Div", balance, writer.constant(len(grown), np.float32))
        share = writer.add("Add", share, writer.constant(0.5, np.float32))
    else:
        for tree in grown:
            add_tree(trees, operator, tree, tree.value[:, 0, :])
        votes = writer.add_ml("TreeEnsembleRegressor", values, n_targets=1, **trees.attributes("target"))[0]
        share = writer.add("Div", votes, writer.constant(len(grown), np.float32))
        choose(writer, share, classes, label.full_name)
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
            add_tree(trees, operator, tree, tree.value[:, output, : len(classes)])
        votes = writer.add_ml(
            "TreeEnsembleRegressor", values, n_targets=len(classes), **trees.attributes("target")
        )[0]
        share = writer.add("Div", votes, writer.constant(len(grown), np.float32))
        one = choose(writer, share, classes)
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
    # The operator gives float32, which holds how a tree's values vary, but not beside where they all are.
    center = grown[0].value[0, :, 0]
    for tree in grown:
        add_tree(trees, operator, tree, tree.value[:, :, 0] - center)
    total = writer.add_ml(
        "TreeEnsembleRegressor",
        doubles(writer, operator),
        n_targets=int(model.n_outputs_),
        **trees.attributes("target"),
    )[0]
    total = writer.cast(total, np.float64)
    if len(grown) > 1:
        total = writer.add("Div", total, writer.constant(len(grown), np.float64))
    total = writer.add("Add", total, writer.constant(center, np.float64))
    writer.deliver(total, operator.outputs[0], np.float64)


def _grown(model: Any) -> list[Any]:
    return [estimator.tree_ for estimator in getattr(model, "estimators_", [model])]


def _refuse_extra_outputs(operator: Any, expected: int) -> None:
    if len(operator.outputs) != expected:
        raise ConversionError(
            f"{type(operator.raw_operator).__name__} is asked for its decision path, which is not converted: "
            "publish an estimator that predicts or transforms without it"
        )
