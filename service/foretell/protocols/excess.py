"""Bodies that hold more than their model can take, found out before anything is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from foretell.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from foretell.parser import Capacity

__all__ = ["check_excess", "outside_of_texts"]

_SMALL_BYTES: Final = 64 * 1024
"""The decoder itself refuses shorter bodies soon enough, and says more."""

_PIECE_BYTES: Final = 1024 * 1024
_MEMBERS: Final = 16
"""What the members of the body itself may add to its lists and values."""


def check_excess(body: bytes, capacity: Capacity, decode: Callable[[bytes], object]) -> None:
    """Refuse a body with many more lists or values than fit into the rows that the model takes.

    The decoder makes a value of everything in a list before it looks at the list's length; of sixteen megabytes it
    would make millions. Counting brackets and commas takes a hundredth of that.

    Args:
        body: The body.
        capacity: The most that it can hold.
        decode: The decoder of the whole body.

    Raises:
        InvalidInputError: It holds more.
        ValidationError: It does, and already its beginning is wrong.
        RecursionError: It does, and already its beginning is nested too deeply.
    """
    if len(body) <= _SMALL_BYTES:
        return
    opening, opening_record, commas = count_of(body, b"[{,")
    if _fits(opening + opening_record, commas, capacity):
        return
    lists, commas = outside_of_texts(body)
    if not _fits(lists, commas, capacity):
        _check_beginning(body, decode)
        most = f"{capacity.lists} lists" if capacity.values is None else f"{capacity.values} values"
        message = (
            f"expected {capacity.rows} or fewer rows, with at most {most} in them, "
            f"got {lists} lists and about {commas + 1} values"
        )
        raise InvalidInputError(Problem("$", message))


def _check_beginning(body: bytes, decode: Callable[[bytes], object]) -> None:
    """Raise what is wrong with the beginning of a body; it is cut behind a comma, so not within a number."""
    end = body.rfind(b",", 0, _SMALL_BYTES) + 1 or _SMALL_BYTES
    try:
        decode(body[:end])
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:  # cut short
        return


def _fits(lists: int, commas: int, capacity: Capacity) -> bool:
    return lists <= capacity.lists + _MEMBERS and (
        capacity.values is None or commas <= capacity.values + _MEMBERS
    )


def count_of(body: bytes, characters: bytes) -> list[int]:
    """How often each of some characters stands in a body; `bytes.count` looks at one byte after the other."""
    values = np.frombuffer(body, dtype=np.uint8)
    counts = [0] * len(characters)
    for start in range(0, len(values), _PIECE_BYTES):
        piece = values[start : start + _PIECE_BYTES]
        for at, character in enumerate(characters):
            counts[at] += int(np.count_nonzero(piece == character))
    return counts


def outside_of_texts(body: bytes) -> tuple[int, int]:
    """How many opening brackets and commas stand outside of strings, in pieces so that little memory is needed."""
    if b"\\" in body:  # within a string, so what remains has the same structure
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    characters = np.frombuffer(body, dtype=np.uint8)
    lists = commas = 0
    inside = np.uint8(0)
    for start in range(0, len(characters), _PIECE_BYTES):
        piece = characters[start : start + _PIECE_BYTES]
        quotes = (piece == ord('"')).view(np.uint8)
        within: NDArray[Any] = np.bitwise_xor.accumulate(quotes) ^ inside
        outside = within == 0
        inside = within[-1]
        lists += int(np.count_nonzero(((piece == ord("[")) | (piece == ord("{"))) & outside))
        commas += int(np.count_nonzero((piece == ord(",")) & outside))
    return lists, commas
