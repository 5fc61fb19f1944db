"""Changing what the team decided in a model.toml, and leaving the rest of it as it is, comments included."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from foretell.errors import ManifestError, StoreError
from foretell.store.edit_lock import edit_lock
from foretell.store.files import read_regular, replace_file
from foretell.store.inspection import visible_fault
from foretell.store.layout import MODEL_CONFIG_FILE, check_alias, parse_version, version_folders
from foretell.store.model_config import MAX_BYTES, ModelConfig

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Rollback", "roll_back", "set_alias", "set_default", "set_enabled"]

_TRIES: Final = 5
"""How often an edit begins anew because somebody who takes no lock has changed the file meanwhile."""


class Rollback(msgspec.Struct, frozen=True):
    """What was pointed back at an earlier version.

    Attributes:
        alias: The alias; None if it is `default` itself, which had none.
        before: The version that it named; of a model without `default`, the highest.
        now: The version that it names now.
        skipped: What is plainly wrong with the versions between, which were passed over.
        pinned: Whether the model had no `default`, and now stays with a version until somebody moves it.
    """

    alias: str | None
    before: int
    now: int
    skipped: dict[int, str]
    pinned: bool


def set_alias(model: Path, alias: str, version: int | None) -> None:
    """Point an alias of a model at a version, or remove it.

    Args:
        model: The model's folder.
        alias: The alias.
        version: An existing version; None removes the alias.

    Raises:
        InvalidNameError: The alias is not of the allowed form.
        ManifestError: model.toml is not valid, or would not be afterwards.
        StoreError: There is no such version or alias, or the file cannot be written.
    """
    import tomlkit

    check_alias(alias)

    def change(document: Any, config: ModelConfig) -> None:
        aliases = document.setdefault("aliases", tomlkit.table())
        if version is not None:
            _check_exists(model, version)
            aliases[alias] = version
        elif alias in config.aliases:
            del aliases[alias]
        else:
            raise StoreError(f"{model.name} has no alias {alias!r}")

    _edit(model, change)


def set_default(model: Path, default: int | str | None) -> None:
    """Say what answers callers of a model who name no version.

    Args:
        model: The model's folder.
        default: An existing version, or an alias; None for the highest version from now on.

    Raises:
        ManifestError: model.toml is not valid, or has no such alias.
        StoreError: There is no such version, or the file cannot be written.
    """

    def change(document: Any, _: ModelConfig) -> None:
        if isinstance(default, int):
            _check_exists(model, default)
        if default is None:
            document.pop("default", None)
        else:
            document["default"] = default

    _edit(model, change)


def set_enabled(model: Path, *, enabled: bool) -> None:
    """Say whether a model is served at all.

    Args:
        model: The model's folder.
        enabled: Whether so.

    Raises:
        ManifestError: model.toml is not valid.
        StoreError: The file cannot be written.
    """

    def change(document: Any, _: ModelConfig) -> None:
        if enabled:
            document.pop("enabled", None)
        else:
            document["enabled"] = False

    _edit(model, change)


def roll_back(model: Path, alias: str | None = None) -> Rollback:
    """Point an alias, or what answers by default, back at the version before the one that it names.

    That is the highest version below it that is not plainly damaged.

    Args:
        model: The model's folder.
        alias: The alias; None for the default: the alias that it names, or the version.

    Raises:
        ManifestError: model.toml is not valid.
        StoreError: There is no such alias, nothing before the version, or the file cannot be written.
    """
    done: list[Rollback] = []

    def change(document: Any, config: ModelConfig) -> None:
        moved = config.default if alias is None and isinstance(config.default, str) else alias
        if moved is not None and moved not in config.aliases:
            known = ", ".join(sorted(config.aliases)) or "none"
            raise StoreError(f"{model.name} has no alias {moved!r}; its aliases: {known}")
        folders = version_folders(model)
        before = config.default_version if moved is None else config.aliases[moved]
        if before is None:
            before = max(folders, default=None)
        if before is None:
            raise StoreError(f"{model.name} has no versions: there is nothing to go back to")
        skipped: dict[int, str] = {}
        for number in sorted((each for each in folders if each < before), reverse=True):
            fault = visible_fault(folders[number])
            if fault is None:
                break
            skipped[number] = fault
        else:
            what = f"alias {moved!r}" if moved is not None else "default"
            others = "".join(f"; version {number} is damaged: {fault}" for number, fault in skipped.items())
            raise StoreError(
                f"the {what} of {model.name} names version {before}, and there is none before it to go back to{others}"
            )
        if moved is None:
            document["default"] = number
        else:
            document["aliases"][moved] = number
        done.append(Rollback(moved, before, number, skipped, moved is None and config.default is None))

    _edit(model, change)
    return done[-1]


def _edit(model: Path, change: Callable[[Any, ModelConfig], None]) -> None:
    """Change a model.toml, whole or not at all; what others change at the same moment stays.

    Where it is a link, what it leads to is changed, and the link stays.

    Args:
        model: The model's folder.
        change: Changes it; called anew where somebody who takes no lock, as editors do, was quicker.
    """
    import tomlkit

    path = model / MODEL_CONFIG_FILE
    for _ in range(_TRIES):
        target = _behind_links(path)
        with edit_lock(target):
            before = _read(path)
            config = ModelConfig() if before is None else ModelConfig.parse(before, str(path))
            document = tomlkit.document() if before is None else tomlkit.parse(before)
            change(document, config)
            raw = tomlkit.dumps(document).encode()
            if raw == (before or b""):
                return
            ModelConfig.parse(raw, str(path))
            try:
                replaced = replace_file(target, raw, still=partial(_holds, path, target, before))
            except OSError as error:
                what = f"{path} cannot" if target is path else f"{path} is a link to {target}, which cannot"
                raise StoreError(f"{what} be written: {error.strerror}") from error
        if replaced:
            break
    else:
        raise StoreError(f"{path} is changed by somebody else again and again: it was left as it is")
    if target is not path:  # servers that follow the store hear of what is in it
        with suppress(OSError):
            os.utime(path, follow_symlinks=False)


def _behind_links(path: Path) -> Path:
    """Where a model.toml really is: the very same path if it is no link."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _read(path: Path) -> bytes | None:
    """The content of a model.toml; None if there is none.

    Raises:
        ManifestError: It cannot be read.
    """
    try:
        return read_regular(path, max_bytes=MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error}") from error


def _holds(path: Path, target: Path, content: bytes | None) -> bool:
    return _behind_links(path) == target and _read(path) == content


def _check_exists(model: Path, version: int) -> None:
    if parse_version(str(version)) is None or not (model / str(version)).is_dir():
        known = ", ".join(map(str, version_folders(model))) or "none"
        raise StoreError(f"{model.name} has no version {version}; it has: {known}")
