"""What is in a store: its models, their versions, and what the team decided about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from foretell.errors import ManifestError, NotFoundError, StoreError
from foretell.store.layout import MODEL_CONFIG_FILE, is_model_name, version_folders
from foretell.store.model_config import ModelConfig

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CatalogModel", "find_model", "scan"]


class CatalogModel(msgspec.Struct, frozen=True):
    """One model of a store, as its folder describes it.

    Attributes:
        name: The name of the folder.
        folder: The folder itself.
        versions: The version folders, in rising order; nothing in them was read yet.
        config: The content of model.toml; None if it is not valid, or the folder cannot be read.
        error: Why.
    """

    name: str
    folder: Path
    versions: dict[int, Path]
    config: ModelConfig | None
    error: str | None = None


def scan(store: Path) -> dict[str, CatalogModel]:
    """List the models of a store, by name in alphabetical order.

    A folder is a model if it holds a version or a model.toml. Files, hidden folders and folders whose name
    cannot be a model's are not.

    Raises:
        StoreError: The store does not exist or cannot be read.
    """
    try:
        folders = sorted(path for path in store.iterdir() if is_model_name(path.name) and path.is_dir())
        found = [_read_model(folder) for folder in folders]
    except FileNotFoundError as error:
        message = (
            f"the model store {str(store)!r} does not exist: create the folder, "
            "or name another with --store or FORETELL_STORE__PATH"
        )
        raise StoreError(message) from error
    except OSError as error:
        message = f"the model store {str(store)!r} cannot be read: {error}"
        raise StoreError(message) from error
    return {model.name: model for model in found if model is not None}


def find_model(store: Path, name: str) -> CatalogModel:
    """One model of a store.

    Raises:
        NotFoundError: It is not there; the message lists those that are.
        StoreError: The store cannot be read.
    """
    models = scan(store)
    if name not in models:
        message = f"there is no model {name!r} in {str(store)!r}; it holds: {', '.join(models) or 'nothing'}"
        raise NotFoundError(message)
    return models[name]


def _read_model(folder: Path) -> CatalogModel | None:
    path = folder / MODEL_CONFIG_FILE
    try:
        versions = version_folders(folder)
        if not versions and not path.exists():
            return None
    except FileNotFoundError:  # removed in the meantime
        return None
    except OSError as error:
        return CatalogModel(folder.name, folder, {}, None, f"{folder} cannot be read: {error.strerror}")
    try:
        return CatalogModel(folder.name, folder, versions, ModelConfig.read(path))
    except ManifestError as error:
        return CatalogModel(folder.name, folder, versions, None, str(error))
