"""Which plugins there are: those of installed packages and those that were dropped into a folder.

Discovery reads names and imports nothing.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import msgspec

from foretell.errors import PluginError
from foretell.plugin.contract import Plugin, Stage

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint
    from types import ModuleType

__all__ = ["GROUP", "FoundPlugin", "discover", "load_file"]

GROUP: Final = "foretell.plugins"
"""The entry point group that a package names its plugins in."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")


class FoundPlugin(msgspec.Struct, frozen=True):
    """A plugin that could be enabled.

    Attributes:
        name: Its name.
        origin: Where it comes from, for people: a package, or a file.
        load: Imports it and returns its class.
    """

    name: str
    origin: str
    load: Callable[[], type[Plugin[Any]]]


def discover(folder: Path | None) -> dict[str, FoundPlugin]:
    """Every plugin that could be enabled, by name.

    Args:
        folder: Where plugins of a single file are dropped in; it need not exist. Files that begin with ``_`` are
            left out. None if there is no such place.

    Raises:
        PluginError: Two plugins have the same name, or one has a name that cannot be used.
    """
    found: dict[str, FoundPlugin] = {}
    for plugin in [
        *map(_of_entry_point, _entry_points()),
        *map(_of_file, [] if folder is None else _files(folder)),
    ]:
        if not _NAME.fullmatch(plugin.name):
            raise PluginError(
                f"{plugin.origin}: {plugin.name!r} cannot be a plugin's name: rename it to lower-case letters, "
                "digits, - and _, beginning with a letter"
            )
        if plugin.name in found:
            raise PluginError(
                f"two plugins are called {plugin.name!r}: {found[plugin.name].origin} and {plugin.origin}; "
                "rename or remove one of them"
            )
        found[plugin.name] = plugin
    return found


def load_file(path: Path) -> type[Plugin[Any]]:
    """Import a file and return the one plugin class that it defines.

    Raises:
        PluginError: It cannot be imported, or defines no plugin class, or more than one.
    """
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"foretell_dropped_in_{digest}_{re.sub(r'[^a-zA-Z0-9_]', '_', path.stem)}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        raise PluginError(
            f"{path} cannot be imported: {type(error).__name__}: {error}{_line_of(error, path)}"
        ) from error
    try:
        return _only_class(module, str(path))
    except PluginError:
        del sys.modules[name]
        raise


def _entry_points() -> list[EntryPoint]:
    """The entry points, once each: the same package may be found on two paths."""
    unique = {(point.name, point.value): point for point in entry_points(group=GROUP)}
    return sorted(unique.values(), key=lambda point: (point.name, point.value))


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))
    except OSError as error:
        raise PluginError(f"the plugin folder {folder} cannot be read: {error}") from error


def _of_entry_point(point: EntryPoint) -> FoundPlugin:
    package = point.dist.name if point.dist is not None else "?"
    origin = f"package {package} ({point.value})"

    def load() -> type[Plugin[Any]]:
        try:
            found = point.load()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            raise PluginError(f"{origin} cannot be imported: {type(error).__name__}: {error}") from error
        if not _is_plugin_type(found):
            raise PluginError(f"{origin} is no plugin: it must name a subclass of foretell.plugin.Plugin")
        return _checked(found, origin)

    return FoundPlugin(point.name, origin, load)


def _of_file(path: Path) -> FoundPlugin:
    return FoundPlugin(path.stem, f"file {path}", lambda: load_file(path))


def _only_class(module: ModuleType, origin: str) -> type[Plugin[Any]]:
    classes = [
        value
        for value in vars(module).values()
        if _is_plugin_type(value) and value.__module__ == module.__name__
    ]
    if not classes:
        raise PluginError(f"{origin} defines no subclass of foretell.plugin.Plugin")
    if len(classes) > 1:
        names = ", ".join(sorted(each.__name__ for each in classes))
        raise PluginError(
            f"{origin} defines {len(classes)} plugin classes ({names}): put each into a file of its own, or let "
            "the name of a file with shared code begin with _"
        )
    return _checked(classes[0], origin)


def _is_plugin_type(value: object) -> TypeGuard[type[Plugin[Any]]]:
    return isinstance(value, type) and issubclass(value, Plugin)


def _checked(found: type[Plugin[Any]], origin: str) -> type[Plugin[Any]]:
    stage = getattr(found, "stage", None)
    if not isinstance(stage, Stage):
        raise PluginError(
            f"{origin}: {found.__name__} has no stage: write `stage = Stage.OBSERVE` or another of "
            f"{', '.join(each.name for each in Stage)} into the class"
        )
    return found


def _line_of(error: BaseException, path: Path) -> str:
    """Where in the file an exception comes from."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f" (line {error.lineno})"
    lines: list[int] = []
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == str(path):
            lines.append(traceback.tb_lineno)
        traceback = traceback.tb_next
    return f" (line {lines[-1]})" if lines else ""
