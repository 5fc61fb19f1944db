"""Adding a version to a store: written beside, flushed, renamed."""

from __future__ import annotations

import shutil
import time
import uuid
from typing import TYPE_CHECKING, Final

from foretell.errors import StoreError
from foretell.store.files import sync_folder, write_file
from foretell.store.layout import STAGING_FOLDER, check_model_name, version_folders
from foretell.store.manifest import MANIFEST_FILE, FileDigest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from foretell.store.manifest import Manifest

__all__ = ["add_version"]

_STALE_S: Final = 3600
"""A staging folder older than this was left by a publisher that was killed; staging takes seconds."""


def add_version(
    store: Path,
    name: str,
    files: Mapping[str, bytes],
    make_manifest: Callable[[dict[str, FileDigest]], Manifest],
) -> int:
    """Add a version to a model, which is created if it is new.

    The version appears whole or not at all. Publishers at the same time get different numbers.

    Args:
        store: The store's folder, which is created if it is new.
        name: The model's name.
        files: The content of each file of the version but the manifest, by file name.
        make_manifest: Makes the manifest from the digests of the files.

    Returns:
        The number of the new version, one more than the highest.

    Raises:
        InvalidNameError: The name is not of the allowed form.
        StoreError: The store cannot be written.
    """
    model = store / check_model_name(name)
    try:
        staging_root = store / STAGING_FOLDER
        staging_root.mkdir(parents=True, exist_ok=True)
        _remove_stale(staging_root)
        staging = staging_root / uuid.uuid4().hex
        staging.mkdir()
        try:
            for file_name, data in files.items():
                write_file(staging / file_name, data)
            digests = {file_name: FileDigest.of(staging / file_name) for file_name in files}
            write_file(staging / MANIFEST_FILE, make_manifest(digests).encode())
            sync_folder(staging)
            return _claim(staging, model)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        message = f"{name} cannot be published to {str(store)!r}: {error}"
        raise StoreError(message) from error


def _claim(staging: Path, model: Path) -> int:
    """Rename the staged folder to the next free version number; a rename onto a version that exists fails."""
    model.mkdir(exist_ok=True)
    version = max(version_folders(model), default=0) + 1
    while True:
        try:
            staging.rename(model / str(version))
        except OSError:
            if not (model / str(version)).exists():
                raise
            version += 1
        else:
            sync_folder(model)
            sync_folder(model.parent)
            return version


def _remove_stale(staging_root: Path) -> None:
    for folder in staging_root.iterdir():
        try:
            stale = time.time() - folder.stat().st_mtime > _STALE_S
        except FileNotFoundError:  # another publisher has just finished with it
            continue
        if stale:
            shutil.rmtree(folder, ignore_errors=True)
