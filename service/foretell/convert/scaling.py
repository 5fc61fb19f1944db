"""Converters for scikit-learn's scalers, which round where numpy does when it computes in the type of the rows.

skl2onnx's own multiply by a reciprocal where the original divides, and round float64 parameters first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from foretell.convert.nodes import GraphWriter, is_double
from foretell.convert.registry import Registry, elementwise_shape

__all__ = ["register"]


def register(registry: Registry) -> None:
    """Add the converters of this module."""
    from sklearn import preprocessing

    registry.add(preprocessing.StandardScaler, _standard, shape=elementwise_shape)
    registry.add(preprocessing.MinMaxScaler, _min_max, shape=elementwise_shape)
    registry.add(preprocessing.MaxAbsScaler, _max_abs, shape=elementwise_shape)
    registry.add(preprocessing.RobustScaler, _robust, shape=elementwise_shape)


class _Rows:
    """The operator's rows on their way through it."""

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        self._writer = GraphWriter(scope, container)
        self._output = operator.outputs[0]
        self.dtype = np.dtype(np.float64 if is_double(self._output) else np.float32)
        names = [self._writer.cast(variable.full_name, self.dtype) for variable in operator.inputs]
        self._value = names[0] if len(names) == 1 else self._writer.add("Concat", *names, axis=1)

    def apply(self, op_type: str, parameter: Any) -> None:
        """Compute with one parameter a column: in the wider of the two types, rounded to that of the rows."""
        array = np.asarray(parameter)
        wide = np.result_type(self.dtype, array.dtype)
        constant = self._writer.constant(array, wide)
        if wide == self.dtype:
            self._value = self._writer.add(op_type, self._value, constant)
            return
        widened = self._writer.cast(self._value, wide)
        self._value = self._writer.cast(self._writer.add(op_type, widened, constant), self.dtype)

    def clip(self, low: float, high: float) -> None:
        """Cut off what is beyond."""
        limits = [self._writer.constant(limit, self.dtype) for limit in (low, high)]
        self._value = self._writer.add("Clip", self._value, *limits)

    def deliver(self) -> None:
        """Hand the rows over."""
        self._writer.add("Identity", self._value, to=self._output.full_name)


def _standard(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    rows = _Rows(scope, operator, container)
    if model.with_mean:
        rows.apply("Sub", model.mean_.astype(rows.dtype))
    if model.with_std:
        rows.apply("Div", model.scale_.astype(rows.dtype))
    rows.deliver()


def _min_max(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    rows = _Rows(scope, operator, container)
    rows.apply("Mul", model.scale_)
    rows.apply("Add", model.min_)
    if model.clip:
        rows.clip(*model.feature_range)
    rows.deliver()


def _max_abs(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    rows = _Rows(scope, operator, container)
    rows.apply("Div", model.scale_)
    if model.clip:
        rows.clip(-1.0, 1.0)
    rows.deliver()


def _robust(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    rows = _Rows(scope, operator, container)
    if model.with_centering:
        rows.apply("Sub", model.center_)
    if model.with_scaling:
        rows.apply("Div", model.scale_)
    rows.deliver()
