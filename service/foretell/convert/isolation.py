"""A converter for scikit-learn's IsolationForest: how deep a row falls, added up in float64."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from foretell.convert.nodes import GraphWriter
from foretell.convert.registry import Registry
from foretell.convert.tree_operators import at_most, doubles
from foretell.convert.trees import LEAF
from foretell.errors import ConversionError
from foretell.tensors import Array

__all__ = ["register"]


def register(registry: Registry) -> None:
    """Add the converter of this module."""
    from sklearn.ensemble import IsolationForest

    registry.add(IsolationForest, _isolation_forest)


def _isolation_forest(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    writer = GraphWriter(scope, container)
    label, scores = operator.outputs
    splits: list[Array] = []
    table: dict[str, Any] = {
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
        splits.append(at_most(operator, threshold))
        weights.append(np.asarray(depth, np.float64)[leaf])
        nodes += len(inner)
        leaves += int(leaf.sum())
    from onnx import numpy_helper

    # The operator of version 5 (`convert_estimator` says so of the whole graph): it gives the sum in float64.
    total = writer.add_ml(
        "TreeEnsemble",
        doubles(writer, operator),
        n_targets=1,
        aggregate_function=1,
        post_transform=0,
        nodes_modes=numpy_helper.from_array(np.zeros(nodes, np.uint8), "modes"),
        nodes_splits=numpy_helper.from_array(np.concatenate(splits).astype(np.float64), "splits"),
        leaf_targetids=[0] * leaves,
        leaf_weights=numpy_helper.from_array(np.concatenate(weights), "weights"),
        **table,
    )[0]
    internals: Any = importlib.import_module("sklearn.ensemble._iforest")
    scale = len(model.estimators_) * internals._average_path_length([model._max_samples])  # noqa: SLF001
    if not np.all(scale):
        raise ConversionError("IsolationForest was trained on one row: train it on more")
    power = writer.add("Neg", writer.add("Div", total, writer.constant(scale, np.float64)))
    anomaly = writer.add("Pow", writer.constant([2.0], np.float64), power)
    decision = writer.add("Sub", writer.add("Neg", anomaly), writer.constant([model.offset_], np.float64))
    inlier = writer.add("GreaterOrEqual", decision, writer.constant([0.0], np.float64))
    sign = writer.add("Where", inlier, writer.constant([1], np.int64), writer.constant([-1], np.int64))
    writer.add("Reshape", sign, writer.constant([-1], np.int64), to=label.full_name)
    writer.deliver(decision, scores, np.float64)
