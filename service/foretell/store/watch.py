"""Events of the file system under a store."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from watchfiles import Change

__all__ = ["Watch"]

_QUIET_MS: Final = 50
"""A burst of changes has ended when nothing has come for this long."""

_BURST_MS: Final = 1600
"""A burst that goes on longer is told of all the same."""

_WAKE_MS: Final = 500
"""How often the thread looks whether it is to end, and which folder is there."""


class Watch:
    """Tells of changes under a folder, from a thread of its own; hidden files and folders do not count.

    It also tells when another folder is in its place, or none, as where a link is turned to another release. For that
    it looks, twice a second: any part of the path may be a link, or become one, and what is mounted gives no events.

    It ends by itself when the events do: the folder is not there, or the kernel has no more watches to give.

    Args:
        folder: The folder.
        on_change: Is called after each burst of changes, and once when the watch stands: what changed before is not
            told. It is called in the watch's thread.
        on_end: Is told there why the watch has ended by itself.
    """

    def __init__(self, folder: Path, *, on_change: Callable[[], None], on_end: Callable[[str], None]) -> None:
        self._path = folder
        self._folder = folder.resolve()
        self._seen = _identity(self._folder)
        self._on_change = on_change
        self._on_end = on_end
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it; the thread is gone half a second later at most."""
        self._stop.set()

    def _run(self) -> None:
        from watchfiles import watch

        try:
            if not self._folder.is_dir():  # the library would wait for events of nothing
                raise FileNotFoundError(f"{self._folder} is not there")
            stands = False
            for changes in watch(
                self._folder,
                watch_filter=self._counts,
                debounce=_BURST_MS,
                step=_QUIET_MS,
                stop_event=self._stop,
                rust_timeout=_WAKE_MS,
                yield_on_timeout=True,
                raise_interrupt=False,
                ignore_permission_denied=True,
            ):
                if changes or not stands or self._is_another():
                    stands = True
                    self._on_change()
        except (OSError, RuntimeError) as error:
            self._on_end(str(error))

    def _is_another(self) -> bool:
        """Whether another folder is there than when this was asked last, or none."""
        before, self._seen = self._seen, _identity(self._path)
        return before != self._seen

    def _counts(self, _: Change, path: str) -> bool:
        """Whether a change matters; publishers write into a hidden folder first."""
        try:
            parts = Path(path).relative_to(self._folder).parts
        except ValueError:  # the folder under another name, which a link leads to
            return True
        return not any(part.startswith(".") for part in parts)


def _identity(folder: Path) -> tuple[int, int] | None:
    """The device and the inode of a folder; None if it is not there."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
