"""How long a caller waits: what the model's team set, unless the caller says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from foretell.errors import MalformedError
from foretell.excerpts import shortened

if TYPE_CHECKING:
    from foretell.settings import LimitSettings
    from foretell.store.model_config import ModelLimits

__all__ = ["Deadlines"]


class Deadlines(msgspec.Struct, frozen=True):
    """How long callers of one model wait.

    Attributes:
        default_ns: Those who do not say, ns; 0 for ever.
        most_ns: At most, whatever they say, ns.
    """

    default_ns: int = 0
    most_ns: int = 2**62

    @classmethod
    def of(cls, server: LimitSettings, model: ModelLimits) -> Deadlines:
        """Those of a model, by its own limits over the server's. A model's default is never beyond its maximum."""
        most_s = model.max_deadline_s or max(server.max_deadline_s, model.deadline_s or 0.0)
        return cls(int(min(model.deadline_s or server.deadline_s, most_s) * 1e9), int(most_s * 1e9))

    def patience_ns(self, header: bytes | None) -> int:
        """How long a caller waits, ns; 0 for ever.

        Args:
            header: What it said with ``X-Request-Timeout``, if it did. It counts up to the maximum.

        Raises:
            MalformedError: That is no number of seconds above 0.
        """
        if header is None:
            return self.default_ns
        try:
            timeout_s = float(header)
        except ValueError:
            timeout_s = 0.0
        if not timeout_s > 0:
            shown = shortened(header.decode("latin-1"))
            raise MalformedError(f"X-Request-Timeout: expected seconds, a number above 0, got {shown!r}")
        return min(max(int(min(timeout_s, 1e9) * 1e9), 1), self.most_ns)
