"""Rows that a model takes, drawn from what its signature tells of the sample that it was published with."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from foretell.signature import Column, Scalar, Signature, Tensor

__all__ = ["Rows"]

_MISSING: Final = 0.05
"""How often a value that may be missing is."""
_DIGITS: Final = 6
_FEW: Final = 3  # float16 has no more


class Rows:
    """Draws rows.

    Args:
        signature: What the model takes.
        random: Where chance comes from.

    Raises:
        ValueError: The model takes no rows: its inputs share no first axis.
    """

    def __init__(self, signature: Signature, random: Random) -> None:
        if not signature.batched:
            raise ValueError("it takes no rows: its inputs share no first axis")
        self._signature = signature
        self._random = random

    def draw(self) -> Any:
        """A row, as JSON values.

        It is a list in the order of the columns; where there are none, what stands for a tensor, or an object of several.
        """
        signature = self._signature
        if signature.columns:
            example = cast("Sequence[Any]", signature.example or [None] * len(signature.columns))
            return [
                self._value(column, value) for column, value in zip(signature.columns, example, strict=True)
            ]
        if signature.example is not None:
            return self._like(list(signature.example))
        tensors = {tensor.name: self._tensor(tensor, tensor.lengths[1:]) for tensor in signature.inputs}
        return tensors if len(tensors) > 1 else next(iter(tensors.values()))

    def _tensor(self, tensor: Tensor, lengths: Sequence[int]) -> Any:
        """Small values, so that whole numbers may be indices; a length that may be any is 1."""
        if lengths:
            return [self._tensor(tensor, lengths[1:]) for _ in range(max(lengths[0], 1))]
        match tensor.type.kind:
            case "string":
                return "a"
            case "bool":
                return self._random.random() < 0.5
            case "int":
                return self._random.randint(0, 1)
            case "float":
                return float(f"{self._random.random():.{_FEW}g}")

    def _value(self, column: Column, example: Scalar | None) -> Any:
        if column.missing != "refuse" and self._random.random() < _MISSING:
            return None
        if column.categories:
            return self._random.choice(column.categories)
        kind = column.type.kind
        if kind == "bool":
            return self._random.random() < 0.5
        if column.minimum is not None and column.maximum is not None:
            if kind == "int":
                return self._random.randint(int(column.minimum), int(column.maximum))
            return self._between(float(column.minimum), float(column.maximum))
        if example is not None:
            return self._like(example)
        return {"string": "a", "int": 1}.get(kind, 0.5)

    def _between(self, least: float, greatest: float) -> float:
        """A number of few digits, as people write them."""
        drawn = least + (greatest - least) * self._random.random()
        short = float(f"{drawn:.{_DIGITS}g}")
        return short if least <= short <= greatest else drawn

    def _like(self, value: Any) -> Any:
        """A value of the same kind; texts and whole numbers stay as they are."""
        if isinstance(value, list):
            return [self._like(each) for each in cast("list[object]", value)]
        if isinstance(value, float) and math.isfinite(value):
            return float(f"{value * self._random.uniform(0.5, 1.5):.{_DIGITS}g}")
        return value
