"""Whether requests of a version share runs, and how many rows a run then takes: measured, and shown to change nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from foretell.engine.batch_invariance import invariant_rows, is_invariant
from foretell.engine.trial_inputs import trial_inputs, trial_rows
from foretell.engine.warm_up import time_us
from foretell.errors import RunError
from foretell.store.screening import nodes

if TYPE_CHECKING:
    from foretell.engine.session import Session
    from foretell.engine.warm_up import Cost
    from foretell.parser import Parser
    from foretell.signature import Signature
    from foretell.store.model_config import ModelBatching

__all__ = ["Batching", "choose_batching"]

_MOST_ROWS: Final = 256
_PATIENCE_S: Final = 1.0
_WORTH: Final = 1.2
"""A bigger run must give so many times the rows a second for requests to share runs by themselves."""

_NEAR: Final = 0.97
"""Of the sizes that give nearly the most rows a second, the smallest is taken: its callers wait least."""


_SHARED: Final = "on the event loop to share them changes no bit"
_NOT_SHARED: Final = "on the event loop to share them could change the last bit of an answer"


class Batching(msgspec.Struct, frozen=True):
    """What was decided.

    Attributes:
        rows: How many rows of requests that wait for a thread go together at most; 1 means that they share no runs.
        reason: Why, in words.
        loop_rows: How many rows of requests that came together do so on the event loop, where nothing waits; 1 for none.
    """

    rows: int
    reason: str
    loop_rows: int = 1


def choose_batching(
    session: Session,
    signature: Signature,
    parser: Parser,
    config: ModelBatching,
    *,
    cost: Cost | None,
    inline_us: float,
    model: bytes,
) -> Batching:
    """Decide for one version.

    Args:
        session: Its graph.
        signature: What it takes.
        parser: The parser of its signature.
        config: What the team has set.
        cost: What a run was measured to cost; None if that is not known.
        inline_us: Runs shorter than this happen on the event loop, where no request waits for others, µs.
        model: Its model file, which is looked into where runs are short.

    Raises:
        LoadTimeoutError: The session was stopped meanwhile.
    """
    if config.mode == "off":
        return Batching(1, "batching is off in its model.toml")
    if not signature.batched:
        return Batching(1, "its inputs share no axis of rows")
    forced = config.mode == "on"
    if cost is None and not forced:
        return Batching(1, "what a run costs is not known")
    loop_rows = 1
    is_short = cost is not None and cost.of(1) <= inline_us
    if cost is not None and is_short and is_invariant(nodes(model), signature):
        loop_rows = min(invariant_rows(session, signature, parser, cost), config.max_rows or _MOST_ROWS)
    on_the_loop = _SHARED if loop_rows > 1 else _NOT_SHARED
    if is_short and not forced:
        return Batching(1, f"its runs are short; {on_the_loop}", loop_rows)
    independent = _rows_are_independent(session, signature, parser)
    if independent is False:
        return Batching(
            1, "its rows depend on each other: what one caller asks would change another's answer"
        )
    if independent is None and not forced:
        return Batching(
            1,
            "that its rows do not depend on each other could not be shown; batching.mode = 'on' trusts in it",
        )
    most = config.max_rows or min(_MOST_ROWS, parser.max_rows)
    rates = _rates(session, signature, parser, most)
    best = max(rates.values(), default=0.0)
    rows = min((size for size, rate in rates.items() if rate >= best * _NEAR), default=most)
    gain = best / rates[1] if rates.get(1) else 1.0
    if forced:
        reason = "batching is on in its model.toml"
        if is_short:
            reason += f"; {on_the_loop}"
        return Batching(config.max_rows or max(rows, 2), reason, loop_rows)
    if rows == 1 or gain < _WORTH:
        return Batching(1, f"runs of more rows give only {gain:.2f} times the rows a second")
    return Batching(rows, f"runs of {rows} rows give {gain:.1f} times the rows a second")


def _rates(session: Session, signature: Signature, parser: Parser, most: int) -> dict[int, float]:
    """Rows a second by the size of a run, as far as a second of trials goes."""
    began_s = time.monotonic()
    rates: dict[int, float] = {}
    size = 1
    while size <= most and time.monotonic() - began_s < _PATIENCE_S:
        try:
            took_us = time_us(session, trial_inputs(signature, parser, size))
        except RunError:
            break
        rates[size] = size * 1e6 / max(took_us, 1e-3)
        size *= 2
    return rates


def _rows_are_independent(session: Session, signature: Signature, parser: Parser) -> bool | None:
    """Whether rows that run together answer as they do alone; None if no two different rows could be tried."""
    # Some models take a measure of all rows, such as the greatest: rows of other sizes show it.
    one, *others = trial_rows(signature, parser)
    other = others[0]
    found: bool | None = None
    for first, second in [(one, each) for each in others] + [(other, each) for each in others[1:]]:
        if all(np.array_equal(second[name], array) for name, array in first.items()):
            continue
        try:
            alone = [session.try_outputs(first), session.try_outputs(second)]
            mixed = [first, second, first, second, second]
            joined = {name: np.concatenate([each[name] for each in mixed]) for name in first}
            together = session.try_outputs(joined)
        except (RunError, ValueError):
            continue
        expected = [alone[0], alone[1], alone[0], alone[1], alone[1]]
        found = all(
            _alike(array, [each[name] for each in expected], len(mixed)) for name, array in together.items()
        )
        if not found:
            return False
    return found


def _alike(together: Any, alone: list[Any], rows: int) -> bool:
    if (
        together.ndim == 0
        or len(together) != rows
        or any(array.ndim == 0 or len(array) != 1 for array in alone)
    ):
        return False
    expected = np.concatenate(alone)
    if expected.shape != together.shape:
        return False
    if together.dtype.kind in "fc":
        return bool(np.allclose(together, expected, rtol=1e-3, atol=1e-5, equal_nan=True))
    return bool(np.array_equal(together, expected))
