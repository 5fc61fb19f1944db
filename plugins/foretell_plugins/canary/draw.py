"""Which place a request has among all: by chance, or by a key that its caller chose."""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, TypeAlias

from foretell_plugins.canary.config import REQUEST_ID, TRACE, header_of
from foretell_plugins.tracing.traceparent import parent_of

if TYPE_CHECKING:
    from foretell.plugin import RequestRecord

__all__ = ["Draw", "make_draw"]

Draw: TypeAlias = "Callable[[RequestRecord], float]"
"""Gives a request its place, from 0 up to 100."""

_BYTES: Final = 8
_STEP: Final = 100 / 256**_BYTES


def make_draw(key: str | None, salt: str, chance: Callable[[], float] = random.random) -> Draw:
    """What gives requests their places.

    Args:
        key: What decides: ``header:<name>``, ``traceparent`` or ``request-id``; chance if None, or if a request has
            none.
        salt: Another one gives every key another place. With the same, a key has the same place in every process, on
            every machine and in every release.
        chance: A random source that gives numbers from 0 up to 1.
    """
    salted = blake2b(f"{salt}\0".encode(), digest_size=_BYTES)

    def place_of(value: bytes) -> float:
        digest = salted.copy()  # half the cost of beginning with the salt each time
        digest.update(value)
        return int.from_bytes(digest.digest(), "big") * _STEP

    def by_chance(record: RequestRecord) -> float:
        del record
        return chance() * 100

    def by_trace(record: RequestRecord) -> float:
        parent = parent_of(record.headers)
        return chance() * 100 if parent is None else place_of(parent.trace_id.to_bytes(16, "big"))

    def by_request_id(record: RequestRecord) -> float:
        return place_of(record.request_id.encode())

    name = header_of(key) or b""

    def by_header(record: RequestRecord) -> float:
        value = record.header(name)
        return place_of(value) if value else chance() * 100

    if key is None:
        return by_chance
    return {TRACE: by_trace, REQUEST_ID: by_request_id}.get(key, by_header)
