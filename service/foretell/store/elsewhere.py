"""Models that are elsewhere on the machine, and that a store leads to by links: those of SageMaker's platform."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from foretell.errors import ConflictError, InvalidInputError, NotReadyError, Problem, StoreError
from foretell.excerpts import shortened
from foretell.store.layout import version_folders

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["link", "prepare_store", "source_of", "unlink"]

_ONLY_VERSION: Final = "1"


def prepare_store(store: Path) -> None:
    """Make the folder that models are linked into, and take away the links in it that lead nowhere any more.

    Raises:
        StoreError: It cannot be made, or is somebody else's.
    """
    try:
        store.mkdir(mode=0o700, parents=True, exist_ok=True)
        if store.stat().st_uid != os.getuid():
            raise StoreError(f"{store} is another user's: set store.path to a folder of your own")
        for place in store.iterdir():
            if not place.name.startswith(".") and _is_dead(place):
                unlink(place)
    except OSError as error:
        raise StoreError(f"{store} cannot be prepared: {error}") from error


def _is_dead(place: Path) -> bool:
    """Whether a link of the store leads nowhere any more."""
    source = source_of(place)
    return source is not None and not source.exists()


def link(place: Path, source: Path) -> None:
    """Have the store lead to a folder of versions, or to one that is a version itself.

    Raises:
        ConflictError: There is something in its place already.
        InvalidInputError: It is neither, or it cannot be read.
        NotReadyError: The store cannot be written.
    """
    from foretell.store.manifest import (
        MODEL_FILE,  # it brings numpy, which a supervisor that prepares a store must not
    )

    try:
        alone = (source / MODEL_FILE).is_file()
        found = alone or bool(version_folders(source))
    except (OSError, ValueError) as error:  # no path holds a NUL
        raise InvalidInputError(Problem("$.url", f"it cannot be read: {error}")) from error
    if not found:
        raise InvalidInputError(
            Problem("$.url", f"{shortened(str(source))} holds no {MODEL_FILE}, and no folder of a version")
        )
    try:
        if _is_dead(place):
            unlink(place)
        if alone:
            place.mkdir()
            (place / _ONLY_VERSION).symlink_to(source.absolute(), target_is_directory=True)
        else:
            place.symlink_to(source.absolute(), target_is_directory=True)
    except FileExistsError as error:
        raise ConflictError(f"there is a model {place.name!r} already") from error
    except OSError as error:
        raise NotReadyError(f"the store cannot be written: {error.strerror}") from error


def unlink(place: Path) -> None:
    """Undo `link`."""
    if place.is_symlink():
        place.unlink(missing_ok=True)
    else:
        (place / _ONLY_VERSION).unlink(missing_ok=True)
        place.rmdir()


def source_of(place: Path) -> Path | None:
    """Where a link of the store leads to; None if there is none."""
    for found in (place, place / _ONLY_VERSION):
        if found.is_symlink():
            return found.readlink()
    return None
