"""Whether and when a request is tried again. Predictions change nothing, so that asking twice does no harm."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from foretell.client.errors import ForetellError, OverloadedError, UnreachableError

__all__ = ["Retries"]

_BAD_GATEWAY: Final = 502
_MOST_DOUBLINGS: Final = 32


@dataclass(frozen=True, slots=True)
class Retries:
    """How a request is tried again that met a broken connection or one of the statuses 429, 502 and 503.

    What the server says with ``Retry-After`` is waited, and a random part of the back-off on top, so that those who
    were refused together do not come back together. Without it, the random part alone.

    Attributes:
        most: How often at most, beside the first time; 0 for never.
        backoff_s: The longest pause before the second try, seconds; it doubles with each further one.
        max_backoff_s: What it grows to, seconds: longer pauses are the server's to ask for.
        jitter: Gives the part of the back-off that is waited, at random from 0 to 1.
    """

    most: int = 3
    backoff_s: float = 0.1
    max_backoff_s: float = 5.0
    jitter: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        if self.most < 0:
            raise ValueError(f"most: expected 0 or more, got {self.most!r}")
        for name, value in (("backoff_s", self.backoff_s), ("max_backoff_s", self.max_backoff_s)):
            if not value >= 0:
                raise ValueError(f"{name}: expected seconds, 0 or more, got {value!r}")

    def pause_s(self, error: ForetellError, tries: int) -> float | None:
        """How long to wait before the next try, seconds; None if there is to be none.

        Args:
            error: What the last one met.
            tries: How many there were.

        Source: RFC 9110, section 10.2.3, Retry-After.
        """
        passing = isinstance(error, (OverloadedError, UnreachableError)) or error.status == _BAD_GATEWAY
        if not passing or tries > self.most:
            return None
        longest_s = min(self.backoff_s * 2.0 ** min(tries - 1, _MOST_DOUBLINGS), self.max_backoff_s)
        return (error.retry_after_s or 0.0) + longest_s * self.jitter()
