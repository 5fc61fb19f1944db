"""What every layout of rows offers to the parser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from foretell.tensors import Array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foretell.parser.capacity import Capacity
    from foretell.parser.types import Type

__all__ = ["Layout", "Tensors"]

Tensors = dict[str, Array]
"""Input or output tensors by name."""


class Layout(Protocol):
    """How the values of a row map onto the input tensors.

    Attributes:
        row: The type of one row.
        columns: The type of the column form.
    """

    row: Type
    columns: Type

    def capacity(self, rows: int) -> Capacity:
        """How much a body of so many rows can hold."""
        ...

    def tensors_of_rows(self, rows: Sequence[Any], at: str) -> Tensors:
        """Convert decoded rows; `at` is the JSON path of a row, with ``{}`` for its number."""
        ...

    def tensors_of_columns(self, columns: Any, at: str) -> Tensors:
        """Convert a decoded column form; `at` is its JSON path."""
        ...
