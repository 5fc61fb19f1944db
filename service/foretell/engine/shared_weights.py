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
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec
import numpy as np

from foretell.engine.session import Session
from foretell.engine.warm_up import time_us
from foretell.errors import ForetellError, StoreError
from foretell.store.files import try_lock
from foretell.store.manifest import MODEL_FILE
from foretell.store.screening import external_data

if TYPE_CHECKING:
    from foretell.engine.attempt import Stop
    from foretell.parser import Tensors

__all__ = ["LEAST_BYTES", "Loan", "Opened", "Refused", "SharedWeights", "Weights"]

_Make: TypeAlias = Callable[[Path | None, Path | None], Session]
"""Opens a version; see `SharedWeights.open`."""

_Trials: TypeAlias = "Callable[[Session], Sequence[Tensors]]"
"""Inputs to try a session on."""

LEAST_BYTES: Final = 8 * 1024**2
"""Less than this is not worth a file."""

_SLOWER: Final = 1.5
"""So much longer a run may take with mapped weights. It takes as long as with others; measuring that is not exact."""

_MEASURED: Final = 3

_LOOK_S: Final = 0.05

_ALIGNMENT: Final = 64
"""Source: ONNX Runtime, MlasGetPreferredBufferAlignment: bytes."""


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
            if try_lock(lock):
                _remove(self._folder)
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


class Refused(msgspec.Struct, frozen=True):
    """Weights that are not shared.

    Attributes:
        reason: Why, in words.
        session: The version with weights of its own, if it was opened meanwhile.
    """

    reason: str
    session: Session | None = None


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
        make: _Make,
        trials: _Trials,
        *,
        most_s: float,
        stop: Stop | None = None,
    ) -> tuple[Session, Loan] | Refused:
        """Open a version with shared weights. The first process lays them out, while the others wait.

        Args:
            key: What the version's files and the options of its session are; equal for equal ones.
            make: Opens a session: from a model file, or from the version's own if None; and writes it, laid out, to
                a model file, if that is not None.
            trials: Inputs to try a session on.
            most_s: How long that may take, seconds.
            stop: Ends the waiting when nobody waits for it any longer.

        Raises:
            StoreError: The version cannot be opened.
        """
        folder = self._folder / key
        until = time.monotonic() + most_s
        try:
            with ExitStack() as undo:
                lock = os.open(self._folder / f"{key}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                undo.callback(os.close, lock)
                while True:
                    if try_lock(lock) and not (folder / MODEL_FILE).exists():
                        # Nobody uses them, or lays them out.
                        refused = self._lay_out(folder, make, trials, until, stop)
                        if refused is not None:
                            return refused
                    # The last user of before may have come in between, and have taken the files away.
                    if try_lock(lock, fcntl.LOCK_SH) and folder.exists():
                        session = make(folder / MODEL_FILE, None)
                        undo.pop_all()
                        return session, Loan(lock, folder)
                    fcntl.flock(lock, fcntl.LOCK_UN)
                    if stop is not None:
                        stop.check()
                    if time.monotonic() > until:
                        return Refused("another worker takes too long to lay them out")
                    time.sleep(_LOOK_S)
        except (OSError, StoreError) as error:
            if stop is not None:
                stop.check()
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            return Refused(f"they cannot be laid out in {str(self._folder)!r}: {reason}")

    def _lay_out(
        self,
        folder: Path,
        make: _Make,
        trials: _Trials,
        until: float,
        stop: Stop | None,
    ) -> Refused | None:
        """Write the files of a version, and prove them; returns why they cannot be used, if they cannot."""
        _remove(folder)  # what was left of it
        died = folder.with_suffix(".died")
        staging = folder.with_suffix(".staging")
        if staging.exists():
            died.touch()
            _remove(staging)
        if died.exists():
            return Refused("a worker has died while it laid them out")
        staging.mkdir(mode=0o700)
        try:
            own = make(None, staging / MODEL_FILE)
            try:
                reason = _doubt(own, staging / MODEL_FILE, make, trials, until)
            except (ForetellError, TypeError, ValueError) as error:
                if stop is not None:
                    stop.check()
                reason = f"laid out, it fails: {error}"
            if reason is not None:
                return Refused(reason, own)
            staging.rename(folder)
            return None
        finally:
            _remove(staging)


def _doubt(
    own: Session,
    laid_out: Path,
    make: _Make,
    trials: _Trials,
    until: float,
) -> str | None:
    """Why a version must not be used as it is laid out; None if it answers as before, and as fast."""
    if time.monotonic() > until:
        return "to lay them out takes too long"
    for reference in external_data(laid_out.read_bytes()):
        # ONNX Runtime writes them anywhere, and crashes where its instructions need more.
        if any(at % _ALIGNMENT for at in (reference.offset, *reference.prepacked)):
            return "ONNX Runtime lays some of them out where it cannot compute on them"
    other = make(laid_out, None)
    inputs = trials(own)
    if not all(_agree(own.try_outputs(each), other.try_outputs(each)) for each in inputs):
        return "laid out, it answers differently"
    ratio = min(time_us(other, inputs[0]) / max(time_us(own, inputs[0]), 1.0) for _ in range(_MEASURED))
    return f"laid out, a run takes {ratio:.1f} times as long" if ratio > _SLOWER else None


def _remove(folder: Path) -> None:
    """Remove a folder, in whole as others see it."""
    gone = folder.with_name(uuid.uuid4().hex)
    try:
        folder.rename(gone)
    except OSError:
        gone = folder
    shutil.rmtree(gone, ignore_errors=True)


def _agree(one: Tensors, other: Tensors) -> bool:
    """Whether two sessions gave the same to the last bit."""
    return one.keys() == other.keys() and all(
        array.dtype == other[name].dtype
        and array.shape == other[name].shape
        and np.array_equal(array, other[name], equal_nan=array.dtype.kind == "f")
        for name, array in one.items()
    )
