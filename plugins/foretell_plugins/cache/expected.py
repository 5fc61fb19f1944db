"""What the answer to a question looks like, as far as the signature tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foretell.plugin import PredictRequest
    from foretell.signature import Signature, Tensor
    from foretell.tensors import Array

__all__ = ["is_expected"]


def is_expected(outputs: Mapping[str, Array], signature: Signature, request: PredictRequest) -> bool:
    """Whether tensors can be the answer to a question: their names and order, dtypes, and shapes for its rows.

    Args:
        outputs: The tensors by name.
        signature: What the version gives.
        request: The question.
    """
    tensors = {tensor.name: tensor for tensor in signature.outputs}
    wanted = tuple(tensors) if request.outputs is None else request.outputs
    if tuple(outputs) != wanted or not tensors.keys() >= outputs.keys():
        return False
    lengths = _lengths(signature, request)
    rows = request.rows if signature.batched else None
    return all(_fits(array, tensors[name], lengths, rows) for name, array in outputs.items())


def _lengths(signature: Signature, request: PredictRequest) -> dict[str, int]:
    """How long the axes are that have a name, by what was asked."""
    return {
        dimension: length
        for tensor in signature.inputs
        if tensor.name in request.inputs
        for dimension, length in zip(tensor.shape, request.inputs[tensor.name].shape, strict=False)
        if isinstance(dimension, str)
    }


def _fits(array: Array, tensor: Tensor, lengths: Mapping[str, int], rows: int | None) -> bool:
    if array.dtype != tensor.type.numpy or array.ndim != len(tensor.shape):
        return False
    for axis, (dimension, length) in enumerate(zip(tensor.shape, array.shape, strict=True)):
        expected = lengths.get(dimension) if isinstance(dimension, str) else dimension
        if expected is None and axis == 0:
            expected = rows
        if expected is not None and length != expected:
            return False
    return True
