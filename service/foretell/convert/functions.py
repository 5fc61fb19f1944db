"""A converter for scikit-learn's FunctionTransformer, for the functions that have an ONNX operator."""

from __future__ import annotations

import functools
from typing import Any, Final

import numpy as np

from foretell.convert.nodes import GraphWriter, is_double
from foretell.errors import ConversionError

__all__ = ["converters", "shape_calculators"]

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


def converters() -> dict[type, Any]:
    """The converter, by estimator class, in skl2onnx's form."""
    from sklearn.preprocessing import FunctionTransformer

    return {FunctionTransformer: _function}


def shape_calculators() -> dict[type, Any]:
    """What type and width it gives, in skl2onnx's form."""
    from sklearn.preprocessing import FunctionTransformer

    return {FunctionTransformer: _shape}


def _shape(operator: Any) -> None:
    first = operator.inputs[0]
    width = sum(variable.type.shape[1] for variable in operator.inputs)
    operator.outputs[0].type = type(first.type)([first.get_first_dimension(), width])


def _function(scope: Any, operator: Any, container: Any) -> None:
    writer = GraphWriter(scope, container)
    names = [str(variable.full_name) for variable in operator.inputs]
    value = names[0] if len(names) == 1 else writer.add("Concat", *names, axis=1)
    result = _apply(
        writer, operator.raw_operator, value, np.float64 if is_double(operator.inputs[0]) else np.float32
    )
    writer.add("Identity", result, to=operator.outputs[0].full_name)


def _apply(writer: GraphWriter, model: Any, value: str, dtype: type) -> str:
    function = model.func
    if function is None or _only_checks(function):
        return value
    name = getattr(function, "__name__", repr(function))
    if isinstance(function, np.ufunc) and not model.kw_args:
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
