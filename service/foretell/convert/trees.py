"""Decision trees as the node table of ONNX's tree ensemble operators, with thresholds that decide as the original's."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from foretell.tensors import Array

__all__ = ["Trees", "float32_at_least", "float32_at_most", "float64_at_most"]

LEAF: Final = -1


def float32_at_most(thresholds: Array) -> Array:
    """The largest float32 at most each threshold, so that ``float32(x) <= t`` compares alike.

    Args:
        thresholds: ``float64[...]``.
    """
    rounded = thresholds.astype(np.float32)
    return np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded)


def float32_at_least(thresholds: Array) -> Array:
    """The least float32 at least each threshold, so that ``float32(x) >= t`` compares alike.

    Args:
        thresholds: ``float64[...]``.
    """
    return -float32_at_most(-thresholds)


def float64_at_most(thresholds: Array) -> Array:
    """The largest float64 that scikit-learn's cast to float32 leaves at most each threshold.

    ``x <= result`` decides for a float64 ``x`` as ``float32(x) <= t`` does.

    Args:
        thresholds: ``float64[...]``.
    """
    below = float32_at_most(thresholds)
    with np.errstate(over="ignore"):
        above = np.nextafter(below, np.float32(np.inf)).astype(np.float64)
        halfway = below.astype(np.float64) + (above - below.astype(np.float64)) / 2
        is_below = halfway.astype(np.float32) == below  # rounds half to even
    return np.where(is_below, halfway, np.nextafter(halfway, -np.inf))


class Trees:
    """Collects trees, then gives the attributes of a ``TreeEnsembleClassifier`` or ``TreeEnsembleRegressor``.

    Values and weights are kept in float64, and so is the comparison and the sum in ONNX Runtime.

    Source: ONNX operators, ai.onnx.ml version 3, TreeEnsembleClassifier and TreeEnsembleRegressor.
    """

    def __init__(self) -> None:
        self._count = 0
        self._columns: dict[str, list[Array]] = {}
        self._weights: list[Array] = []

    @property
    def only_nonnegative(self) -> bool:
        """Whether no leaf has a negative weight."""
        return all(bool((weights >= 0).all()) for weights in self._weights)

    def add_constant(self, weights: Array, first_target: int = 0) -> None:
        """Add a tree that is one leaf.

        Args:
            weights: ``float64[targets]``.
            first_target: The class or target that the first weight belongs to.
        """
        none = np.full(1, LEAF)
        self.add(
            feature=np.zeros(1, np.int64),
            threshold=np.zeros(1),
            left=none,
            right=none,
            missing_left=np.zeros(1, np.int64),
            weights=np.asarray(weights, np.float64).reshape(1, -1),
            first_target=first_target,
        )

    def add(
        self,
        *,
        feature: Array,
        threshold: Array,
        left: Array,
        right: Array,
        missing_left: Array,
        weights: Array,
        first_target: int = 0,
        is_equality: Array | None = None,
    ) -> None:
        """Add a tree whose node 0 is the root.

        Args:
            feature: ``int[nodes]``, the column that a node looks at.
            threshold: ``float64[nodes]``: at most it goes left.
            left: ``int[nodes]``, -1 for a leaf.
            right: ``int[nodes]``.
            missing_left: ``bool[nodes]``, whether NaN goes left.
            weights: ``float64[nodes, targets]``, read at leaves.
            first_target: The class or target that the first weight belongs to.
            is_equality: ``bool[nodes]``, nodes where only a value equal to the threshold goes left.
        """
        leaf = left == LEAF
        nodes = np.arange(len(left))
        leaves: Array = nodes[leaf]
        targets: int = weights.shape[1]
        modes: Array = np.where(leaf, b"LEAF", b"BRANCH_LEQ")
        if is_equality is not None:
            modes = np.where(is_equality & ~leaf, b"BRANCH_EQ", modes)
        columns: dict[str, Array] = {
            "nodes_treeids": np.full(len(nodes), self._count),
            "nodes_nodeids": nodes,
            "nodes_featureids": np.where(leaf, 0, feature),
            "nodes_modes": modes,
            "nodes_values": np.where(leaf, 0.0, threshold),
            "nodes_truenodeids": np.where(leaf, 0, left),
            "nodes_falsenodeids": np.where(leaf, 0, right),
            "nodes_missing_value_tracks_true": np.where(leaf, 0, missing_left),
            "leaf_treeids": np.full(leaves.size * targets, self._count),
            "leaf_nodeids": np.repeat(leaves, targets),
            "leaf_ids": np.tile(np.arange(targets) + first_target, leaves.size),
        }
        for name, column in columns.items():
            self._columns.setdefault(name, []).append(column)
        self._weights.append(weights[leaf].ravel())
        self._count += 1

    def attributes(self, prefix: str) -> dict[str, Any]:
        """The operator's attributes.

        Args:
            prefix: ``class`` for a TreeEnsembleClassifier, ``target`` for a TreeEnsembleRegressor.
        """
        from onnx import numpy_helper

        attributes: dict[str, Any] = {}
        for name, parts in self._columns.items():
            column: Array = np.concatenate(parts)
            if name == "nodes_values":
                attributes["nodes_values_as_tensor"] = numpy_helper.from_array(
                    column.astype(np.float64), "values"
                )
            elif name == "nodes_modes":
                attributes[name] = [mode.decode() for mode in column.tolist()]
            else:
                attributes[name.replace("leaf_", f"{prefix}_")] = column.astype(np.int64).tolist()
        weights = np.concatenate(self._weights).astype(np.float64)
        attributes[f"{prefix}_weights_as_tensor"] = numpy_helper.from_array(weights, "weights")
        return attributes
