"""Who accepts the connections of a slot whose worker is dead."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["adopt"]


def adopt(now: Mapping[int, frozenset[int]], orphans: set[int]) -> dict[int, frozenset[int]]:
    """Give each slot that nobody serves to the worker that has the fewest; who has one keeps it.

    Args:
        now: The slots that each worker accepts from at the moment, by its own slot.
        orphans: The slots whose sockets listen and whose worker is dead.

    Returns:
        The slots that each worker shall accept from, by its own slot.
    """
    wanted = {own: {own} for own in now}
    for orphan in sorted(orphans if wanted else ()):
        chosen = min(wanted, key=lambda own: (orphan not in now[own], len(wanted[own]), own))
        wanted[chosen].add(orphan)
    return {own: frozenset(slots) for own, slots in wanted.items()}
