"""Texts made up to find where a converted model might read one differently from the original."""

# ruff: noqa: RUF001 - what looks alike is what this is about
from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from foretell.convert.frame import Frame, Row

__all__ = ["PIECES", "text_rows"]

PIECES: Final = (
    *"  \t\n\r\x0b\x1c\x85\xa0\u2028\u3000",  # white space, to Python
    *"\u200b\u200d\ufeff\x00",  # none, though it looks so
    *".,;:!?'\"-_/\\@#&()[]{}*+|^$%<>=~`",
    *"’‘“”–—…·«»",
    *"059٣५Ⅷ²½①",
    *"éÉñçøßẞæłőÅKſ",
    *"İıIi̇ΣσςΑά",
    *"дЖкїעבعم日本語한かなกำहिन्दी",
    *"🙂👍🏽\u0301\u0308\ufe0f",
    " ’s ",
    "n't",
    "ﬁ",
    "ǅ",
)
"""What is put between and inside of words: what Python and RE2, or the lower-casing of either, may see differently."""

_WORDS: Final = ("", " ", "  ", "\n", "nan", "None", "null", "0", "1.0", "True", "unheardof", "Überraschung")
"""Whole texts that are easily taken for something else."""

_LONGEST: Final = 2000
"""Longer texts of the sample are cut before they are changed, in characters."""


def text_rows(
    frame: Frame,
    random: np.random.Generator,
    count: int,
    refused: dict[str, str],
    closed: frozenset[str],
    nonempty: frozenset[str] = frozenset(),
) -> Iterator[Row]:
    """Rows of the sample, each with one text changed.

    Args:
        frame: The sample.
        random: Decides which, where and how.
        count: How many.
        refused: The characters that the served model takes in no text of a column, by the column's name.
        closed: The columns that only take texts of a list.
        nonempty: The columns that take no empty text.
    """
    places = [
        at
        for at, column in enumerate(frame.columns)
        if column.kind == "string" and column.name not in closed and frame.present(at)
    ]
    texts = {at: [str(text) for text in frame.present(at)] for at in places}
    for number in range(count if places else 0):
        at = places[number % len(places)]
        turn = number // len(places)
        text = _WORDS[turn] if turn < len(_WORDS) else _changed(texts[at], random, turn - len(_WORDS))
        column = frame.columns[at]
        if (column.name in nonempty and not text) or any(
            letter in text for letter in refused.get(column.name, "")
        ):
            continue
        row = frame.rows[int(random.integers(len(frame.rows)))]
        yield (*row[:at], text, *row[at + 1 :])


def _changed(texts: Sequence[str], random: np.random.Generator, turn: int) -> str:
    text: str = texts[int(random.integers(len(texts)))][:_LONGEST]
    other: str = texts[int(random.integers(len(texts)))][:_LONGEST]
    piece: str = PIECES[turn % len(PIECES)]
    way = int(random.integers(8))
    if way == 0:
        changed = (text.upper(), text.title(), text.swapcase(), text.capitalize())[turn % 4]
        return changed + piece + other
    if way == 1:
        return _joined(text, other, random) + piece
    if way == 2:
        return piece + text.replace(" ", piece) + piece
    if way == 3:
        return piece.join(text.split())
    if way == 4:
        return f"{text}{piece}{other}"
    changed = text
    for _ in range(int(random.integers(1, 4))):  # inside of a word as often as between two
        place = int(random.integers(len(changed) + 1))
        changed = changed[:place] + piece + changed[place:]
    return changed


def _joined(text: str, other: str, random: np.random.Generator) -> str:
    """Words of one text among those of another."""
    words = [*text.split(), *other.split()]
    order: list[int] = random.permutation(len(words)).tolist()
    return " ".join(words[index] for index in order[: max(1, len(words) * 2 // 3)])
