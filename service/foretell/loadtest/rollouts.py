"""Models that change while they are asked: a copy of a store, in which they become those of another store, and back."""

from __future__ import annotations

import filecmp
import shutil
import time
from http.client import HTTPException
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.request import urlopen

import msgspec

from foretell.errors import ForetellError
from foretell.http.catalog import ModelDescription
from foretell.loadtest.background import Background
from foretell.store.catalog import scan
from foretell.store.layout import MODEL_CONFIG_FILE

if TYPE_CHECKING:
    from foretell.store.catalog import CatalogModel

__all__ = ["Rollouts"]

_IN_LINE: Final = 10
"""How many answers in line, each on a connection of its own, must say that a version serves: each worker follows by itself."""
_PAUSE_S: Final = 0.1
_READY_S: Final = 120.0


class Rollouts(Background):
    """Rolls models out, and back, in a copy of a store, one model after the other, while it is entered.

    New versions come first, with the model's ``model.toml``; when they serve, those that the other store lacks are removed.

    Args:
        store: What is served at first.
        following: The store that the models are rolled out from.
        copy: The folder of the copy; it must not be there yet.
        every_s: How long there is between the beginnings of two, seconds.

    Attributes:
        copy: What the server must serve.
        times_s: When each began, in seconds since 1970.
        error: What ended them before their time; None if nothing did.

    Raises:
        ForetellError: No model is in both stores, or the same version in both is not the same.
    """

    def __init__(self, store: Path, following: Path, copy: Path, every_s: float) -> None:
        super().__init__()
        before, after = scan(store), scan(following)
        self._states = [(after[name], before[name]) for name in sorted(before.keys() & after.keys())]
        if not self._states:
            raise ForetellError(f"{following} has none of the models of {store}")
        for theirs, ours in self._states:
            _check_alike(theirs, ours)
        shutil.copytree(store, copy)
        self.copy = copy
        self.times_s: list[float] = []
        self.error: Exception | None = None
        self._every_s = every_s
        self._url = ""

    def of(self, url: str) -> Self:
        """The same, for a server that serves the copy."""
        self._url = url
        return self

    def _run(self) -> None:
        began = time.monotonic()
        try:
            for number in count():
                if self._over.wait(began + (number + 1) * self._every_s - time.monotonic()):
                    return
                there_and_back, model = divmod(number, len(self._states))
                self.times_s.append(time.time())
                self._become(self._states[model][there_and_back % 2])
        except (OSError, ForetellError, msgspec.DecodeError) as error:
            self.error = error

    def _become(self, wanted: CatalogModel) -> None:
        served = scan(self.copy)[wanted.name]
        staged = self.copy.with_name(f"{self.copy.name}.staged")
        for version in wanted.versions.keys() - served.versions.keys():
            shutil.rmtree(staged, ignore_errors=True)
            shutil.copytree(wanted.versions[version], staged)
            staged.rename(served.folder / str(version))
        config = wanted.folder / MODEL_CONFIG_FILE
        if config.exists():
            shutil.copyfile(config, staged)
            staged.replace(served.folder / MODEL_CONFIG_FILE)
        else:
            (served.folder / MODEL_CONFIG_FILE).unlink(missing_ok=True)
        self._await(wanted)
        for version in served.versions.keys() - wanted.versions.keys():
            served.versions[version].rename(staged)
            shutil.rmtree(staged)

    def _await(self, wanted: CatalogModel) -> None:
        until, in_line = time.monotonic() + _READY_S, 0
        while in_line < _IN_LINE:
            in_line = in_line + 1 if self._serves(wanted) else 0
            if time.monotonic() > until:
                raise ForetellError(f"{wanted.name} is not as {wanted.folder} has it after {_READY_S:.0f} s")
            if not in_line and self._over.wait(_PAUSE_S):
                return

    def _serves(self, wanted: CatalogModel) -> bool:
        try:
            with urlopen(f"{self._url}/v1/models/{wanted.name}", timeout=30) as answer:  # noqa: S310 - the server of the test
                told = msgspec.json.decode(answer.read(), type=ModelDescription)
        except (OSError, HTTPException):  # a worker may have been killed
            return False
        ready = {each.version for each in told.versions if each.ready}
        return {str(version) for version in wanted.versions} <= ready


def _check_alike(theirs: CatalogModel, ours: CatalogModel) -> None:
    for version in theirs.versions.keys() & ours.versions.keys():
        if not _equal(theirs.versions[version], ours.versions[version]):
            raise ForetellError(
                f"version {version} of {ours.name} is not the same in both stores: publish what is new under another number"
            )


def _equal(some: Path, others: Path) -> bool:
    names = {path.relative_to(some) for path in some.rglob("*") if path.is_file()}
    theirs = {path.relative_to(others) for path in others.rglob("*") if path.is_file()}
    return names == theirs and all(filecmp.cmp(some / name, others / name, shallow=False) for name in names)
