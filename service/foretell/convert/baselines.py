"""Converters for scikit-learn's dummy estimators, which answer the same whatever they are asked."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from foretell.convert.nodes import GraphWriter
from foretell.convert.registry import Registry
from foretell.errors import ConversionError
from foretell.tensors import Array

__all__ = ["register"]


def register(registry: Registry) -> None:
    """Add the converters of this module."""
    from sklearn import dummy

    parse = partial(_parse, registry.floating)
    registry.add(dummy.DummyClassifier, _classifier, shape=_announced, parser=parse)
    registry.add(dummy.DummyRegressor, _regressor, shape=_announced, parser=parse)


def _parse(floating: Any, scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    from skl2onnx.common.data_types import Int64TensorType, StringTensorType

    del custom_parsers  # part of skl2onnx's interface
    operator = scope.declare_local_operator("ForetellBaseline", model)
    operator.inputs = inputs
    if not hasattr(model, "predict_proba"):
        operator.outputs.append(scope.declare_local_variable("variable", floating([None, model.n_outputs_])))
        return operator.outputs
    if model.n_outputs_ != 1 or model.strategy in {"stratified", "uniform"}:
        raise ConversionError(
            f"DummyClassifier(strategy={model.strategy!r}) has no ONNX form for {model.n_outputs_} outputs: "
            "use 'prior', 'most_frequent' or 'constant' with one output"
        )
    strings = all(isinstance(label, str) for label in model.classes_.tolist())
    label = (StringTensorType if strings else Int64TensorType)([None])
    operator.outputs.append(scope.declare_local_variable("label", label))
    shares = floating([None, len(model.classes_)])
    operator.outputs.append(scope.declare_local_variable("probabilities", shares))
    return operator.outputs


def _announced(operator: Any) -> None:
    """The parser has told all there is."""
    del operator


def _classifier(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    writer = GraphWriter(scope, container)
    label, probabilities = operator.outputs
    example = np.zeros((1, 1))
    answer = model.predict(example)[0]
    text = isinstance(answer, str)
    constant = np.array([answer if text else int(answer)], dtype=object if text else np.int64)
    writer.add("Expand", writer.constant(constant), _rows(writer, operator), to=label.full_name)
    shares = _repeated(writer, operator, np.asarray(model.predict_proba(example)))
    writer.deliver(shares, probabilities, np.float64)


def _regressor(scope: Any, operator: Any, container: Any) -> None:
    writer = GraphWriter(scope, container)
    constant = np.asarray(operator.raw_operator.constant_, np.float64).reshape(1, -1)
    writer.deliver(_repeated(writer, operator, constant), operator.outputs[0], np.float64)


def _repeated(writer: GraphWriter, operator: Any, row: Array) -> str:
    width = writer.constant([row.shape[1]], np.int64)
    shape = writer.add("Concat", _rows(writer, operator), width, axis=0)
    return writer.add("Expand", writer.constant(row, np.float64), shape)


def _rows(writer: GraphWriter, operator: Any) -> str:
    return writer.add("Shape", operator.inputs[0].full_name, start=0, end=1)
