"""The converters of this package that go before skl2onnx's own, by estimator class."""

from __future__ import annotations

from typing import Any

__all__ = ["Registry", "elementwise_shape"]


class Registry:
    """Collects converters for one conversion; nothing global is changed.

    Args:
        floating: skl2onnx's tensor type of the numbers in the whole graph.

    Attributes:
        converters: ``(scope, operator, container)`` writes the nodes of an estimator.
        shapes: ``(operator)`` sets the type and shape of its outputs.
        parsers: ``(scope, model, inputs, custom_parsers)`` announces its outputs, and the steps inside it.
    """

    def __init__(self, floating: type) -> None:
        self.floating: Any = floating
        self.converters: dict[type, Any] = {}
        self.shapes: dict[type, Any] = {}
        self.parsers: dict[type, Any] = {}

    def add(self, kind: type, converter: Any, *, shape: Any = None, parser: Any = None) -> None:
        """Add what is known of one estimator class; skl2onnx's own ways stay where None is given."""
        self.converters[kind] = converter
        if shape is not None:
            self.shapes[kind] = shape
        if parser is not None:
            self.parsers[kind] = parser


def elementwise_shape(operator: Any) -> None:
    """Announce an output of the inputs' type, as wide as all of them."""
    first = operator.inputs[0]
    width = sum(variable.type.shape[1] for variable in operator.inputs)
    operator.outputs[0].type = type(first.type)([first.get_first_dimension(), width])
