"""A plugin of a single file: imported, and its one plugin class found."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from foretell.errors import PluginError
from foretell.plugin.plugin_type import checked_type, is_plugin_type, remedy_for_import

if TYPE_CHECKING:
    from foretell.plugin.contract import Plugin

__all__ = ["load_file"]


def load_file(path: Path) -> type[Plugin[Any]]:
    """Import a file and return the one plugin class that it defines.

    The file is a module of a package that its folder is: it may say ``from ._shared import …``. No other folder is
    searched for that, and nothing that is installed is hidden by what lies in this one.

    Raises:
        PluginError: It cannot be imported, or defines no plugin class, or more than one.
    """
    package = _package(Path(os.path.realpath(path.parent)))
    name = f"{package}.{re.sub(r'[^a-zA-Z0-9_]', '_', path.stem)}"
    before = set(sys.modules)
    try:
        module = _import(name, path)
        return _only_class(module, path)
    except PluginError:
        for imported in set(sys.modules) - before | {name}:
            if imported.startswith(f"{package}."):
                sys.modules.pop(imported, None)
        raise


def _package(folder: Path) -> str:
    """The name of the package that a folder of plugins is, made if it is new."""
    name = f"foretell_dropped_in_{hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]}"
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    return name


def _import(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise PluginError(f"{path} cannot be imported: {_reason(error, path)}") from error
    return module


def _reason(error: BaseException, path: Path) -> str:
    """What went wrong, where in the file, and what to do about it."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        shown = f": {error.text.strip()}" if error.text and error.text.strip() else ""
        file = "" if error.filename == str(path) else f"{error.filename}, "
        return f"{type(error).__name__}: {error.msg} ({file}line {error.lineno}){shown}"
    lines: list[int] = []
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == str(path):
            lines.append(traceback.tb_lineno)
        traceback = traceback.tb_next
    line = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {error}{line}{_remedy(error, path)}"


def _remedy(error: BaseException, path: Path) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and (path.parent / f"{error.name}.py").is_file():
        return (
            f". {error.name}.py lies beside it: write `from .{error.name} import …`, and let the name of a file with "
            "shared code begin with _"
        )
    return remedy_for_import(error)


def _only_class(module: ModuleType, path: Path) -> type[Plugin[Any]]:
    # By identity: a class may have two names.
    classes = list(
        dict.fromkeys(
            value
            for value in vars(module).values()
            if is_plugin_type(value) and value.__module__ == module.__name__
        )
    )
    if not classes:
        title = re.sub(r"[^a-zA-Z0-9]", "", path.stem.title()) or "It"
        raise PluginError(
            f"{path} defines no subclass of foretell.plugin.Plugin: write `class {title}(Plugin[NoConfig])` into it, "
            f"or, if it holds what other files share, let its name begin with _ and write `from ._{path.stem} import …` "
            "there"
        )
    if len(classes) > 1:
        names = ", ".join(sorted(each.__name__ for each in classes))
        raise PluginError(
            f"{path} defines {len(classes)} plugin classes ({names}): put each into a file of its own; what they share "
            "goes into a file whose name begins with _, say _shared.py, and is had by `from ._shared import …`"
        )
    return checked_type(classes[0], str(path))
