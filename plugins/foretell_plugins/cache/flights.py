"""Questions that are being answered: who asks the same meanwhile, waits for that answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

from foretell.errors import DeadlineError, ForetellError, PluginError, RunError
from foretell.plugin import PredictResponse

if TYPE_CHECKING:
    from foretell_plugins.cache.memory import MemoryKey

__all__ = ["Flights", "land", "wait_for"]

_Outcome: TypeAlias = PredictResponse | Exception | None

Flights: TypeAlias = "dict[MemoryKey, asyncio.Future[_Outcome] | None]"
"""The questions that are being answered. The future is for those who ask the same; there is none while nobody does."""


async def wait_for(flights: Flights, key: MemoryKey) -> PredictResponse | None:
    """Wait for the answer to a question that is being answered.

    Returns:
        An answer for this caller alone; None if whoever asked first has run out of time or gone away, so that the
        question must be asked again.

    Raises:
        ForetellError: The run failed. Each who waits gets an exception of its own, of the same type.
        RunError: It failed with anything else than a `ForetellError`.
    """
    landing = flights[key]
    if landing is None:
        landing = flights[key] = asyncio.get_running_loop().create_future()
    # Shielded: one who stops waiting must not end it for the others.
    outcome = await asyncio.shield(landing)
    if isinstance(outcome, Exception):
        raise _afresh(outcome) from outcome
    if outcome is None:
        return None
    return _copy(outcome)


def land(landing: asyncio.Future[_Outcome] | None, outcome: PredictResponse | BaseException) -> None:
    """Tell those who wait, if there are any, how the run ended."""
    if landing is None or landing.done():
        return
    if isinstance(outcome, PredictResponse):
        # Whoever asked first may change its own before the others have woken up.
        copy = None
        try:
            copy = _copy(outcome)
        finally:  # plugins may have put anything there: the others ask for themselves
            landing.set_result(copy)
    elif isinstance(outcome, Exception) and not isinstance(outcome, DeadlineError):
        landing.set_result(outcome)
    else:  # the time of one caller, or its going away, says nothing of the others
        landing.set_result(None)


def _copy(response: PredictResponse) -> PredictResponse:
    """The same answer for somebody else, who may do with it what they like."""
    outputs = {name: array.copy() for name, array in response.outputs.items()}
    return PredictResponse(outputs, response.degraded, response.source)


def _afresh(error: Exception) -> Exception:
    """The same failure as an exception that was not raised yet: a traceback grows with everyone who raises it."""
    if not isinstance(error, ForetellError) or isinstance(error, PluginError):
        return RunError(f"the run of an equal request failed: {type(error).__name__}: {error}")
    # Not by its constructor, which may take something else than what `args` holds.
    fresh = type(error).__new__(type(error), *error.args)
    fresh.__dict__.update(error.__dict__)
    return fresh
