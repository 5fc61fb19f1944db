"""How much there is in the inputs of a request, where that is not said by the number of its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foretell.parser import Tensors
    from foretell.signature import Signature

__all__ = ["extent", "rows_differ"]


def rows_differ(signature: Signature) -> bool:
    """Whether one row can be longer than another: it has texts, or axes of any length."""
    return any(
        tensor.dtype == "string"
        or any(not isinstance(length, int) for length in tensor.shape[1 if signature.batched else 0 :])
        for tensor in signature.inputs
    )


def extent(inputs: Tensors) -> int:
    """The number of elements and, of texts, of characters."""
    return sum(
        array.size + (sum(map(len, array.ravel().tolist())) if array.dtype.hasobject else 0)
        for array in inputs.values()
    )
