"""A converter for scikit-learn's PowerTransformer, in either precision."""

from __future__ import annotations

from typing import Any

import numpy as np

from foretell.convert.nodes import GraphWriter, is_double
from foretell.convert.registry import Registry, elementwise_shape
from foretell.tensors import Array

__all__ = ["register"]


def register(registry: Registry) -> None:
    """Add the converters of this module."""
    from sklearn.preprocessing import PowerTransformer

    registry.add(PowerTransformer, _convert, shape=elementwise_shape)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    writer = GraphWriter(scope, container)
    dtype = np.dtype(np.float64 if is_double(operator.inputs[0]) else np.float32)
    names = [writer.cast(variable.full_name, dtype) for variable in operator.inputs]
    values = names[0] if len(names) == 1 else writer.add("Concat", *names, axis=1)
    lambdas = np.asarray(model.lambdas_, np.float64)
    if model.method == "box-cox":
        result = _power(writer, values, lambdas, dtype)
    else:
        # Yeo and Johnson's: Box and Cox's of x + 1 where x is not negative, and its mirror image elsewhere.
        one = writer.constant(1, dtype)
        zero = writer.constant(0, dtype)
        size = writer.add("Add", writer.add("Abs", values), one)
        right = _power(writer, size, lambdas, dtype)
        left = writer.add("Neg", _power(writer, size, 2 - lambdas, dtype))
        result = writer.add("Where", writer.add("GreaterOrEqual", values, zero), right, left)
    if model.standardize:
        scaler = model._scaler  # noqa: SLF001 - there is no public name for it
        result = writer.add("Sub", result, writer.constant(scaler.mean_, dtype))
        result = writer.add("Div", result, writer.constant(scaler.scale_, dtype))
    writer.add("Identity", result, to=operator.outputs[0].full_name)


def _power(writer: GraphWriter, values: str, lambdas: Array, dtype: np.dtype[Any]) -> str:
    """``(x ** lambda - 1) / lambda`` column by column, and its limit ``log(x)`` where lambda is 0."""
    is_log = np.abs(lambdas) < np.spacing(1.0)
    exponents = writer.constant(np.where(is_log, 1.0, lambdas)[None, :], dtype)
    raised = writer.add("Sub", writer.add("Pow", values, exponents), writer.constant(1, dtype))
    result = writer.add("Div", raised, exponents)
    if is_log.any():
        logarithm = writer.add("Log", values)
        result = writer.add("Where", writer.constant(is_log[None, :]), logarithm, result)
    return result
