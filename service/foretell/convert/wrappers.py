"""Converters for estimators that wrap others, where skl2onnx has none or insists on an option that changes nothing."""

from __future__ import annotations

import copy
import importlib
from functools import partial
from typing import Any

import numpy as np

from foretell.convert.functions import apply_function
from foretell.convert.nodes import GraphWriter, is_double
from foretell.convert.registry import Registry
from foretell.errors import ConversionError
from foretell.tensors import Array

__all__ = ["register"]


def register(registry: Registry) -> None:
    """Add the converters of this module."""
    from sklearn import compose, ensemble

    registry.add(ensemble.VotingClassifier, _voting)
    registry.parsers[compose.ColumnTransformer] = _parse_column_transformer
    registry.add(
        compose.TransformedTargetRegressor,
        _inverse,
        shape=_inverse_shape,
        parser=partial(_parse_target, registry.floating),
    )


def _parse_column_transformer(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    """skl2onnx takes a mask of columns for their names."""
    parsing: Any = importlib.import_module("skl2onnx._parse")
    plain = copy.copy(model)
    plain.transformers_ = [
        (name, transformer, _positions(columns)) for name, transformer, columns in model.transformers_
    ]
    return parsing._parse_sklearn_column_transformer(scope, plain, inputs, custom_parsers)  # noqa: SLF001


def _positions(columns: Any) -> Any:
    mask: Array = np.asarray(columns)
    return np.flatnonzero(mask).tolist() if mask.ndim == 1 and mask.dtype == np.bool_ else columns


def _voting(scope: Any, operator: Any, container: Any) -> None:
    """skl2onnx refuses ``flatten_transform``, which only says how `transform` arranges its result."""
    registered: Any = importlib.import_module("skl2onnx.common._registration")
    model = operator.raw_operator
    plain = copy.copy(model)
    plain.flatten_transform = False
    operator.raw_operator = plain
    try:
        registered.get_converter("SklearnVotingClassifier")(scope, operator, container)
    finally:
        operator.raw_operator = model


# ---------------------------------------------------------------- regressors of a transformed target


def _parse_target(floating: Any, scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    parsing: Any = importlib.import_module("skl2onnx._parse")
    inner = parsing._parse_sklearn(scope, model.regressor_, inputs, custom_parsers)  # noqa: SLF001
    operator = scope.declare_local_operator("ForetellInverseTarget", model)
    operator.inputs = inner
    operator.outputs.append(scope.declare_local_variable("variable", floating()))
    return operator.outputs


def _inverse_shape(operator: Any) -> None:
    first = operator.inputs[0]
    operator.outputs[0].type = type(operator.outputs[0].type)(
        [first.get_first_dimension(), first.type.shape[1]]
    )


def _inverse(scope: Any, operator: Any, container: Any) -> None:
    from sklearn import preprocessing

    model = operator.raw_operator
    transformer = model.transformer_
    writer = GraphWriter(scope, container)
    variable = operator.inputs[0]
    value = str(variable.full_name)
    dtype = np.float64 if is_double(variable) else np.float32
    if isinstance(transformer, preprocessing.FunctionTransformer):
        result = apply_function(writer, transformer.inverse_func, transformer.inv_kw_args, value, dtype)
    elif isinstance(transformer, preprocessing.StandardScaler):
        result = value
        if transformer.scale_ is not None:
            result = writer.add("Mul", result, writer.constant(transformer.scale_, dtype))
        if transformer.mean_ is not None:
            result = writer.add("Add", result, writer.constant(transformer.mean_, dtype))
    elif isinstance(transformer, preprocessing.MinMaxScaler) and not transformer.clip:
        result = writer.add("Sub", value, writer.constant(transformer.min_, dtype))
        result = writer.add("Div", result, writer.constant(transformer.scale_, dtype))
    else:
        raise ConversionError(
            f"TransformedTargetRegressor(transformer={type(transformer).__name__}()) has no ONNX form: use one of "
            "numpy's functions with its inverse, StandardScaler or MinMaxScaler"
        )
    writer.deliver(result, operator.outputs[0], dtype)
