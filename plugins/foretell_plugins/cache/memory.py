"""Answers kept in this process, bounded in bytes and age."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

import msgspec
from cachebox import LRUCache

if TYPE_CHECKING:
    from foretell.plugin import PredictResponse

__all__ = ["Memory", "MemoryKey", "size_of"]

_OVERHEAD_BYTES: Final = 512
"""What an entry takes beside its tensors, roughly: the key, the objects around the arrays, the table."""


MemoryKey = tuple[int, bytes]
"""Which load of a version, and the question."""


class _Entry(msgspec.Struct, frozen=True, gc=False):
    """One kept answer, when it is too old, and how much it takes."""

    response: PredictResponse
    expires_s: float
    size_bytes: int


class Memory:
    """Answers by key. When it is full, the one that was not asked for longest goes.

    Args:
        max_bytes: How much all answers may take, bytes.
        clock_s: A monotonic clock, seconds.

    Attributes:
        evictions: How many answers had to go for want of room.
    """

    def __init__(self, max_bytes: int, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.evictions = 0
        self._clock_s = clock_s
        self._entries: LRUCache[MemoryKey, _Entry] = LRUCache(max_bytes, getsizeof=_size)

    @property
    def size_bytes(self) -> int:
        """How much the kept answers take, bytes."""
        return int(self._entries.current_size())

    def get(self, key: MemoryKey) -> PredictResponse | None:
        """The answer that is kept for a key; None if there is none, or it is too old."""
        # Its stubs forget that there may be none.
        entry = cast("_Entry | None", self._entries.get(key, None))
        if entry is None:
            return None
        if entry.expires_s <= self._clock_s():
            self._entries.pop(key, None)
            return None
        return entry.response

    def put(self, key: MemoryKey, response: PredictResponse, size_bytes: int, ttl_s: float) -> None:
        """Keep an answer, if there is room for it at all."""
        if size_bytes > self._entries.maxsize:
            return
        before = len(self._entries) + (key not in self._entries)
        self._entries.insert(key, _Entry(response, self._clock_s() + ttl_s, size_bytes))
        self.evictions += before - len(self._entries)

    def forget(self, load: int) -> int:
        """Drop every answer of one loaded version; returns how many there were."""
        doomed = [key for key in self._entries if key[0] == load]
        for key in doomed:
            self._entries.pop(key, None)
        return len(doomed)


def size_of(response: PredictResponse) -> int:
    """How much memory an answer takes, bytes."""
    total = _OVERHEAD_BYTES
    for array in response.outputs.values():
        total += array.nbytes
        if array.dtype.hasobject:
            texts = array.ravel().tolist()
            total += sum(map(len, texts)) + 56 * len(texts)
    return total


def _size(_: MemoryKey, entry: _Entry) -> int:
    return entry.size_bytes
