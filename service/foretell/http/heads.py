"""Heads of requests that came before, byte for byte: what they say need not be parsed again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from foretell.http.head import Head
    from foretell.http.routes import Route

__all__ = ["END", "LONGEST", "Heads", "KnownHead"]

END: Final = b"\r\n\r\n"
"""What ends the head of a request. Source: RFC 9112, section 2.1."""

LONGEST: Final = 2048
"""The greatest length of a head that is remembered, bytes."""

_MOST: Final = 512


class KnownHead(msgspec.Struct, frozen=True, gc=False):
    """What the bytes of a head have been found to say.

    Attributes:
        route: The prediction that they ask for.
        head: What the core reads of them.
        length: The length of the body, bytes.
    """

    route: Route
    head: Head
    length: int


class Heads:
    """The heads that came twice in succession on a connection: a client that keeps one sends the same again and again.

    They are few, and short: those that differ from request to request, by the identity of a trace for instance, never
    get in.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, KnownHead] = {}
        self.get = self._known.get

    def add(self, written: bytes, known: KnownHead) -> None:
        """Remember what a head says.

        Args:
            written: The head, with the empty line that ends it; no longer than `LONGEST`.
            known: What the parser has found in it.
        """
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[written] = known
