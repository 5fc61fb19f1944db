"""Weights of which all workers of a server have one copy in memory, in the layout that ONNX Runtime computes with.

ONNX Runtime copies weights into a layout of its own when a session is made, in each process anew. Written to a file
with that layout beside them, they are mapped instead, and the kernel keeps one copy for all who map them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from foretell.engine.session import Session
from foretell.engine.warm_up import time_us
from foretell.errors import ForetellError
from foretell.store.manifest import MODEL_FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from foretell.engine.attempt import Stop
    from foretell.parser import Tensors

__all__ = ["LEAST_BYTES", "Loan", "Opened", "SharedWeights", "Weights"]

LEAST_BYTES: Final = 8 * 1024**2
"""Less than this is not worth a file."""

_SLOWER: Final = 1.5
"""So much longer a run may take with mapped weights. It takes as long as with others; measuring that is not exact."""

_LOOK_S: Final = 0.05


class Weights(msgspec.Struct, frozen=True):
    """The weights of a version.

    Attributes:
        size_bytes: How much they take in the version's files, bytes.
        shared: Whether the workers of the server have one copy of them.
        reason: Why, in words.
    """

    size_bytes: int
    shared: bool
    reason: str


class Loan:
    """The right to files of shared weights; they go when the last who has it gives it back.

    Args:
        lock: The open lock file; its lock is shared by those who use the files.
        folder: The files.
    """

    def __init__(self, lock: int, folder: Path) -> None:
        self._lock = lock
        self._folder = folder

    def close(self) -> None:
        """Use the files no more; what is mapped stays mapped."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            if _take(lock, fcntl.LOCK_EX):
                shutil.rmtree(self._folder, ignore_errors=True)
            os.close(lock)


class Opened(msgspec.Struct, frozen=True):
    """A session of a version, and whose its weights are.

    Attributes:
        session: The session.
        weights: What is known of its weights.
        loan: The right to their files; None if they are not shared.
    """

    session: Session
    weights: Weights
    loan: Loan | None = None

    def close(self) -> None:
        """Use shared files no more."""
        if self.loan is not None:
            self.loan.close()


class SharedWeights:
    """Lays out weights for several processes.

    Args:
        folder: Where; a folder that is the server's alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(
        self,
        key: str,
        make: Callable[[Path | None, Path | None], Session],
        trials: Callable[[Session], Sequence[Tensors]],
        *,
        stop: Stop | None = None,
    ) -> tuple[Session, Loan] | str:
        """Open a version with shared weights. The first process lays them out, while the others wait.

        Args:
            key: What the version's files and the options of its session are; equal for equal ones.
            make: Opens a session: from a model file, or from the version's own if None; and writes it, laid out, to
                a model file, if that is not None.
            trials: Inputs to try a session on.
            stop: Ends the waiting when nobody waits for it any longer.

        Returns:
            The session; or why its weights are not shared.

        Raises:
            StoreError: The version cannot be opened.
        """
        folder = self._folder / key
        lock = -1
        try:
            lock = os.open(self._folder / f"{key}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            while True:
                if _take(lock, fcntl.LOCK_EX) and not folder.exists():  # nobody uses them, or lays them out
                    refusal = self._lay_out(folder, make, trials, stop)
                    if refusal is not None:
                        os.close(lock)
                        return refusal
                # The last user of before may have come in between, and have taken the files away.
                if _take(lock, fcntl.LOCK_SH) and folder.exists():
                    return make(folder / MODEL_FILE, None), Loan(lock, folder)
                fcntl.flock(lock, fcntl.LOCK_UN)
                if stop is not None:
                    stop.check()
                time.sleep(_LOOK_S)
        except OSError as error:
            if lock >= 0:
                os.close(lock)
            return f"they cannot be laid out in {str(self._folder)!r}: {error.strerror or error}"
        except BaseException:
            if lock >= 0:
                os.close(lock)
            raise

    def _lay_out(
        self,
        folder: Path,
        make: Callable[[Path | None, Path | None], Session],
        trials: Callable[[Session], Sequence[Tensors]],
        stop: Stop | None,
    ) -> str | None:
        """Write the files of a version, and prove them; returns why they cannot be used, if they cannot."""
        staging = self._folder / uuid.uuid4().hex
        staging.mkdir(mode=0o700)
        try:
            own = make(None, staging / MODEL_FILE)
            try:
                laid_out = make(staging / MODEL_FILE, None)
                inputs = trials(own)
                if not all(_agree(own.try_outputs(each), laid_out.try_outputs(each)) for each in inputs):
                    return "laid out, it answers differently"
                ratio = time_us(laid_out, inputs[0]) / max(time_us(own, inputs[0]), 1.0)
            except (ForetellError, TypeError, ValueError) as error:
                if stop is not None:
                    stop.check()
                return f"laid out, it fails: {error}"
            if ratio > _SLOWER:
                return f"laid out, a run takes {ratio:.1f} times as long"
            staging.rename(folder)
            return None
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _take(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _agree(one: Tensors, other: Tensors) -> bool:
    """Whether two sessions gave the same to the last bit."""
    return one.keys() == other.keys() and all(
        array.dtype == other[name].dtype
        and array.shape == other[name].shape
        and np.array_equal(array, other[name], equal_nan=array.dtype.kind == "f")
        for name, array in one.items()
    )
