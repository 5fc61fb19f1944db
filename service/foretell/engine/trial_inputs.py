"""Inputs made up to try a version with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from foretell.tensors import zeros

if TYPE_CHECKING:
    from foretell.parser import Parser, Tensors
    from foretell.signature import Signature

__all__ = ["trial_inputs", "trial_rows", "varied", "zero_inputs"]

_FACTORS: Final = (1e3, 1e-3, -1.0)
"""Rows that are so many times another are tried together with it."""


def zero_inputs(signature: Signature, rows: int) -> Tensors:
    """Inputs of zeros and empty strings; variable axes other than the first have length 1."""
    return {
        tensor.name: zeros(
            tensor.type,
            tuple(
                length if isinstance(length, int) else rows if axis == 0 and signature.batched else 1
                for axis, length in enumerate(tensor.shape)
            ),
        )
        for tensor in signature.inputs
    }


def trial_inputs(signature: Signature, parser: Parser, rows: int) -> Tensors:
    """Inputs to warm a version up with: the example of its signature if it has one, else zeros."""
    if signature.example is None or not signature.batched:
        return zero_inputs(signature, rows)
    tensors, _ = parser.tensors_of_rows([signature.example])
    return {name: np.ascontiguousarray(np.repeat(tensor, rows, axis=0)) for name, tensor in tensors.items()}


def varied(inputs: Tensors) -> Tensors:
    """Other values of the same kinds; whole numbers stay so small that they can be indices."""
    others: Tensors = {}
    for name, array in inputs.items():
        if array.dtype.kind == "f":
            steps = np.linspace(0.1, 0.9, max(array.size, 1))[: array.size]
            others[name] = (array + steps.reshape(array.shape)).astype(array.dtype)
        elif array.dtype.kind in "biu":
            others[name] = (array == 0).astype(array.dtype)
        else:
            others[name] = array
    return others


def trial_rows(signature: Signature, parser: Parser) -> list[Tensors]:
    """Single rows that differ: the example, one like it, zeros, and some whose numbers are of other sizes."""
    one = trial_inputs(signature, parser, 1)
    other = varied(one)
    return [one, other, zero_inputs(signature, 1), *(_scaled(other, factor) for factor in _FACTORS)]


def _scaled(inputs: Tensors, factor: float) -> Tensors:
    """Inputs whose floating-point numbers are so many times others."""
    with np.errstate(over="ignore"):  # what is too large for its type is infinite
        return {
            name: (array * factor).astype(array.dtype) if array.dtype.kind == "f" else array
            for name, array in inputs.items()
        }
