"""What stands while a load test goes on: a server that is watched, and models that are rolled out."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self

import msgspec

from foretell.loadtest.rollouts import Rollouts
from foretell.loadtest.run import unloaded_ms
from foretell.loadtest.server import Server
from foretell.loadtest.watch import Watch

if TYPE_CHECKING:
    from foretell.loadtest.question import Question
    from foretell.loadtest.resources import Sample

__all__ = ["Rig"]


class Rig(msgspec.Struct):
    """A server under test.

    Attributes:
        url: Where it listens.
        alone_ms: The median of one caller before the load, ms.
        watch: What it takes; None if it is somewhere else.
        rollouts: Its models' changes; None if there are none.
    """

    url: str
    alone_ms: float
    watch: Watch | None = None
    rollouts: Rollouts | None = None

    @classmethod
    @contextmanager
    def there(cls, url: str, alone: Sequence[Question]) -> Generator[Self]:
        """A server that is there.

        Args:
            url: Where it listens.
            alone: What one caller asks before the load.

        Raises:
            ForetellError: It does not answer.
        """
        yield cls(url, unloaded_ms(url, alone))

    @classmethod
    @contextmanager
    def started(
        cls,
        store: Path,
        arguments: Sequence[str],
        alone: Sequence[Question],
        folder: Path,
        *,
        following: Path | None,
        roll_every_s: float,
    ) -> Generator[Self]:
        """A server that is started, and stopped again.

        Args:
            store: What it serves.
            arguments: What else it is told.
            alone: What one caller asks before the load.
            folder: Where its log goes.
            following: The store that models are rolled out from; see `Rollouts`.
            roll_every_s: How long there is between two rollouts, seconds.

        Raises:
            ForetellError: It does not start or answer, or the stores do not go together.
        """
        with ExitStack() as stack:
            rollouts = None
            if following is not None:
                scratch = stack.enter_context(TemporaryDirectory(prefix="foretell-"))
                rollouts = Rollouts(store, following, Path(scratch) / "store", roll_every_s)
                store = rollouts.copy
            server = stack.enter_context(Server(["--store", str(store), *arguments], folder / "server.log"))
            watch = stack.enter_context(Watch(server.pid))
            alone_ms = unloaded_ms(server.url, alone)
            if rollouts is not None:
                stack.enter_context(rollouts.of(server.url))
            yield cls(server.url, alone_ms, watch, rollouts)

    @property
    def samples(self) -> Sequence[Sample]:
        """What the server took so far."""
        return self.watch.samples if self.watch is not None else ()

    @property
    def rollouts_s(self) -> Sequence[float]:
        """When models were rolled out, in seconds since 1970."""
        return self.rollouts.times_s if self.rollouts is not None else ()
