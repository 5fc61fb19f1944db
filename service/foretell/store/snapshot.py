"""A store as it stands at one moment: what the catalogue says, and what tells whether files have changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from foretell.errors import StoreError
from foretell.store.catalog import CatalogModel, scan
from foretell.store.stamp import Stamp, stamp_of

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Snapshot", "take_snapshot"]


class Snapshot(msgspec.Struct, frozen=True):
    """A store as it stands at one moment.

    Attributes:
        models: Its models, by name in alphabetical order.
        stamps: The stamp of each version, by model name and number.
        identity: The device and the inode of the store's folder: another file system, or another folder, has another.
    """

    models: dict[str, CatalogModel]
    stamps: dict[tuple[str, int], Stamp]
    identity: tuple[int, int]


def take_snapshot(store: Path) -> Snapshot:
    """Look at every model of a store. It reads each model.toml, and of versions nothing but names, sizes and times.

    Raises:
        StoreError: The store does not exist or cannot be read.
    """
    models = scan(store)
    stamps = {
        (name, number): stamp_of(folder)
        for name, model in models.items()
        for number, folder in model.versions.items()
    }
    try:
        status = store.stat()
    except OSError as error:
        raise StoreError(f"the model store {str(store)!r} cannot be read: {error}") from error
    return Snapshot(models, stamps, (status.st_dev, status.st_ino))
