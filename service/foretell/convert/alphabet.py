"""Python's ideas of characters as sets of code points, and sets of code points as RE2 writes them."""

from __future__ import annotations

import functools
import re
from typing import Final

import numpy as np

from foretell.tensors import Array

__all__ = ["DOTTED_I", "DOT_ABOVE", "SIGMAS", "SIZE", "category", "lowered", "written"]

SIZE: Final = 0x110000
"""How many code points there are. A set of them is ``bool[SIZE]``; it never holds surrogates."""

DOTTED_I: Final = "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}"
"""The one character whose lower case is two: an ``i`` and a combining dot."""

DOT_ABOVE: Final = "\N{COMBINING DOT ABOVE}"

SIGMAS: Final = "\N{GREEK SMALL LETTER SIGMA}\N{GREEK SMALL LETTER FINAL SIGMA}"
"""The lower cases of the Greek capital sigma; `str.lower` chooses between them by what stands around it."""


@functools.cache
def category(escape: str, *, ascii_only: bool) -> Array:
    r"""The characters of one of ``\w``, ``\d`` and ``\s``, as Python's `re` has them."""
    found = np.zeros(SIZE, bool)
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, SIZE)]))
    members = re.findall(escape, everything, re.ASCII if ascii_only else 0)
    found[[ord(member) for member in members]] = True
    return found


@functools.cache
def lowered() -> Array:
    """``int64[SIZE]``: the lower case of each code point; of `DOTTED_I` itself."""
    lower = [chr(point).lower() for point in range(SIZE)]
    return np.array([ord(low) if len(low) == 1 else point for point, low in enumerate(lower)], np.int64)


def written(characters: Array) -> str:
    r"""A set of code points, ``bool[SIZE]``, as a character class of RE2, which knows ``\w`` for ASCII only."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], characters, [False]]).astype(np.int8)))
    spans = zip(edges[::2].tolist(), (edges[1::2] - 1).tolist(), strict=True)
    return "[" + "".join(f"\\x{{{first:x}}}-\\x{{{last:x}}}" for first, last in spans) + "]"
