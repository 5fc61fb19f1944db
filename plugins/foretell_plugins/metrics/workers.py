"""The folder in which the workers of one server count together, and what becomes of it when they end.

Each worker has a journal, a list of label sets and a state there, and holds a lock on its journal for as long as it
lives. What a worker has counted stays when it ends; when the next one joins, it is added to one file and deleted.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import re
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np

from foretell.errors import PluginError
from foretell_plugins.metrics.journal import Journal, open_journal, read_journal
from foretell_plugins.metrics.label_sets import LabelSet
from foretell_plugins.metrics.state import State, merge
from foretell_plugins.metrics.totals import ROW_WORDS, Totals

__all__ = ["Shared", "shared_folder"]

_PREFIX: Final = "foretell-metrics-"
_JOURNAL: Final = re.compile(r"(?P<group>[0-9a-z]+-\d+)\.(?P<worker>\d+-\d+)\.journal")
_OURS: Final = re.compile(r"[0-9a-z]+-\d+\.(?:\d+-\d+\.(?:journal|labels|state(?:\.new)?)|ended(?:\.new)?)")


_Word = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class _Ended(msgspec.Struct, frozen=True):
    """What workers that have ended had counted.

    Attributes:
        row_words: How long a row is; another version of foretell has other rows.
        workers: Whose counts these are. What is left of their files no longer counts.
        rows: Each label set with its row.
        state: What their plugins had counted.
    """

    row_words: int
    workers: list[str]
    rows: list[tuple[LabelSet, list[_Word]]]
    state: State

    @property
    def totals(self) -> Totals:
        """The rows."""
        return Totals((label_set, np.array(row, dtype=np.int64)) for label_set, row in self.rows)


_ENCODER: Final = msgspec.msgpack.Encoder()
_STATE_DECODER: Final = msgspec.msgpack.Decoder(State)
_ENDED_DECODER: Final = msgspec.msgpack.Decoder(_Ended)


def shared_folder(given: str | None) -> tuple[Path, bool] | None:
    """Where this process counts together with others.

    Args:
        given: The folder that is set; None for the one of the process that started this one as its worker.

    Returns:
        The folder, made if it was not there, and whether it belongs to one server only and so is kept while no
        worker lives. None if this process is nobody's worker.

    Raises:
        PluginError: The folder cannot be used, or others could write to it.
    """
    if given is not None:
        folder = Path(given)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = folder.stat()
        except OSError as error:
            raise PluginError(f"the metrics folder {folder} cannot be made: {error}") from error
        if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PluginError(
                f"others can write to the metrics folder {folder} (mode {stat.S_IMODE(status.st_mode):o}, owner "
                f"{status.st_uid}): let user {os.getuid()} own it and `chmod go-w` it, or set "
                "plugins.config.metrics.directory to a folder in it that is not there yet, which is then made so"
            )
        return folder, False
    parent = multiprocessing.parent_process()
    if parent is None or parent.pid is None:
        return None
    root = _root()
    _sweep(root)
    folder = root / f"{_PREFIX}{os.getuid()}-{parent.pid}-{_started(parent.pid)}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if not _is_private(folder):
        raise PluginError(
            f"the metrics folder {folder} is not this user's alone: remove it, or set plugins.config.metrics.directory"
        )
    return folder, True


class Shared:
    """One worker's place among the workers of its server.

    Args:
        folder: Where they count.
        fingerprint: What tells this server from others that may use the folder too.
        most: How many label sets find a place in the journal.
        keep: Whether the counts of workers that have ended stay even if no worker lives now.
        damaged: Is told once of each file that cannot be read, and whose counts are left out.

    Attributes:
        journal: This worker's journal.

    Raises:
        OSError: The folder cannot be used.
    """

    journal: Journal

    def __init__(
        self,
        folder: Path,
        fingerprint: str,
        most: int,
        *,
        keep: bool,
        damaged: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._folder = folder
        self._damaged = damaged
        self._told: set[Path] = set()
        self._writing = threading.Lock()
        self._worker = f"{os.getpid()}-{_started(os.getpid())}"
        self._files: list[int] = []
        with self._locked(fcntl.LOCK_EX):
            if not keep and not any(_is_held(path) for path, _ in self._journals()):
                self._clear()
            journal = self._claim(fingerprint)
            try:
                fcntl.flock(journal, fcntl.LOCK_EX)
                labels = self._open("labels", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL)
                self.journal = open_journal(journal, labels, most)
                self._absorb()
            except OSError:
                self.close()
                raise

    def write(self, state: State) -> None:
        """Say how this worker is now."""
        with self._writing:  # who was cancelled may still be at it
            self._replace(f"{self._group}.{self._worker}.state", _ENCODER.encode(state))

    def others(self) -> tuple[Totals, list[State]]:
        """What all other workers of this server have counted, those that have ended included, and how they are."""
        with self._locked(fcntl.LOCK_SH):
            ended = self._ended()
            totals = ended.totals
            states = [ended.state]
            for path, _ in self._others(ended):
                counted = self._counted(path)
                if counted is not None:
                    totals.merge(counted)
                    state = _state(path)
                    states.append(state if _is_held(path) else state.of_the_dead())
        return totals, states

    def close(self) -> None:
        """Leave. What was counted stays."""
        while self._files:
            os.close(self._files.pop())

    def _claim(self, fingerprint: str) -> int:
        """Make a journal in the first group in which this process has no journal yet: two applications in it count apart."""
        number = 0
        while True:
            self._group = f"{fingerprint}-{number}"
            try:
                return self._open("journal", os.O_RDWR | os.O_CREAT | os.O_EXCL)
            except FileExistsError:
                number += 1

    def _open(self, suffix: str, flags: int) -> int:
        path = self._folder / f"{self._group}.{self._worker}.{suffix}"
        if suffix != "journal":  # whose being there says that the group is taken
            path.unlink(missing_ok=True)
        opened = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._files.append(opened)
        return opened

    @contextmanager
    def _locked(self, kind: int) -> Generator[None]:
        """Nobody joins meanwhile; with an exclusive lock, nobody reads either."""
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, kind)
            yield
        finally:
            os.close(lock)

    def _journals(self) -> Iterator[tuple[Path, re.Match[str]]]:
        for path in sorted(self._folder.iterdir()):
            match = _JOURNAL.fullmatch(path.name)
            if match is not None:
                yield path, match

    def _others(self, ended: _Ended) -> Iterator[tuple[Path, str]]:
        for path, match in self._journals():
            if match["group"] == self._group and match["worker"] not in {self._worker, *ended.workers}:
                yield path, match["worker"]

    def _absorb(self) -> None:
        """Add what workers that have ended had counted to one file, and delete theirs."""
        ended = self._ended()
        self._delete(
            ended.workers
        )  # if somebody was killed between writing the one file and deleting the others
        dead = [(path, worker) for path, worker in self._others(ended) if not _is_held(path)]
        if not dead:
            return
        totals, states = ended.totals, [ended.state]
        for path, _ in dead:
            counted = self._counted(path)
            if counted is not None:
                totals.merge(counted)
                states.append(_state(path).of_the_dead())
        ended = _Ended(
            ROW_WORDS,
            [worker for _, worker in dead],
            [(label_set, row.tolist()) for label_set, row in totals.rows.items()],
            merge(states),
        )
        self._replace(f"{self._group}.ended", _ENCODER.encode(ended))
        self._delete(ended.workers)

    def _counted(self, journal: Path) -> Totals | None:
        """What a worker has counted, as far as it can be read."""
        try:
            return read_journal(
                journal, journal.with_suffix(".labels"), lambda reason: self._tell(journal, reason)
            )
        except (OSError, RuntimeError) as error:
            self._tell(journal, f"{journal}: {error}; what that worker counted is left out")
            return None

    def _tell(self, path: Path, reason: str) -> None:
        if path not in self._told:
            self._told.add(path)
            self._damaged(reason)

    def _delete(self, workers: list[str]) -> None:
        for worker in workers:
            for path in self._folder.glob(f"{self._group}.{worker}.*"):
                path.unlink(missing_ok=True)

    def _ended(self) -> _Ended:
        path = self._folder / f"{self._group}.ended"
        try:
            found = _ENDED_DECODER.decode(path.read_bytes())
            if found.row_words == ROW_WORDS and all(len(row) == ROW_WORDS for _, row in found.rows):
                return found
        except FileNotFoundError:
            pass
        except (OSError, msgspec.MsgspecError) as error:
            self._tell(path, f"{path}: {error}; what workers that have ended counted is left out")
        return _Ended(ROW_WORDS, [], [], State())

    def _clear(self) -> None:
        for path in self._folder.iterdir():
            if _OURS.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def _replace(self, name: str, content: bytes) -> None:
        new = self._folder / f"{name}.new"
        new.unlink(missing_ok=True)
        opened = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(opened, "wb") as file:
            file.write(content)
        new.replace(self._folder / name)


def _state(journal: Path) -> State:
    try:
        return _STATE_DECODER.decode(journal.with_suffix(".state").read_bytes())
    except (OSError, msgspec.MsgspecError):
        return State()


def _is_held(journal: Path) -> bool:
    """Whether the worker of a journal lives."""
    try:
        opened = os.open(journal, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # it is gone, or no file
        return False
    try:
        fcntl.flock(
            opened, fcntl.LOCK_SH | fcntl.LOCK_NB
        )  # shared: two that ask do not take each other for it
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(opened)


def _root() -> Path:
    """Where folders of servers are made: in memory if the system has a place for that."""
    given = os.environ.get("XDG_RUNTIME_DIR")
    if given and Path(given).is_dir() and os.access(given, os.W_OK | os.X_OK):
        return Path(given)
    return Path(tempfile.gettempdir())


def _sweep(root: Path) -> None:
    """Remove the folders of servers of this user that no longer live."""
    own = re.compile(rf"{_PREFIX}{os.getuid()}-(\d+)-(\d+)")
    for folder in root.glob(f"{_PREFIX}{os.getuid()}-*"):
        match = own.fullmatch(folder.name)
        if match is None or not _is_private(folder):
            continue
        if int(match[2]) and _started(int(match[1])) == int(match[2]):
            continue
        # A server in another container may have this folder too, and another count of processes.
        if not any(_is_held(path) for path in folder.glob("*.journal")):
            shutil.rmtree(folder, ignore_errors=True)


def _is_private(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077


def _started(process: int) -> int:
    """When a process was started, in ticks since the machine was; 0 if there is none.

    Source: proc_pid_stat(5), field 22.
    """
    try:
        fields: Any = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[19])
