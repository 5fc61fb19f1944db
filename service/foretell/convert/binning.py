"""A converter for scikit-learn's KBinsDiscretizer: which bin a number is in, at every edge as the original decides."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from foretell.convert.nodes import GraphWriter, is_double
from foretell.convert.registry import Registry
from foretell.convert.trees import float32_at_least

__all__ = ["register"]


def register(registry: Registry) -> None:
    """Add the converters of this module."""
    from sklearn.preprocessing import KBinsDiscretizer

    registry.add(KBinsDiscretizer, _convert, shape=partial(_shape, registry.floating))


def _shape(floating: Any, operator: Any) -> None:
    model = operator.raw_operator
    width = len(model.n_bins_) if model.encode == "ordinal" else int(sum(model.n_bins_))
    operator.outputs[0].type = floating([operator.inputs[0].get_first_dimension(), width])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    writer = GraphWriter(scope, container)
    dtype = np.dtype(np.float64 if is_double(operator.outputs[0]) else np.float32)
    names = [writer.cast(variable.full_name, dtype) for variable in operator.inputs]
    values = names[0] if len(names) == 1 else writer.add("Concat", *names, axis=1)
    parts: list[str] = []
    for place, edges in enumerate(model.bin_edges_):
        column = writer.add("Gather", values, writer.constant([place], np.int64), axis=1)
        inner = np.asarray(edges[1:-1], np.float64)
        if inner.size:
            if dtype == np.float32:
                inner = float32_at_least(inner)
            reached = writer.add("GreaterOrEqual", column, writer.constant(inner[None, :], dtype))
            axis = writer.constant([1], np.int64)
            number = writer.add("ReduceSum", writer.cast(reached, dtype), axis, keepdims=1)
        else:
            number = writer.add("Mul", column, writer.constant([0.0], dtype))
        if model.encode != "ordinal":
            bins = np.arange(len(edges) - 1, dtype=np.float64)
            number = writer.cast(writer.add("Equal", number, writer.constant(bins[None, :], dtype)), dtype)
        parts.append(number)
    result = parts[0] if len(parts) == 1 else writer.add("Concat", *parts, axis=1)
    writer.add("Identity", result, to=operator.outputs[0].full_name)
