"""Changes to a converted ONNX graph at its edges: names, types and shapes that callers see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from foretell.signature import Tensor
from foretell.tensors import Array, DTypeName

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Graph"]

_ELEMENTS: Final = {
    "bool": "BOOL",
    "int64": "INT64",
    "float16": "FLOAT16",
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "string": "STRING",
}
"""ONNX's names of the element types that a converted estimator has."""


class Graph:
    """An ONNX model whose inputs and outputs can be changed.

    Args:
        model: The ``onnx.ModelProto``; it is changed in place.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._graph = model.graph
        self._count = 0
        self._names = _value_names(self._graph)

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs."""
        return [value.name for value in self._graph.input]

    @property
    def outputs(self) -> list[str]:
        """The names of the outputs."""
        return [value.name for value in self._graph.output]

    @property
    def opset(self) -> dict[str, int]:
        """The version of each operator set, ONNX's own under ``ai.onnx``."""
        return {entry.domain or "ai.onnx": entry.version for entry in self._model.opset_import}

    def to_bytes(self) -> bytes:
        """The model file."""
        return bytes(self._model.SerializeToString())

    # ------------------------------------------------------------ inputs

    def set_inputs(self, tensors: Sequence[Tensor]) -> None:
        """Name and type the inputs, in their order; the element types stay as they are."""
        self.name_inputs([tensor.name for tensor in tensors])
        del self._graph.input[:]
        self._graph.input.extend(_value_info(tensor) for tensor in tensors)

    def name_inputs(self, names: Sequence[str]) -> None:
        """Name the inputs, in their order."""
        self._rename(dict(zip(self.inputs, names, strict=True)))

    def pack_inputs(self) -> list[list[str]]:
        """Replace the inputs that only ever enter one Concat by one wide input.

        One tensor of ten columns costs a tenth of the hand-over of ten.

        Returns:
            For each input that remains, the former inputs that it holds, from left to right.
        """
        from onnx import helper

        groups: dict[str, list[str]] = {name: [name] for name in self.inputs}
        readers: dict[str, list[Any]] = {}
        for node in self._graph.node:
            for name in node.input:
                readers.setdefault(name, []).append(node)
        for node in list(self._graph.node):
            members = list(node.input)
            if node.op_type != "Concat" or not all(name in groups for name in members):
                continue
            if any(len(readers[name]) != 1 for name in members) or len(set(members)) < len(members):
                continue
            if len({self._element(name) for name in members}) != 1:
                continue
            packed = node.output[0]
            element = self._element(members[0])
            ordered = [name for name in self.inputs if name in members]
            if ordered == members:
                self._graph.node.remove(node)
            else:  # columns fill a tensor in the order of the signature, so let the graph change it
                places = self.constant(np.array([ordered.index(name) for name in members], np.int64))
                packed = self._fresh("packed")
                node.CopyFrom(helper.make_node("Gather", [packed, places], list(node.output), axis=1))
            for name in members:
                del groups[name]
            groups[packed] = ordered
            kept = [value for value in self._graph.input if value.name not in members]
            del self._graph.input[:]
            self._graph.input.extend(kept)
            added = self._graph.input.add()
            added.name = packed
            added.type.tensor_type.elem_type = element
        return [groups[name] for name in self.inputs]

    def _element(self, name: str) -> int:
        return next(
            int(value.type.tensor_type.elem_type) for value in self._graph.input if value.name == name
        )

    def convert_input(self, name: str, dtype: DTypeName, to: DTypeName) -> None:
        """Let an input hold another element type than the graph computes in."""
        inner = self._hide(name)
        self._prepend("Cast", [name], inner, to=_element_number(to))
        self._set_element(name, dtype)

    def round_columns(self, name: str, width: int, places: Sequence[int], dtype: DTypeName) -> None:
        """Round some columns of an input ``[batch, width]`` to a narrower element type, as their caller's table does."""
        element = self._element(name)
        mask = np.zeros((1, width), bool)
        mask[0, list(places)] = True
        chosen = self.constant(mask)
        inner = self._hide(name)
        narrow, rounded = self._fresh("narrow"), self._fresh("rounded")
        self._prepend("Where", [chosen, rounded, name], inner)
        self._prepend("Cast", [narrow], rounded, to=element)
        self._prepend("Cast", [name], narrow, to=_element_number(dtype))

    def _hide(self, name: str) -> str:
        """Let all that reads an input read a new tensor instead."""
        inner = self._fresh("inner")
        for node in self._graph.node:
            names = [inner if entry == name else entry for entry in node.input]
            del node.input[:]
            node.input.extend(names)
        for value in self._graph.output:
            if value.name == name:
                value.name = inner
        return inner

    def _prepend(self, op_type: str, inputs: list[str], output: str, **attributes: Any) -> None:
        from onnx import helper

        self._graph.node.insert(0, helper.make_node(op_type, inputs, [output], **attributes))

    def _set_element(self, name: str, dtype: DTypeName) -> None:
        value = next(value for value in self._graph.input if value.name == name)
        value.type.tensor_type.elem_type = _element_number(dtype)

    # ------------------------------------------------------------ nodes

    def add(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """Add a node at the end, and give the name of its output."""
        from onnx import helper

        output = self._fresh(op_type.lower())
        self._graph.node.append(helper.make_node(op_type, list(inputs), [output], **attributes))
        return output

    def constant(self, value: Array) -> str:
        """Add an initializer, and give its name."""
        from onnx import numpy_helper

        name = self._fresh("edge")
        self._graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def cast(self, name: str, dtype: DTypeName) -> str:
        """Add a conversion to an element type."""
        return self.add("Cast", name, to=_element_number(dtype))

    def column(self, name: str, index: int) -> str:
        """Add the choice of one column of a matrix."""
        return self.add("Gather", name, self.constant(np.array(index, np.int64)), axis=1)

    def slab(self, name: str, index: int, width: int) -> str:
        """Add the choice of one matrix of a stack, and of its first columns."""
        matrix = self.add("Gather", name, self.constant(np.array(index, np.int64)), axis=0)
        return self.add("Gather", matrix, self.constant(np.arange(width)), axis=1)

    def element(self, name: str, index: int) -> str:
        """Add the choice of one tensor of a sequence."""
        return self.add("SequenceAt", name, self.constant(np.array(index, np.int64)))

    def reshape(self, name: str, shape: Sequence[int]) -> str:
        """Add a change of shape; -1 stands for the rows."""
        return self.add("Reshape", name, self.constant(np.array(shape, np.int64)))

    # ------------------------------------------------------------ outputs

    def set_outputs(self, sources: Sequence[tuple[str, Tensor]]) -> None:
        """Make these tensors the outputs, and remove what none of them needs.

        Args:
            sources: The name of a tensor in the graph, and what it is to be called and declared as.
        """
        taken: set[str] = set(self.inputs)
        mapping: dict[str, str] = {}
        for source, tensor in sources:
            name = source
            if source in taken:  # an input handed through, or one tensor under two names
                name = self.add("Identity", source)
            taken.add(name)
            mapping[name] = tensor.name
        self._rename(mapping)
        del self._graph.output[:]
        self._graph.output.extend(_value_info(tensor) for _, tensor in sources)
        del self._graph.value_info[:]
        self._prune()

    def _prune(self) -> None:
        needed = set(self.outputs)
        kept: list[Any] = []
        for node in reversed(self._graph.node):
            if needed.intersection(node.output):
                needed.update(_reads(node))
                kept.append(node)
        del self._graph.node[:]
        self._graph.node.extend(reversed(kept))
        constants = [tensor for tensor in self._graph.initializer if tensor.name in needed]
        del self._graph.initializer[:]
        self._graph.initializer.extend(constants)

    # ------------------------------------------------------------ names

    def _fresh(self, seed: str) -> str:
        while True:
            self._count += 1
            name = f"{seed}_{self._count}"
            if name not in self._names:
                self._names.add(name)
                return name

    def _rename(self, mapping: dict[str, str]) -> None:
        """Give tensors new names; who bears one of them already gets another."""
        wanted = {old: new for old, new in mapping.items() if old != new}
        bearers = (self._names & set(wanted.values())) - set(wanted)
        full = wanted | {name: self._fresh("inner") for name in sorted(bearers)}
        _rename_in(self._graph, full)
        self._names = _value_names(self._graph)


def _value_info(tensor: Tensor) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(tensor.name, _element_number(tensor.dtype), list(tensor.shape))


def _element_number(dtype: DTypeName) -> int:
    from onnx import TensorProto

    return int(getattr(TensorProto, _ELEMENTS[dtype]))


def _subgraphs(node: Any) -> list[Any]:
    return [attribute.g for attribute in node.attribute if attribute.HasField("g")]


def _reads(node: Any) -> set[str]:
    """What a node reads, its subgraphs included."""
    names = set(node.input)
    for graph in _subgraphs(node):
        for inner in graph.node:
            names |= _reads(inner)
        names |= {value.name for value in graph.output}
    return names


def _value_names(graph: Any) -> set[str]:
    names = {value.name for value in (*graph.input, *graph.output, *graph.initializer)}
    for node in graph.node:
        names |= set(node.input) | set(node.output)
        for inner in _subgraphs(node):
            names |= _value_names(inner)
    return names


def _rename_in(graph: Any, mapping: dict[str, str]) -> None:
    for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        value.name = mapping.get(value.name, value.name)
    for node in graph.node:
        for names in (node.input, node.output):
            renamed = [mapping.get(name, name) for name in names]
            del names[:]
            names.extend(renamed)
        for inner in _subgraphs(node):
            _rename_in(inner, mapping)
