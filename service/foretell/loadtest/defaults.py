"""A store as others may choose in it: copies in which other versions answer who names none."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from foretell.store.catalog import scan
from foretell.store.decisions import set_default

__all__ = ["other_defaults"]


@contextmanager
def other_defaults(store: Path) -> Generator[list[Path]]:
    """Copies of a store in which, together, each version of each model is the default once, but that which already is.

    Args:
        store: The store.

    Yields:
        The copies, while it is entered.

    Raises:
        StoreError: The store cannot be read, or a model.toml is not valid.
    """
    others: dict[str, list[int]] = {}
    for name, model in scan(store).items():
        decided = model.config.default_version if model.config is not None else None
        default = decided if decided is not None else max(model.versions, default=None)
        others[name] = [version for version in model.versions if version != default]
    with TemporaryDirectory(prefix="foretell-") as folder:
        copies: list[Path] = []
        for number in range(max(map(len, others.values()), default=0)):
            copy = Path(folder) / str(number)
            shutil.copytree(store, copy)
            for name, versions in others.items():
                if number < len(versions):
                    set_default(copy / name, versions[number])
            copies.append(copy)
        yield copies
