"""A converter for scikit-learn's linear discriminant analysis, whose two-class probabilities skl2onnx gets wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from foretell.convert.nodes import GraphWriter, is_double
from foretell.convert.registry import Registry

__all__ = ["register"]


def register(registry: Registry) -> None:
    """Add the converters of this module."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    registry.add(LinearDiscriminantAnalysis, _convert)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    writer = GraphWriter(scope, container)
    dtype = np.dtype(np.float64 if is_double(operator.inputs[0]) else np.float32)
    label, probabilities = operator.outputs
    values = writer.cast(operator.inputs[0].full_name, dtype)
    product = writer.add("MatMul", values, writer.constant(np.asarray(model.coef_).T, dtype))
    scores = writer.add("Add", product, writer.constant(np.asarray(model.intercept_), dtype))
    if len(model.classes_) == 2:
        scores = writer.add("Concat", writer.add("Neg", scores), scores, axis=1)
        shares = writer.add("Sigmoid", scores)
    else:
        shares = writer.add("Softmax", scores, axis=1)
    best = writer.add("ArgMax", scores, axis=1, keepdims=0)
    writer.add("Gather", writer.labels(model.classes_), best, to=label.full_name)
    writer.deliver(shares, probabilities, dtype)
