"""A fixed answer, checked against what a model gives."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from foretell.protocols.json_values import is_list
from foretell.tensors import Array
from foretell_plugins.fallback.likeness import UnlikeError, described

if TYPE_CHECKING:
    from foretell.prediction import PredictRequest
    from foretell.signature import Signature, Tensor
    from foretell.tensors import DType

__all__ = ["StaticAnswer"]


class StaticAnswer:
    """The same answer for every row.

    Args:
        value: For each output its value for one row; for an output without a row axis, the whole of it.
        signature: What the model gives.

    Raises:
        UnlikeError: It is not what the model gives.
    """

    def __init__(self, value: Mapping[str, Any], signature: Signature) -> None:
        names = [tensor.name for tensor in signature.outputs]
        for name in [*names, *value]:
            if name not in value or name not in names:
                what = "is absent" if name not in value else "is not an output"
                raise UnlikeError(f"the value of {name!r} {what}; the outputs are {', '.join(names)}")
        self._outputs = {
            tensor.name: (_array(tensor, value[tensor.name]), tensor.batched) for tensor in signature.outputs
        }
        if signature.classes is not None:
            _check_classes(self._outputs, signature)

    def outputs(self, request: PredictRequest) -> dict[str, Array]:
        """The answer to a request."""
        return {
            name: np.repeat(value, request.rows, axis=0) if repeated else value.copy()
            for name, (value, repeated) in self._outputs.items()
            if request.outputs is None or name in request.outputs
        }


def _array(tensor: Tensor, value: Any) -> Array:
    """One row of a tensor, with its row axis; or the whole of it, if it has none."""
    shape = tensor.shape[1:] if tensor.batched else tensor.shape
    try:
        for element in _elements(value):
            _check(tensor.type, element)
        array = np.array(value, dtype=tensor.type.numpy)
    except (TypeError, ValueError, OverflowError) as error:
        raise UnlikeError(f"the value of {tensor.name!r}: {error}") from error
    if array.ndim == 0 and all(length in {1, None} for length in shape):
        array = array.reshape((1,) * len(shape))
    if len(array.shape) != len(shape) or any(
        isinstance(wanted, int) and wanted != length
        for length, wanted in zip(array.shape, shape, strict=True)
    ):
        of = "one row of " if tensor.batched else ""
        raise UnlikeError(
            f"the value of {tensor.name!r} has the shape {list(array.shape)}; it must be {of}{described(tensor)}"
        )
    return array[np.newaxis] if tensor.batched else array


def _elements(value: Any) -> Iterator[Any]:
    if is_list(value):
        for each in value:
            yield from _elements(each)
    else:
        yield value


def _check(dtype: DType, element: Any) -> None:
    kinds: dict[str, Any] = {
        "bool": (bool,),
        "int": (int,),
        "float": (int, float),
        "string": (str,),
    }
    if not isinstance(element, kinds[dtype.kind]) or (dtype.kind != "bool" and isinstance(element, bool)):
        raise TypeError(f"{element!r} is no {dtype.name}")
    if (
        dtype.minimum is None
        or dtype.maximum is None
        or (isinstance(element, float) and not math.isfinite(element))
    ):
        return
    if not dtype.minimum <= element <= dtype.maximum:
        raise ValueError(f"{element!r} is beyond what {dtype.name} can hold")


def _check_classes(outputs: Mapping[str, tuple[Array, bool]], signature: Signature) -> None:
    classes = list(signature.classes or ())
    if signature.prediction is not None:
        for label in outputs[signature.prediction][0].ravel().tolist():
            if label not in classes:
                raise UnlikeError(
                    f"the value of {signature.prediction!r} is {label!r}; the classes are {classes}"
                )
    if signature.probabilities is not None:
        count = outputs[signature.probabilities][0].shape[-1]
        if count != len(classes):
            raise UnlikeError(
                f"the value of {signature.probabilities!r} has {count} numbers; the classes are {classes}"
            )
