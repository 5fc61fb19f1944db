"""The files of one version, read and checked, ready for a runtime."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from foretell.errors import IntegrityError, ScreeningError
from foretell.store.manifest import MANIFEST_FILE, MODEL_FILE, FileDigest, Manifest
from foretell.store.screening import confine, external_data, weight_bytes

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Artifact", "read_artifact", "read_manifest"]


class Artifact(msgspec.Struct, frozen=True):
    """A version's files after every check.

    Attributes:
        folder: The version's folder.
        model: The bytes of the model file: those that were checked, so that nothing else can be loaded.
        digest: Their SHA-256.
        manifest: The version's manifest; None for a bare model file.
        external: The names of the other files that the model refers to.
        fingerprint: A SHA-256 over every file of the version: what computes the same has the same.
        weight_bytes: How much its weights take in its files, bytes.
        may_loop: Whether it may compute in loops, so that its values say how long it takes, and not only its rows.
    """

    folder: Path
    model: bytes
    digest: str
    manifest: Manifest | None
    external: frozenset[str]
    fingerprint: str
    weight_bytes: int
    may_loop: bool


def read_artifact(folder: Path, *, max_bytes: int) -> Artifact:
    """Read and check a version: manifest, sizes, digests, and what the model file refers to.

    Args:
        folder: The version's folder.
        max_bytes: The greatest size of one file, bytes.

    Raises:
        ManifestError: There is a manifest, and it is not valid.
        IntegrityError: A file is absent, unreadable, or not the one that was published.
        ScreeningError: A file is too large, or the model refers to what it may not.
    """
    try:
        return _read(folder, max_bytes)
    except OSError as error:
        raise IntegrityError(f"{folder} cannot be read: {error}") from error


def read_manifest(folder: Path, *, max_bytes: int) -> Manifest | None:
    """The manifest of a version whatever became of its other files; None for a version without one.

    Args:
        folder: The version's folder.
        max_bytes: The greatest size of one file, bytes.

    Raises:
        ManifestError: It is not valid.
        IntegrityError: It cannot be read.
        ScreeningError: It is too large.
    """
    try:
        return _read_manifest(folder, max_bytes)
    except OSError as error:
        raise IntegrityError(f"{folder} cannot be read: {error}") from error


def _read(folder: Path, max_bytes: int) -> Artifact:
    manifest = _read_manifest(folder, max_bytes)
    _check_size(folder / MODEL_FILE, max_bytes)
    model = (folder / MODEL_FILE).read_bytes()
    digest = hashlib.sha256(model).hexdigest()
    if manifest is not None:  # before screening: damage is reported as damage
        _verify(FileDigest(len(model), digest), manifest.files[MODEL_FILE], folder / MODEL_FILE)
    external = confine(folder, external_data(model))
    for name in sorted(external):
        _check_size(folder / name, max_bytes)
        if manifest is not None and name not in manifest.files:
            raise IntegrityError(
                f"{folder} holds {name!r}, which the model refers to and the manifest does not list"
            )
    if manifest is not None:
        for name in sorted(manifest.files.keys() - {MODEL_FILE}):
            path = _inside(folder, name)
            _check_size(path, max_bytes)
            _verify(FileDigest.of(path), manifest.files[name], path)
    files = (
        {MODEL_FILE: digest, **{name: FileDigest.of(folder / name).sha256 for name in external}}
        if manifest is None
        else {name: listed.sha256 for name, listed in manifest.files.items()}
    )
    fingerprint = hashlib.sha256(msgspec.json.encode(files, order="sorted")).hexdigest()
    weights = weight_bytes(model) + sum((folder / name).stat().st_size for name in external)
    return Artifact(
        folder, model, digest, manifest, frozenset(external), fingerprint, weights, b"Loop" in model
    )


def _read_manifest(folder: Path, max_bytes: int) -> Manifest | None:
    if not (folder / MANIFEST_FILE).exists():
        return None
    _check_size(folder / MANIFEST_FILE, max_bytes)
    return Manifest.read(folder / MANIFEST_FILE)


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if not name or "/" in name or "\\" in name or "\0" in name or name in {".", ".."} or path.is_symlink():
        raise IntegrityError(f"the manifest of {folder} lists {name!r}, which is not a file of its folder")
    return path


def _check_size(path: Path, max_bytes: int) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise IntegrityError(f"{path} is absent or cannot be read: {error.strerror}") from error
    if not path.is_file():
        raise IntegrityError(f"{path} is not a regular file")
    if size > max_bytes:
        raise ScreeningError(
            f"{path} has {size} bytes; the limit is {max_bytes} (setting store.max_file_bytes)"
        )


def _verify(found: FileDigest, expected: FileDigest, path: Path) -> None:
    if found != expected:
        raise IntegrityError(
            f"{path} is not the file that was published: it has {found.size_bytes} bytes and SHA-256 "
            f"{found.sha256}, the manifest says {expected.size_bytes} and {expected.sha256}"
        )
