"""Writes ONNX nodes into a graph that skl2onnx is building."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["ML", "OPSET", "OPSET_ML", "GraphWriter", "is_double"]

ML: Final = "ai.onnx.ml"
OPSET: Final = 19
"""The version of ONNX's own operators: the first in which strings can be compared."""
OPSET_ML: Final = 3
"""The version of the machine-learning operators: the last in which a leaf can vote for several classes."""


class GraphWriter:
    """Adds nodes and constants for one operator of the estimator.

    Args:
        scope: skl2onnx's ``Scope``, which hands out unique names.
        container: skl2onnx's ``ModelComponentContainer``, which collects the nodes.
    """

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope = scope
        self._container = container

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike | None = None) -> str:
        """Add an initializer and give its name. Strings are written as UTF-8."""
        from onnx import TensorProto, helper

        array = np.asarray(value, dtype)
        name = self._name("constant")
        if array.dtype.kind in "OUS":
            content = [str(text).encode() for text in array.ravel().tolist()]
            self._container.add_initializer(name, TensorProto.STRING, array.shape, content)
        else:
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            self._container.add_initializer(name, kind, array.shape, array.ravel().tolist())
        return name

    def labels(self, classes: npt.ArrayLike) -> str:
        """Add class labels as strings or int64, which is what the graph's label outputs are, and give their name."""
        values = np.asarray(classes).tolist()
        strings = all(isinstance(value, str) for value in values)
        return self.constant(values if strings else [int(value) for value in values])

    def add(
        self, op_type: str, *inputs: str, to: str | None = None, domain: str = "", **attributes: Any
    ) -> str:
        """Add a node with one output, and give the output's name.

        Args:
            op_type: The operator.
            inputs: The names of its inputs.
            to: The name of its output; a new one if None.
            domain: Whose operator it is; ONNX's own if empty.
            attributes: The operator's attributes.
        """
        output = to or self._name(op_type.lower())
        self._container.add_node(
            op_type,
            list(inputs),
            [output],
            name=self._node(op_type),
            op_domain=domain,
            op_version=1 if domain else OPSET,
            **attributes,
        )
        return output

    def add_ml(
        self, op_type: str, *inputs: str, outputs: int = 1, version: int = OPSET_ML, **attributes: Any
    ) -> list[str]:
        """Add a machine-learning node, and give the names of its outputs."""
        names = [self._name(op_type.lower()) for _ in range(outputs)]
        self._container.add_node(
            op_type,
            list(inputs),
            names,
            name=self._node(op_type),
            op_domain=ML,
            op_version=version,
            **attributes,
        )
        return names

    def cast(self, value: str, dtype: npt.DTypeLike, to: str | None = None) -> str:
        """Add a node that converts to a numpy dtype."""
        from onnx import helper

        target = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        output = to or self._name("cast")
        self._container.add_node(
            "Cast", [value], [output], name=self._node("Cast"), op_version=OPSET, to=target
        )
        return output

    def deliver(self, value: str, variable: Any, dtype: npt.DTypeLike) -> None:
        """Hand a tensor over as one of the operator's outputs, in the type that was announced for it.

        Args:
            value: The tensor's name.
            variable: skl2onnx's ``Variable`` of the output.
            dtype: What the tensor holds.
        """
        wanted = np.dtype(np.float64 if is_double(variable) else np.float32)
        if np.dtype(dtype).kind == "f" and np.dtype(dtype) != wanted:
            self.cast(value, wanted, to=variable.full_name)
        else:
            self.add("Identity", value, to=variable.full_name)

    def _name(self, seed: str) -> str:
        return str(self._scope.get_unique_variable_name(seed))

    def _node(self, op_type: str) -> str:
        return str(self._scope.get_unique_operator_name(op_type))


def is_double(variable: Any) -> bool:
    """Whether a variable of skl2onnx is a float64 tensor."""
    from skl2onnx.common.data_types import DoubleTensorType

    return isinstance(variable.type, DoubleTensorType)
