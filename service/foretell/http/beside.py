"""What answers on a port of its own, as long as the HTTP server does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Beside"]


class Beside(Protocol):
    """A server beside the HTTP server; that opens and closes it."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """What the log says of where it listens."""
        ...

    @property
    def used(self) -> bool:
        """Whether anybody has asked it."""
        ...

    async def open(self) -> None:
        """Listen.

        Raises:
            ListenError: Somebody else has begun to listen there.
        """
        ...

    async def close(self, grace_s: float) -> None:
        """Listen no more, and finish what is going on; what takes longer than that is given up.

        Args:
            grace_s: How long that may take, seconds.
        """
        ...
