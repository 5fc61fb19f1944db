"""What can be seen of a version without loading it: cheap, and no proof that it serves."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

from foretell.errors import ManifestError
from foretell.store.manifest import MANIFEST_FILE, MODEL_FILE, Manifest

if TYPE_CHECKING:
    from pathlib import Path

    from foretell.store.catalog import CatalogModel

__all__ = ["dangling_aliases", "visible_fault"]

_MAX_MANIFEST_BYTES: Final = 64 * 1024**2


def visible_fault(folder: Path) -> str | None:
    """What is plainly wrong with a version: no model file, an unreadable manifest, or files of another size.

    Args:
        folder: The version's folder.

    Returns:
        The fault; None if nothing can be seen, which is no proof that the version serves.
    """
    try:
        if not any(folder.iterdir()):
            return "its folder is empty"
        if _size(folder / MODEL_FILE) is None:
            return f"{MODEL_FILE} is absent or not a regular file"
        if not (folder / MANIFEST_FILE).exists():
            return None
        described = _size(folder / MANIFEST_FILE)
        if described is None or described > _MAX_MANIFEST_BYTES:
            return f"{MANIFEST_FILE} is not a regular file of {_MAX_MANIFEST_BYTES} bytes or less"
        files = Manifest.read(folder / MANIFEST_FILE).files
        for name, wanted in files.items():
            found = _size(folder / name)
            if found is None:
                return f"{name} is absent or not a regular file"
            if found != wanted.size_bytes:
                return f"{name} has {found} bytes; its manifest says {wanted.size_bytes}"
    except ManifestError as error:
        return str(error)
    except (OSError, ValueError) as error:
        return f"{folder} cannot be read: {error}"
    return None


def dangling_aliases(model: CatalogModel) -> dict[str, int]:
    """The aliases of a model that point at a version that is absent, and that version."""
    aliases = model.config.aliases if model.config is not None else {}
    return {alias: number for alias, number in sorted(aliases.items()) if number not in model.versions}


def _size(path: Path) -> int | None:
    """The size of a regular file, bytes; None if it is absent or something else."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
