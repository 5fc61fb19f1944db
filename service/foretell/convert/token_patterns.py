r"""The expression that splits a text into words, said in RE2 so that it means what it means to Python.

RE2, which ONNX Runtime splits with, knows ``\w``, ``\s`` and ``\b`` for ASCII only, has no look-around, and takes
the longest match. So classes are written out, and ``\b`` is only taken where it can be done without.
"""

from __future__ import annotations

import importlib
import re
from typing import Any, Final, NamedTuple

import numpy as np

from foretell.convert.alphabet import DOT_ABOVE, DOTTED_I, SIZE, category, lowered, written
from foretell.errors import ConversionError
from foretell.tensors import Array

__all__ = ["Splitter", "splitter_of"]

_MOST: Final = 1000
"""RE2 repeats no more often than this."""


class _Atom(NamedTuple):
    """Characters of one class, repeated; `most` is None for without end."""

    characters: Array
    least: int
    most: int | None


class Splitter(NamedTuple):
    """How a text is split.

    Attributes:
        expression: What to find, for RE2.
        keep: What a found piece must match as a whole to be a word, for RE2; None for anything.
        has_space: Whether a word can hold a space.
        dotted_i: Whether the letter ``İ`` splits and lower-cases differently from Python.
    """

    expression: str
    keep: str | None
    has_space: bool
    dotted_i: bool


def splitter_of(pattern: str, *, lowercase: bool) -> Splitter:
    """Translate a pattern; what it gives are words before they are lower-cased.

    Args:
        pattern: A ``token_pattern`` of scikit-learn.
        lowercase: Whether Python would lower-case the text first.

    Raises:
        ConversionError: RE2 cannot say it.
    """
    atoms, bounded, words = _parsed(pattern)
    if not sum(atom.least for atom in atoms) or any(
        atom.least > _MOST or (atom.most or 0) > _MOST for atom in atoms
    ):
        raise _untold(pattern)
    has_space = any(bool(atom.characters[ord(" ")]) for atom in atoms)
    first = atoms[0].characters
    run = all(bool((atom.characters == first).all()) for atom in atoms) and any(
        atom.most is None for atom in atoms
    )
    if bounded and not (run and bool((first == words).all())):
        if any(bool((atom.characters & ~words).any()) for atom in atoms):
            raise _untold(pattern)
        pieces, differs = _run(words, 1, lowercase=lowercase)
        keep = "".join(
            _repeated(_before_lowering(atom.characters, lowercase=lowercase), atom) for atom in atoms
        )
        return Splitter(pieces, rf"\A(?:{keep})\z", has_space, differs)
    if run:
        expression, differs = _run(first, sum(atom.least for atom in atoms), lowercase=lowercase)
        return Splitter(expression, None, has_space, differs)
    expression = "".join(
        _repeated(_before_lowering(atom.characters, lowercase=lowercase), atom) for atom in atoms
    )
    return Splitter(expression, None, has_space, lowercase)


def _run(characters: Array, least: int, *, lowercase: bool) -> tuple[str, bool]:
    """Runs of characters as long as can be, and whether ``İ`` is wrong in them."""
    if not lowercase:
        return f"{written(characters)}{{{least},}}", False
    before = characters[lowered()]
    before[ord(DOTTED_I)] = False
    i, dot = bool(characters[ord("i")]), bool(characters[ord(DOT_ABOVE)])
    inner = written(before)
    if i and not dot:  # its dot ends the word
        return f"{inner}{{{least - 1},}}{DOTTED_I}|{inner}{{{least},}}", False
    return f"{inner}{{{least},}}", dot


def _before_lowering(characters: Array, *, lowercase: bool) -> Array:
    if not lowercase:
        return characters
    before = characters[lowered()]
    before[ord(DOTTED_I)] = characters[ord("i")]
    return before


def _repeated(characters: Array, atom: _Atom) -> str:
    most = "" if atom.most is None else atom.most
    return f"{written(characters)}{{{atom.least},{most}}}"


# ---------------------------------------------------------------- reading Python's patterns


def _parsed(pattern: str) -> tuple[list[_Atom], bool, Array]:
    """The atoms in their order, whether they stand between word boundaries, and what a word character is."""
    parser: Any = importlib.import_module("re._parser")
    try:
        tree = parser.parse(pattern)
    except re.error as error:
        raise _untold(pattern) from error
    flags = int(tree.state.flags)
    if flags & re.IGNORECASE:
        raise _untold(pattern)
    nodes = _unwrapped(list(tree))
    bounds = [str(argument) == "AT_BOUNDARY" for kind, argument in nodes if str(kind) == "AT"]
    inner = [node for node in nodes if str(node[0]) != "AT"]
    bounded = len(bounds) == 2 and all(bounds)
    if not inner or (bounds and not (bounded and str(nodes[0][0]) == str(nodes[-1][0]) == "AT")):
        raise _untold(pattern)
    if bounded:
        inner = _unwrapped(inner)
    try:
        atoms = [_atom(node, flags) for node in inner]
    except (ValueError, KeyError) as error:
        raise _untold(pattern) from error
    return atoms, bounded, category(r"\w", ascii_only=bool(flags & re.ASCII))


def _unwrapped(nodes: list[Any]) -> list[Any]:
    """Without a group around everything."""
    while len(nodes) == 1 and str(nodes[0][0]) == "SUBPATTERN" and not any(nodes[0][1][1:3]):
        nodes = list(nodes[0][1][3])
    return nodes


def _atom(node: Any, flags: int) -> _Atom:
    kind, argument = str(node[0]), node[1]
    if kind != "MAX_REPEAT":
        return _Atom(_class(node, flags), 1, 1)
    least, most, repeated = argument
    (single,) = repeated  # a ValueError where it is more than one character
    unbounded = str(most) == "MAXREPEAT"
    return _Atom(_class(single, flags), int(least), None if unbounded else int(most))


def _class(node: Any, flags: int) -> Array:
    """``bool[SIZE]``: what a node of one character matches."""
    kind, argument = str(node[0]), node[1]
    found = np.zeros(SIZE, bool)
    if kind in {"LITERAL", "NOT_LITERAL"}:
        found[argument] = True
    elif kind == "RANGE":
        found[argument[0] : argument[1] + 1] = True
    elif kind == "ANY":
        found[[] if flags & re.DOTALL else ord("\n")] = True
    elif kind == "CATEGORY":
        name = str(argument).removeprefix("CATEGORY_")
        escape = {"WORD": r"\w", "DIGIT": r"\d", "SPACE": r"\s"}[name.removeprefix("NOT_")]
        found = category(escape, ascii_only=bool(flags & re.ASCII))
        return _complement(found) if name.startswith("NOT_") else found
    elif kind == "IN":
        negated = str(argument[0][0]) == "NEGATE"
        for member in argument[1:] if negated else argument:
            found = found | _class(member, flags)
        return _complement(found) if negated else found
    else:
        raise ValueError(kind)
    return _complement(found) if kind in {"NOT_LITERAL", "ANY"} else found


def _complement(characters: Array) -> Array:
    others: Array = ~characters
    others[0xD800:0xE000] = False
    return others


def _untold(pattern: str) -> ConversionError:
    return ConversionError(
        f"token_pattern={pattern!r} has no ONNX form: use classes of characters in a row, such as the default "
        r"'(?u)\\b\\w\\w+\\b', '\\S+' or '[a-z]+', without alternatives, look-around and flags; \\b only around "
        "word characters; train again"
    )
