"""The identity of a request: the caller's if it is sane, else one of our own."""

from __future__ import annotations

import itertools
import re
import secrets
from typing import Final

__all__ = ["RequestIds"]

_SANE: Final = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")


class RequestIds:
    """Gives every request an identity that no other request of this or another process has."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(8)
        self._numbers = itertools.count(1)

    def of(self, header: bytes | None) -> str:
        """The identity of a request.

        Args:
            header: The value of its ``X-Request-ID``, if it has one. Anything that could upset a log or a header of
                the answer is not taken over.
        """
        if header is not None and _SANE.fullmatch(header):
            return header.decode("ascii")
        return f"{self._prefix}-{next(self._numbers):x}"
