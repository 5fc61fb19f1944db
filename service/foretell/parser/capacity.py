"""How much a request's body can hold at most, counted in what decoding it would make."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Capacity"]


class Capacity(NamedTuple):
    """The most that a body which the model takes can hold.

    Attributes:
        rows: How many rows.
        lists: How many lists and records in them.
        values: How many values of any kind, lists and records among them; None where an axis may be of any length.
    """

    rows: int
    lists: int
    values: int | None
