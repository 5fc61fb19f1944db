"""Whether rows of a version answer in one run as they do alone, to the last bit: then requests may share runs unasked.

Other than for requests that wait for a thread, which `batching` lets go together, nobody would wait here: so no answer may
change by it, not even in its last bit, with who else is asking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from foretell.engine.trial_inputs import FACTORS, scaled, trial_inputs, varied, zero_inputs
from foretell.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foretell.engine.session import Session
    from foretell.engine.warm_up import Cost
    from foretell.parser import Parser, Tensors
    from foretell.signature import Signature
    from foretell.tensors import Array

__all__ = ["invariant_rows"]

_MOST: Final = 16
_MOST_US: Final = 500.0
"""How long a run of so many may take, µs: the first of them waits for the last."""

_RANDOM_ROWS: Final = 12
_SHIFTS: Final = (0, 5, 11)
"""Each size of a run is tried with other neighbours as often."""


def invariant_rows(session: Session, signature: Signature, parser: Parser, cost: Cost) -> int:
    """How many rows may run together so that each answers as it does alone, bit for bit; 1 for none.

    Every number of rows up to that was tried: a matrix product may take another way for each.

    Args:
        session: The graph.
        signature: What it takes.
        parser: The parser of its signature.
        cost: What a run costs.

    Raises:
        LoadTimeoutError: The session was stopped meanwhile.
    """
    if not signature.batched or not session.plain:
        return 1
    most = min(_MOST, parser.max_rows)
    while most > 1 and cost.of(most) > _MOST_US:
        most -= 1
    if most == 1:
        return 1
    alone: list[tuple[Tensors, Tensors]] = []
    for row in _rows(signature, parser):
        try:
            alone.append((row, session.try_outputs(row)))
        except RunError:  # none that it takes
            continue
    if len({_key(row) for row, _ in alone}) < most:  # too little differs to show anything
        return 1
    sizes = range(1, most + 1)
    if all(_is_as_alone(session, _neighbours(alone, shift, size)) for size in sizes for shift in _SHIFTS):
        return most
    return 1


def _rows(signature: Signature, parser: Parser) -> list[Tensors]:
    """Rows that differ: the example, others like it, and some that are hardly like it at all."""
    one = trial_inputs(signature, parser, 1)
    other = varied(one)
    rows = [one, other, zero_inputs(signature, 1), *(scaled(other, factor) for factor in FACTORS)]
    random = np.random.default_rng(0)
    rows += [_strewn(other, random) for _ in range(_RANDOM_ROWS)]
    return [*rows, _unknown(one)]


def _strewn(inputs: Tensors, random: np.random.Generator) -> Tensors:
    """Floating-point numbers somewhere around others."""

    def around(array: Array) -> Array:
        stretch, shift = random.standard_normal((2, array.size))
        strewn = array.ravel() * (1 + stretch / 2) + shift
        return np.asarray(strewn.reshape(array.shape), array.dtype)

    return {name: around(array) if array.dtype.kind == "f" else array for name, array in inputs.items()}


def _unknown(inputs: Tensors) -> Tensors:
    return {
        name: np.full_like(array, np.nan) if array.dtype.kind == "f" else array
        for name, array in inputs.items()
    }


def _neighbours(
    alone: Sequence[tuple[Tensors, Tensors]], shift: int, size: int
) -> list[tuple[Tensors, Tensors]]:
    return [alone[(shift + at) % len(alone)] for at in range(size)]


def _is_as_alone(session: Session, rows: Sequence[tuple[Tensors, Tensors]]) -> bool:
    joined = {name: np.concatenate([row[name] for row, _ in rows]) for name in rows[0][0]}
    try:
        together = session.try_outputs(joined)
    except RunError:
        return False
    return all(
        array.ndim > 0
        and len(array) == len(rows)
        and all(_same(array[at : at + 1], outputs[name]) for at, (_, outputs) in enumerate(rows))
        for name, array in together.items()
    )


def _same(one: Array, other: Array) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and _bits(one) == _bits(other)


def _bits(array: Array) -> Any:
    return array.tolist() if array.dtype == object else array.tobytes()


def _key(row: Tensors) -> tuple[Any, ...]:
    return tuple(str(_bits(array)) for array in row.values())
