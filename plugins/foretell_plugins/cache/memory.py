"""Answers kept in this process, bounded in bytes and age."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import numpy as np
from cachebox import LRUCache

from foretell_plugins.cache.keys import OWNER_BYTES

if TYPE_CHECKING:
    from foretell.plugin import PredictResponse
    from foretell.tensors import Array

__all__ = ["Memory", "MemoryKey"]

_ENTRY_BYTES: Final = 240
"""What an entry takes beside its tensors: the key's object, the table, and the numbers around them."""

_ARRAY_BYTES: Final = 208
"""What an array takes beside its values: its shape, and what holds it all together."""

_TEXT_BYTES: Final = 16
"""What a text takes beside itself: its place among the others, and what its own size is rounded up by."""

_AT_ONCE: Final = 1000
"""How many answers are looked at before others may go on: about a millisecond."""

MemoryKey = bytes
"""Which question to which load of a version; see `Keys`."""

_Entry: TypeAlias = "tuple[Any, ...]"
"""One kept answer: when it is too old, how much it takes, and of each array its name, dtype, shape and values, which
nobody else can change; texts are as they are. It is flat, since each object that is kept costs every miss."""


class Memory:
    """Answers by key. When it is full, the one that was not asked for longest goes.

    Args:
        max_bytes: How much all answers may take, bytes.
        clock_s: A monotonic clock, seconds.

    Attributes:
        evictions: How many answers had to go for want of room.
        size_bytes: How much the kept answers take, bytes.
        find: Whether there is something for a key, which may be too old; None if there is nothing.
    """

    def __init__(self, max_bytes: int, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.evictions = 0
        self.size_bytes = 0
        self._max_bytes = max_bytes
        self._clock_s = clock_s
        # Bounded here and not there: it would ask a Python function for each size.
        self._entries: LRUCache[MemoryKey, _Entry] = LRUCache(0)
        # Its stubs forget that there may be none. No method of its own: every miss would pay for that.
        self.find: Callable[[MemoryKey], object | None] = self._entries.get

    def get(self, key: MemoryKey) -> dict[str, Array] | None:
        """The outputs that are kept for a key, as arrays of the caller's own; None if there are none, or they are too old."""
        entry = cast("_Entry | None", self._entries.get(key))
        if entry is None:
            return None
        expires_s, _, *arrays = entry
        if expires_s <= self._clock_s():
            self._drop(key)
            return None
        fields = iter(arrays)
        return {
            name: _array(dtype, shape, data)
            for name, dtype, shape, data in zip(fields, fields, fields, fields, strict=True)
        }

    def keep(self, key: MemoryKey, response: PredictResponse, ttl_s: float, max_bytes: int) -> None:
        """Keep a copy of an answer, if there is room for it.

        Args:
            key: Its key.
            response: The answer.
            ttl_s: How long it may be given again, seconds.
            max_bytes: The greatest answer that is kept, bytes.
        """
        arrays: list[Any] = []
        size_bytes = _ENTRY_BYTES + len(key)
        for name, array in response.outputs.items():
            size_bytes += _ARRAY_BYTES + array.nbytes
            if size_bytes > max_bytes:
                return
            dtype = array.dtype
            if dtype.hasobject:
                texts: list[str] = array.ravel().tolist()
                size_bytes += sum([sys.getsizeof(text) + _TEXT_BYTES for text in texts])
                arrays += (name, dtype, array.shape, texts)
            else:
                arrays += (name, dtype, array.shape, array.tobytes())
        if size_bytes > max_bytes or size_bytes > self._max_bytes:
            return
        replaced = self._entries.insert(key, (self._clock_s() + ttl_s, size_bytes, *arrays))
        self.size_bytes += size_bytes if replaced is None else size_bytes - _size_bytes(replaced)
        while self.size_bytes > self._max_bytes:
            self.size_bytes -= _size_bytes(self._entries.popitem()[1])
            self.evictions += 1

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
        self.size_bytes -= _size_bytes(entry)
        return True


def _size_bytes(entry: _Entry) -> int:
    size_bytes: int = entry[1]
    return size_bytes


def _array(dtype: np.dtype[Any], shape: tuple[int, ...], data: bytes | list[str]) -> Array:
    """A kept array, made anew."""
    if isinstance(data, bytes):
        return np.ndarray(shape, dtype, bytearray(data))
    array: Array = np.empty(len(data), dtype=dtype)
    array[:] = data
    return array.reshape(shape)
