"""What a request must agree with, whether it comes as JSON or as a message of gRPC.

Source: Open Inference Protocol, inference request.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from foretell.errors import InvalidInputError, Problem
from foretell.excerpts import shortened
from foretell.protocols.v2.datatypes import DATATYPES
from foretell.tensors import DTYPES, DTypeName

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from foretell.parser import Parser, Tensors
    from foretell.signature import Tensor
    from foretell.tensors import Array

__all__ = ["CLASSIFICATION", "SHARED_MEMORY", "Checks", "timeout_ns"]

SHARED_MEMORY: Final = "shared_memory_region"
"""A parameter of inputs and outputs, of an extension that is not here."""

CLASSIFICATION: Final = "classification"
"""A parameter of outputs, of an extension that is not here."""

_OF_NUMPY: Final[dict[Any, DTypeName]] = {DTYPES[name].numpy: name for name in DATATYPES}
_SHOWN: Final = 12
_LONGEST_US: Final = 2**52
_LARGEST: Final = 2**59
"""How many elements numpy can count the bytes of; an axis of the length 0 does not save the others."""


class Checks:
    """Holds the tensors that a request names against the signature of one version.

    Args:
        parser: The parser of the version.

    Attributes:
        inputs: The inputs by name.
        outputs: The outputs by name.
    """

    def __init__(self, parser: Parser) -> None:
        self._parser = parser
        self.inputs: dict[str, Tensor] = {tensor.name: tensor for tensor in parser.signature.inputs}
        self.outputs: dict[str, Tensor] = {tensor.name: tensor for tensor in parser.signature.outputs}

    def input(
        self, name: str, datatype: str, shape: Sequence[int], path: str, *, before: Collection[str]
    ) -> Tensor:
        """Check what is said of an input, before its elements are read.

        Args:
            name: Its name.
            datatype: The protocol's name of its element type.
            shape: Its shape.
            path: Its JSON path, for messages.
            before: The inputs that came before it.

        Raises:
            InvalidInputError: The model takes no such tensor.
        """
        tensor = self.inputs.get(name)
        if tensor is None:
            known = ", ".join(map(repr, list(self.inputs)[:_SHOWN]))
            message = f"{shortened(name)!r} is not an input: expected {known}"
            raise InvalidInputError(Problem(f"{path}.name", message))
        if name in before:
            raise InvalidInputError(Problem(f"{path}.name", f"{shortened(name)!r} is there twice"))
        expected = DATATYPES[tensor.dtype]
        if datatype != expected:
            message = f"expected {expected} for {shortened(name)!r}, got {shortened(datatype)!r}"
            raise InvalidInputError(Problem(f"{path}.datatype", message))
        self._parser.check_shape(tensor, shape, path)
        if any(length < 0 for length in shape) or math.prod(length or 1 for length in shape) > _LARGEST:
            raise InvalidInputError(Problem(f"{path}.shape", f"no tensor has the shape {list(shape)}"))
        return tensor

    def complete(self, tensors: Tensors) -> None:
        """Check that every input is there.

        Raises:
            InvalidInputError: One is not.
        """
        absent = [name for name in self.inputs if name not in tensors]
        if absent:
            names = ", ".join(repr(shortened(name)) for name in absent[:_SHOWN])
            raise InvalidInputError(Problem("$.inputs", f"{names} is missing"))

    def output(self, name: str, parameters: Collection[str], path: str, *, before: Collection[str]) -> None:
        """Check an output that is wanted.

        Args:
            name: Its name.
            parameters: The names of its parameters.
            path: Its JSON path, for messages.
            before: The outputs that came before it.

        Raises:
            InvalidInputError: The model does not give it, or not in that way.
        """
        if name not in self.outputs:
            known = ", ".join(map(repr, list(self.outputs)[:_SHOWN]))
            message = f"{shortened(name)!r} is not an output: expected {known}"
            raise InvalidInputError(Problem(f"{path}.name", message))
        if name in before:
            raise InvalidInputError(Problem(f"{path}.name", f"{shortened(name)!r} is there twice"))
        for unsupported in (SHARED_MEMORY, CLASSIFICATION):
            if unsupported in parameters:
                raise InvalidInputError(Problem(f"{path}.parameters", f"{unsupported} is not supported"))

    def dtype_of(self, name: str, tensor: Array) -> DTypeName:
        """The element type of an output; a sequence may have more parts than its signature knows."""
        known = self.outputs.get(name)
        return _OF_NUMPY[tensor.dtype] if known is None else known.dtype


def timeout_ns(value: Any) -> int:
    """How long a caller waits by the parameter ``timeout``, ns; 0 if that is not said.

    Args:
        value: The parameter's value, microseconds.

    Raises:
        InvalidInputError: It is none.
    """
    if value is None:
        return 0
    if isinstance(value, (bool, str)) or not value >= 0:
        shown = shortened(str(value))
        raise InvalidInputError(Problem("$.parameters.timeout", f"expected microseconds, got {shown!r}"))
    return int(min(value, _LONGEST_US) * 1000)
