"""A converter for scikit-learn's FunctionTransformer, for the functions that have an ONNX operator."""

from __future__ import annotations

import functools
from typing import Any, Final

import numpy as np

from foretell.convert.nodes import GraphWriter, is_double
from foretell.convert.registry import Registry, elementwise_shape
from foretell.errors import ConversionError

__all__ = ["apply_function", "register"]

_OPERATORS: Final = {
    "abs": "Abs",
    "absolute": "Abs",
    "ceil": "Ceil",
    "cos": "Cos",
    "exp": "Exp",
    "floor": "Floor",
    "log": "Log",
    "negative": "Neg",
    "reciprocal": "Reciprocal",
    "sign": "Sign",
    "sin": "Sin",
    "sqrt": "Sqrt",
    "tanh": "Tanh",
}
"""numpy's elementwise functions that are one operator in ONNX."""


def register(registry: Registry) -> None:
    """Add the converters of this module."""
    from sklearn.preprocessing import FunctionTransformer

    registry.add(FunctionTransformer, _function, shape=elementwise_shape)


def _function(scope: Any, operator: Any, container: Any) -> None:
    writer = GraphWriter(scope, container)
    names = [str(variable.full_name) for variable in operator.inputs]
    value = names[0] if len(names) == 1 else writer.add("Concat", *names, axis=1)
    model = operator.raw_operator
    dtype = np.float64 if is_double(operator.inputs[0]) else np.float32
    result = apply_function(writer, model.func, model.kw_args, value, dtype)
    writer.add("Identity", result, to=operator.outputs[0].full_name)


def apply_function(writer: GraphWriter, function: Any, arguments: Any, value: str, dtype: type) -> str:
    """Add a function of numpy to the graph.

    Args:
        writer: Adds the nodes.
        function: The function; None leaves values as they are.
        arguments: What it is called with beside the values; there is no ONNX form with any.
        value: The tensor's name.
        dtype: Its numpy dtype.

    Returns:
        The name of the result.

    Raises:
        ConversionError: It is another function.
    """
    if function is None or _only_checks(function):
        return value
    name = getattr(function, "__name__", repr(function))
    if isinstance(function, np.ufunc) and not arguments:
        if name in _OPERATORS:
            return writer.add(_OPERATORS[name], value)
        if name == "square":
            return writer.add("Mul", value, value)
        if name == "log1p":
            return writer.add("Log", writer.add("Add", value, writer.constant(1, dtype)))
        if name == "expm1":
            return writer.add("Sub", writer.add("Exp", value), writer.constant(1, dtype))
    raise ConversionError(
        f"FunctionTransformer({name}) has no ONNX form: it runs Python code. Use one of numpy's functions "
        f"({', '.join(sorted([*_OPERATORS, 'square', 'log1p', 'expm1']))}), "
        "or do that step before the data is sent"
    )


def _only_checks(function: Any) -> bool:
    """Whether a function is scikit-learn's own check of an array, which changes nothing (histogram boosting has one)."""
    from sklearn.utils import check_array

    return isinstance(function, functools.partial) and function.func is check_array
