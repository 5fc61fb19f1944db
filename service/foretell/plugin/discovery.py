"""Which plugins there are: those of installed packages and those that were dropped into a folder.

Discovery reads names and imports nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from foretell.errors import PluginError
from foretell.plugin.dropped_in import load_file
from foretell.plugin.plugin_type import checked_type, is_plugin_type, remedy_for_import

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

    from foretell.plugin.contract import Plugin

__all__ = ["GROUP", "FoundPlugin", "discover"]

GROUP: Final = "foretell.plugins"
"""The entry point group that a package names its plugins in."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")


class FoundPlugin(msgspec.Struct, frozen=True):
    """A plugin that could be enabled.

    Attributes:
        name: Its name.
        origin: Where it comes from, for people: a package, or a file.
        load: Imports it and returns its class.
        problem: Why it cannot be loaded, where that is known without importing it.
    """

    name: str
    origin: str
    load: Callable[[], type[Plugin[Any]]]
    problem: str | None = None


def discover(folder: Path | None) -> dict[str, FoundPlugin]:
    """Every plugin that could be enabled, by name.

    Args:
        folder: Where plugins of a single file are dropped in; it need not exist. Files that begin with ``_`` are
            left out. None if there is no such place.

    Returns:
        The plugins. One whose name another has too, or that cannot be written in settings, has a problem, which
        stops who loads it.

    Raises:
        PluginError: The folder cannot be read, or is none.
    """
    found: dict[str, FoundPlugin] = {}
    files = [] if folder is None else _files(folder)
    packages = cache(_name_of)  # each reads the metadata anew, and a package has several plugins
    points = [_of_entry_point(point, packages(point.dist)) for point in _entry_points()]
    for plugin in [*points, *map(_of_file, files)]:
        if plugin.name in found:
            other = found[plugin.name]
            found[plugin.name] = _with_problem(
                plugin.name,
                f"{other.origin} and {plugin.origin}",
                f"two plugins are called {plugin.name!r}: {other.origin} and {plugin.origin}; "
                "rename or remove one of them",
            )
        elif not _NAME.fullmatch(plugin.name):
            found[plugin.name] = _with_problem(
                plugin.name,
                plugin.origin,
                f"{plugin.origin}: {plugin.name!r} cannot be a plugin's name: rename it to lower-case letters, "
                "digits, - and _, beginning with a letter",
            )
        else:
            found[plugin.name] = plugin
    return found


def _with_problem(name: str, origin: str, problem: str) -> FoundPlugin:
    def load() -> type[Plugin[Any]]:
        raise PluginError(problem)

    return FoundPlugin(name, origin, load, problem)


def _entry_points() -> list[EntryPoint]:
    """The entry points, once each: the same package may be found on two paths."""
    unique = {(point.name, point.value): point for point in entry_points(group=GROUP)}
    return sorted(unique.values(), key=lambda point: (point.name, point.value))


def _files(folder: Path) -> list[Path]:
    try:
        paths = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except NotADirectoryError as error:
        raise PluginError(
            f"plugins.folder: {folder.absolute()} is a file: name the folder that plugins are dropped into"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PluginError(f"plugins.folder: {folder.absolute()} cannot be read: {reason}") from error
    return [
        path
        for path in paths
        if path.name.endswith(".py") and not path.name.startswith("_") and not path.is_dir()
    ]


def _name_of(package: Distribution | None) -> str:
    return "?" if package is None else package.name


def _of_entry_point(point: EntryPoint, package: str) -> FoundPlugin:
    origin = f"package {package} ({point.value})"

    def load() -> type[Plugin[Any]]:
        try:
            found = point.load()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            raise PluginError(
                f"{origin} cannot be imported: {type(error).__name__}: {error}{remedy_for_import(error)}"
            ) from error
        if not is_plugin_type(found):
            raise PluginError(f"{origin} is no plugin: it must name a subclass of foretell.plugin.Plugin")
        return checked_type(found, origin)

    return FoundPlugin(point.name, origin, load)


def _of_file(path: Path) -> FoundPlugin:
    return FoundPlugin(path.stem, f"file {path}", lambda: load_file(path))
