"""What the converters of trees share: inputs in float64, rounded thresholds, votes that become labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from foretell.convert.nodes import GraphWriter, is_double
from foretell.convert.trees import Trees, float32_at_most, float64_at_most
from foretell.tensors import Array

__all__ = ["add_tree", "at_most", "choose", "doubles", "label_attribute", "signed_classifier"]


def at_most(operator: Any, threshold: Array) -> Array:
    """Thresholds, ``float64[nodes]``, that decide on the operator's inputs as scikit-learn does on their float32."""
    if is_double(operator.inputs[0]):
        return float64_at_most(threshold)
    return float32_at_most(threshold).astype(np.float64)


def add_tree(trees: Trees, operator: Any, tree: Any, weights: Array, first_target: int = 0) -> None:
    """Add a tree of scikit-learn with these weights, ``float64[nodes, targets]``."""
    trees.add(
        feature=tree.feature,
        threshold=at_most(operator, tree.threshold),
        left=tree.children_left,
        right=tree.children_right,
        missing_left=tree.missing_go_to_left,
        weights=weights,
        first_target=first_target,
    )


def doubles(writer: GraphWriter, operator: Any) -> str:
    """The operator's input as one float64 tensor."""
    names = [
        str(variable.full_name) if is_double(variable) else writer.cast(variable.full_name, np.float64)
        for variable in operator.inputs
    ]
    return names[0] if len(names) == 1 else writer.add("Concat", *names, axis=1)


def label_attribute(classes: Array) -> dict[str, Any]:
    """The operator's attribute with class labels."""
    if all(isinstance(label, str) for label in classes.tolist()):
        return {"classlabels_strings": [str(label) for label in classes], "post_transform": "NONE"}
    return {"classlabels_int64s": [int(label) for label in classes], "post_transform": "NONE"}


def signed_classifier(writer: GraphWriter, values: str, trees: Trees, classes: Array) -> list[str]:
    """A two-class classifier whose one score decides by its sign: the labels, and ``[-score, score]``."""
    if trees.only_nonnegative:  # then ONNX Runtime would take the score for a probability, and decide at 0.5
        trees.add_constant(np.array([-1.0]))
        trees.add_constant(np.array([1.0]))
    return writer.add_ml(
        "TreeEnsembleClassifier", values, outputs=2, **label_attribute(classes), **trees.attributes("class")
    )


def choose(writer: GraphWriter, shares: str, classes: Array, to: str | None = None) -> str:
    """The label of the largest share in each row."""
    best = writer.add("ArgMax", shares, axis=1, keepdims=0)
    return writer.add("Gather", writer.labels(classes), best, to=to)
