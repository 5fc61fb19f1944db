"""Answers kept in this process, bounded in bytes and age."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Final, cast

import msgspec
from cachebox import LRUCache

from foretell_plugins.cache.keys import OWNER_BYTES

if TYPE_CHECKING:
    from foretell.plugin import PredictResponse
    from foretell.tensors import Array

__all__ = ["Memory", "MemoryKey"]

_ENTRY_BYTES: Final = 432
"""What an entry takes beside its tensors: the key's object, the table, the names and the numbers around them."""

_ARRAY_BYTES: Final = 160
"""What an array takes beside its values."""

_TEXT_BYTES: Final = 16
"""What a text takes beside itself: its place in the array, and what its own size is rounded up by."""

_AT_ONCE: Final = 1000
"""How many answers are looked at before others may go on: about a millisecond."""

MemoryKey = bytes
"""Which question to which load of a version; see `Keys`."""


class _Entry(msgspec.Struct, frozen=True, gc=False):
    """One kept answer, when it is too old, and how much it takes."""

    outputs: dict[str, Array]
    expires_s: float
    size_bytes: int


class Memory:
    """Answers by key. When it is full, the one that was not asked for longest goes.

    Args:
        max_bytes: How much all answers may take, bytes.
        clock_s: A monotonic clock, seconds.

    Attributes:
        evictions: How many answers had to go for want of room.
        size_bytes: How much the kept answers take, bytes.
    """

    def __init__(self, max_bytes: int, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.evictions = 0
        self.size_bytes = 0
        self._max_bytes = max_bytes
        self._clock_s = clock_s
        # Bounded here and not there: it would ask a Python function for each size.
        self._entries: LRUCache[MemoryKey, _Entry] = LRUCache(0)

    def get(self, key: MemoryKey) -> dict[str, Array] | None:
        """The outputs that are kept for a key; None if there are none, or they are too old. They are not to be changed."""
        # Its stubs forget that there may be none.
        entry = cast("_Entry | None", self._entries.get(key))
        if entry is None:
            return None
        if entry.expires_s <= self._clock_s():
            self._drop(key)
            return None
        return entry.outputs

    def keep(
        self, key: MemoryKey, response: PredictResponse, *, ttl_s: float, max_bytes: int
    ) -> dict[str, Array]:
        """Keep an answer, if there is room for it.

        Its arrays become read-only. Those that are in the memory of others, ONNX Runtime's for instance, are copied.

        Args:
            key: Its key.
            response: The answer.
            ttl_s: How long it may be given again, seconds.
            max_bytes: The greatest answer that is kept, bytes.

        Returns:
            Its outputs, for the caller to change as it likes.
        """
        outputs: dict[str, Array] = {}
        size_bytes = _ENTRY_BYTES + len(key)
        for name, given in response.outputs.items():
            array = given
            size_bytes += _ARRAY_BYTES + array.nbytes
            if array.dtype.hasobject:
                size_bytes += sum([sys.getsizeof(text) + _TEXT_BYTES for text in array.ravel().tolist()])
            if array.base is not None and size_bytes <= max_bytes:
                array = array.copy()
            array.setflags(write=False)
            outputs[name] = array
        if size_bytes > max_bytes or size_bytes > self._max_bytes:
            return outputs
        replaced = self._entries.insert(key, _Entry(outputs, self._clock_s() + ttl_s, size_bytes))
        self.size_bytes += size_bytes if replaced is None else size_bytes - replaced.size_bytes
        while self.size_bytes > self._max_bytes:
            self.size_bytes -= self._entries.popitem()[1].size_bytes
            self.evictions += 1
        return outputs.copy()

    async def forget(self, owners: Container[bytes]) -> int:
        """Drop every answer of some owners; returns how many there were. Others go on meanwhile."""
        count = 0
        for number, key in enumerate(list(self._entries.keys()), 1):
            if key[:OWNER_BYTES] in owners:
                count += self._drop(key)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        return count

    def _drop(self, key: MemoryKey) -> bool:
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self.size_bytes -= entry.size_bytes
        return True
