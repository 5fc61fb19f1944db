"""The headers of an answer that the model does not give: what a cache did, and what plugins add."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

from foretell.prediction import check_header

if TYPE_CHECKING:
    from foretell.plugin.faults import Faults
    from foretell.prediction import CacheStatus, Headers, RequestRecord

__all__ = ["AddedHeaders"]

_REMEMBERED: Final = 256
"""How many headers of plugins are remembered, so that they are not checked again."""

_STATUSES: Final[tuple[CacheStatus, ...]] = ("hit", "miss", "coalesced", "bypass")
_CACHE_HEADER: Final = b"x-foretell-cache"
_CACHE: Final[dict[str, Headers]] = {status: ((_CACHE_HEADER, status.encode()),) for status in _STATUSES}


class AddedHeaders:
    """The headers that records ask for. A plugin may have left anything in them.

    Args:
        faults: Where faults go that plugins leave in records; None if nobody asks.
    """

    def __init__(self, faults: Faults | None) -> None:
        self._faults = faults
        self._sound: set[tuple[bytes, bytes]] = set()  # the same few with every answer

    def of(self, record: RequestRecord) -> Headers:
        """What is added to an answer; headers that would break it are left out, and counted."""
        given = record.answer_headers
        cache: object = record.cache
        told = _CACHE.get(cache, ()) if type(cache) is str else ()
        if given is None:
            return told
        headers: list[tuple[bytes, bytes]] = []
        try:
            headers = [(name, value) for name, value in given]  # what was checked is what is sent
            for name, value in headers:
                known = type(name) is bytes and type(value) is bytes and (name, value) in self._sound
                if not known:
                    check_header(name, value)
                    if len(self._sound) < _REMEMBERED:
                        self._sound.add((name, value))
        except Exception as error:  # noqa: BLE001 - the boundary of a plugin
            if self._faults is not None:
                self._faults.failed("unknown", "answer_headers", error, request_id=record.request_id)
            headers = _sound(given)
        return headers if any(name == _CACHE_HEADER for name, _ in headers) else [*headers, *told]


def _sound(headers: object) -> list[tuple[bytes, bytes]]:
    """What in place of headers is headers."""
    sound: list[tuple[bytes, bytes]] = []
    for header in cast("list[tuple[bytes, bytes]]", headers) if isinstance(headers, list) else []:
        with suppress(Exception):  # whatever it is, it is no header
            name, value = header
            check_header(name, value)
            sound.append((name, value))
    return sound
