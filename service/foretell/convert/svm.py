"""Converters for scikit-learn's support vector machines: votes between pairs of classes, as libsvm counts them.

skl2onnx's own compute numbers in float32, whatever is asked for.
"""

from __future__ import annotations

import importlib
import itertools
from typing import Any

import numpy as np

from foretell.convert.nodes import GraphWriter, is_double
from foretell.convert.registry import Registry
from foretell.errors import ConversionError
from foretell.tensors import Array

__all__ = ["register"]


def register(registry: Registry) -> None:
    """Add the converters of this module."""
    from sklearn import svm

    registry.add(svm.SVC, _convert, shape=_shape)
    registry.add(svm.NuSVC, _convert, shape=_shape)
    registry.add(svm.SVR, _regressor)
    registry.add(svm.NuSVR, _regressor)
    registry.add(svm.OneClassSVM, _outliers)


def _shape(operator: Any) -> None:
    from skl2onnx.common.data_types import Int64TensorType, StringTensorType

    model = operator.raw_operator
    rows = operator.inputs[0].get_first_dimension()
    strings = all(isinstance(label, str) for label in model.classes_.tolist())
    operator.outputs[0].set_type((StringTensorType if strings else Int64TensorType)([rows]))
    operator.outputs[1].type.shape = [rows, len(model.classes_)]


def _convert(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    if hasattr(model, "predict_proba"):
        _theirs("SklearnSVC", scope, operator, container)
        return
    writer = GraphWriter(scope, container)
    dtype = np.dtype(np.float64 if is_double(operator.inputs[0]) else np.float32)
    first = writer.cast(operator.inputs[0].full_name, dtype)
    weights, intercepts = _pairs(model)
    products = writer.add("MatMul", _kernel(writer, model, first, dtype), writer.constant(weights, dtype))
    decisions = writer.add("Add", products, writer.constant(intercepts, dtype))
    label, scores = operator.outputs
    count = len(model.classes_)
    if count == 2:
        # scikit-learn turns the sign, so that a positive score means the second class.
        second = writer.add("Less", decisions, writer.constant([0.0], dtype))
        best = writer.add("Reshape", writer.cast(second, np.int64), writer.constant([-1], np.int64))
        shown = writer.add("Neg", decisions)
    else:
        # A decision above 0 is a vote for the first of its pair, any other one for the second.
        plus, minus = _sides(count)
        wins = writer.cast(writer.add("Greater", decisions, writer.constant([0.0], dtype)), dtype)
        losses = writer.add("Sub", writer.constant([1.0], dtype), wins)
        votes = writer.add(
            "Add",
            writer.add("MatMul", wins, writer.constant(plus, dtype)),
            writer.add("MatMul", losses, writer.constant(minus, dtype)),
        )
        shown = decisions
        if model.decision_function_shape == "ovr":
            shown = _one_versus_rest(writer, decisions, plus, minus, dtype)
        chosen = shown if model.break_ties else votes
        best = writer.add("ArgMax", chosen, axis=1, keepdims=0)
    writer.add("Gather", writer.labels(model.classes_), best, to=label.full_name)
    writer.deliver(shown, scores, dtype)


def _regressor(scope: Any, operator: Any, container: Any) -> None:
    if not is_double(operator.inputs[0]):
        _theirs("SklearnSVR", scope, operator, container)
        return
    writer = GraphWriter(scope, container)
    writer.deliver(_decision(writer, operator), operator.outputs[0], np.float64)


def _outliers(scope: Any, operator: Any, container: Any) -> None:
    if not is_double(operator.inputs[0]):
        _theirs("SklearnOneClassSVM", scope, operator, container)
        return
    writer = GraphWriter(scope, container)
    label, scores = operator.outputs
    decision = _decision(writer, operator)
    inlier = writer.add("Greater", decision, writer.constant([0.0], np.float64))
    sign = writer.add("Where", inlier, writer.constant([1], np.int64), writer.constant([-1], np.int64))
    writer.add("Reshape", sign, writer.constant([-1], np.int64), to=label.full_name)
    writer.deliver(decision, scores, np.float64)


def _theirs(alias: str, scope: Any, operator: Any, container: Any) -> None:
    registration: Any = importlib.import_module("skl2onnx.common._registration")
    registration.get_converter(alias)(scope, operator, container)


def _decision(writer: GraphWriter, operator: Any) -> str:
    """``float64[rows, 1]``: the one weighted sum of a regressor or of a model of outliers."""
    model = operator.raw_operator
    kernel = _kernel(writer, model, operator.inputs[0].full_name, np.dtype(np.float64))
    weights = np.asarray(_dense(model.dual_coef_), np.float64)
    products = writer.add("MatMul", kernel, writer.constant(weights.T, np.float64))
    return writer.add("Add", products, writer.constant(np.asarray(model.intercept_), np.float64))


def _one_versus_rest(
    writer: GraphWriter, decisions: str, plus: Array, minus: Array, dtype: np.dtype[Any]
) -> str:
    """Votes, and a part of a vote for how clear they were.

    Source: scikit-learn, ``sklearn.utils.multiclass._ovr_decision_function``.
    """
    lost = writer.cast(writer.add("Less", decisions, writer.constant([0.0], dtype)), dtype)
    kept = writer.add("Sub", writer.constant([1.0], dtype), lost)
    votes = writer.add(
        "Add",
        writer.add("MatMul", kept, writer.constant(plus, dtype)),
        writer.add("MatMul", lost, writer.constant(minus, dtype)),
    )
    confidence = writer.add("MatMul", decisions, writer.constant(plus - minus, dtype))
    size = writer.add("Add", writer.add("Abs", confidence), writer.constant([1.0], dtype))
    part = writer.add("Div", confidence, writer.add("Mul", size, writer.constant([3.0], dtype)))
    return writer.add("Add", votes, part)


def _sides(count: int) -> tuple[Array, Array]:
    """``float64[pairs, classes]`` twice: which class is the first, and which the second of each pair."""
    pairs = list(itertools.combinations(range(count), 2))
    identity = np.eye(count)
    return identity[[first for first, _ in pairs]], identity[[second for _, second in pairs]]


def _pairs(model: Any) -> tuple[Array, Array]:
    """``float64[vectors, pairs]`` and ``float64[pairs]``: what makes decisions of kernel values."""
    coefficients, intercepts = np.asarray(_dense(model._dual_coef_)), np.asarray(model._intercept_)
    ends = np.cumsum(model.n_support_)
    spans = [slice(end - size, end) for end, size in zip(ends, model.n_support_, strict=True)]
    weights = np.zeros((coefficients.shape[1], len(intercepts)))
    for pair, (first, second) in enumerate(itertools.combinations(range(len(spans)), 2)):
        weights[spans[first], pair] = coefficients[second - 1, spans[first]]
        weights[spans[second], pair] = coefficients[first, spans[second]]
    return weights, intercepts


def _kernel(writer: GraphWriter, model: Any, values: str, dtype: np.dtype[Any]) -> str:
    """``[rows, vectors]``: the similarity of each row to each support vector."""
    vectors = np.asarray(_dense(model.support_vectors_), np.float64)
    products = writer.add("MatMul", values, writer.constant(vectors.T, dtype))
    if model.kernel == "linear":
        return products
    gamma = writer.constant(model._gamma, dtype)  # noqa: SLF001 - the number that gamma='scale' became
    if model.kernel == "rbf":
        axis = writer.constant([1], np.int64)
        squares = writer.add("ReduceSum", writer.add("Mul", values, values), axis, keepdims=1)
        lengths = writer.constant((vectors**2).sum(axis=1)[None, :], dtype)
        crossed = writer.add("Mul", products, writer.constant(2.0, dtype))
        distance = writer.add("Sub", writer.add("Add", squares, lengths), crossed)
        return writer.add("Exp", writer.add("Neg", writer.add("Mul", distance, gamma)))
    shifted = writer.add("Add", writer.add("Mul", products, gamma), writer.constant(model.coef0, dtype))
    if model.kernel == "poly":
        return writer.add("Pow", shifted, writer.constant(model.degree, dtype))
    if model.kernel == "sigmoid":
        return writer.add("Tanh", shifted)
    raise ConversionError(
        f"{type(model).__name__}(kernel={model.kernel!r}) has no ONNX form: use 'linear', 'rbf', 'poly' or 'sigmoid'"
    )


def _dense(values: Any) -> Any:
    return values.toarray() if hasattr(values, "toarray") else values
