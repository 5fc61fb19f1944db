"""Why a plugin that is enabled is not there, and what may have been meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from foretell.plugin.configuration import Place, did_you_mean

__all__ = ["why_absent"]

_PARENTS: Final = 8
"""So many folders above the working directory are looked at for a plugin folder."""


def why_absent(name: str, folder: str, found: Iterable[str], origins: Mapping[str, str]) -> str:
    """A message for whoever enabled a plugin that is not there.

    Args:
        name: The plugin's name.
        folder: The setting plugins.folder.
        found: The names of the plugins that are there.
        origins: Where each setting comes from, by its key, as far as that is known.
    """
    where = Path(folder).absolute()
    enabled = Place("plugins.enabled", origins)
    near = _near(name, where) or _elsewhere(name, Path(folder), origins)
    return (
        f"{enabled} names {name!r}, which is not there{did_you_mean(name, sorted(found), 'there are')}. "
        + (f"{near}. " if near else "")
        + f"Install its package, drop its file into the plugin folder {where}, or take it out of the list"
    )


def _near(name: str, folder: Path) -> str | None:
    """A file in the folder that was meant for a plugin of this name, and is none."""
    for other in (f"_{name}.py", f"{name}.py.txt", f"{name}.txt", name):
        path = folder / other
        if path.is_file():
            why = (
                "names that begin with _ are left out"
                if other.startswith("_")
                else "its name does not end with .py"
            )
            return f"There is {path}, but {why}: rename it to {name}.py"
    if (folder / name).is_dir():
        return f"There is the folder {folder / name}: a plugin there is one file, {name}.py; a package is installed"
    return None


def _elsewhere(name: str, folder: Path, origins: Mapping[str, str]) -> str | None:
    """A file in the folder of the same name that belongs to a settings file, or to a folder above this one."""
    if folder.is_absolute():
        return None
    here = Path.cwd()
    bases = [
        Path(origin).absolute().parent
        for origin in dict.fromkeys(origins.values())
        if origin.endswith(".toml")
    ]
    for base in [*bases, *list(here.parents)[:_PARENTS]]:
        path = base / folder / f"{name}.py"
        if base != here and path.is_file():
            return (
                f"There is {path}, but the setting plugins.folder, {str(folder)!r}, is relative to the working "
                f"directory, {here}: run foretell in {base}, or set plugins.folder to {path.parent}"
            )
    return None
