"""A version in memory: what serves it, what it was loaded from, and how it is let go."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from foretell.engine.use import Use
from foretell.store.load_policy import LoadPolicy
from foretell.store.model_config import ModelConfig
from foretell.store.stamp import Stamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from foretell.engine.version import Version

__all__ = ["Basis", "Resident"]

S = TypeVar("S")
"""What a loaded version is made into by whoever serves it."""

_EVERYTHING: LoadPolicy = "all"


class Basis(msgspec.Struct, frozen=True):
    """What the loading of a version depends on. While it stays the same, so does the outcome.

    Attributes:
        stamp: The stamp of its files.
        terms: What model.toml says, without what only decides which version answers.
        plugins: What it says of plugins: they can go around a version anew without loading it anew.
    """

    stamp: Stamp
    terms: ModelConfig
    plugins: dict[str, Any]

    @classmethod
    def of(cls, stamp: Stamp, config: ModelConfig) -> Basis:
        """The basis of a version with these files and this configuration."""
        terms = msgspec.structs.replace(
            config, enabled=True, default=None, aliases={}, load=_EVERYTHING, plugins={}
        )
        return cls(stamp, terms, config.plugins)

    def loads_like(self, other: Basis) -> bool:
        """Whether another leads to the same loaded version, whatever plugins go around it."""
        return self.stamp == other.stamp and self.terms == other.terms


class Resident(Generic[S]):
    """A version in memory.

    Args:
        version: The version.
        served: What serves it.
        use: Who uses that.
        basis: What it was loaded from.

    Attributes:
        reviewed: Whether plugins have looked at it.
        predecessor: What served under the same number before, as long as this one may still be refused.
    """

    def __init__(self, version: Version, served: S, use: Use, basis: Basis) -> None:
        self.version = version
        self.info = version.info
        self.served = served
        self.basis = basis
        self.reviewed = False
        self.predecessor: Resident[S] | None = None
        self._uses = [use]
        self._before: tuple[S, Basis] | None = None

    @property
    def asked_ns(self) -> int:
        """When it was asked last, ns."""
        return max(use.asked_ns for use in self._uses)

    def ask(self, now_ns: int) -> None:
        """Count it as asked."""
        self._uses[-1].asked_ns = now_ns

    def is_like(self, version: Version, basis: Basis) -> bool:
        """Whether a version that was loaded anew computes the same, so that this one may stay."""
        own, other = self.info, version.info
        same = own.fingerprint == other.fingerprint and own.signature == other.signature
        return same and own.manifest == other.manifest and self.basis.terms == basis.terms

    def serve_by(self, served: S, use: Use, basis: Basis) -> None:
        """Let something else serve the same version from now on; requests that hold the former finish on it."""
        self._before = (self.served, self.basis)
        self.served, self.basis = served, basis
        self._uses.append(use)
        self.reviewed = False

    def go_back(self) -> bool:
        """Let what served the same version before serve it again; returns whether there was such a thing."""
        if self._before is None:
            return False
        (self.served, self.basis), self._before = self._before, None
        self.reviewed = True
        return True

    def accept(self) -> Resident[S] | None:
        """Go on without what could have been gone back to; returns the predecessor, which is to be let go."""
        self._before = None
        current = self._uses[-1]
        self._uses = [use for use in self._uses if use is current or use.going_on]
        predecessor, self.predecessor = self.predecessor, None
        return predecessor

    def close(self) -> None:
        """Let go of it at once."""
        self.version.close()

    def retire(self, on_closed: Callable[[], None]) -> None:
        """Let go of it when the last request that holds it has ended.

        Args:
            on_closed: Is called then.
        """
        waiting = {id(use) for use in self._uses}

        def ended(key: int) -> None:
            waiting.discard(key)
            if not waiting:
                self.version.close()
                on_closed()

        for use in self._uses:
            use.when_idle(partial(ended, id(use)))
