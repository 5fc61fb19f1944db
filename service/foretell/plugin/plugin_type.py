"""What a plugin class must have before it is made: a stage, and a configuration that refuses misspelt keys."""

from __future__ import annotations

import typing
from typing import Any, TypeGuard

import msgspec

from foretell.errors import PluginError
from foretell.plugin.config_types import loose_struct
from foretell.plugin.contract import Plugin, Stage

__all__ = ["checked_type", "is_plugin_type", "remedy_for_import"]

_WRITE = "`class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True)`"


def is_plugin_type(value: object) -> TypeGuard[type[Plugin[Any]]]:
    """Whether something is a plugin class."""
    return isinstance(value, type) and issubclass(value, Plugin)


def checked_type(found: type[Plugin[Any]], origin: str) -> type[Plugin[Any]]:
    """A plugin class, if it can be used.

    Args:
        found: The class.
        origin: Where it comes from.

    Raises:
        PluginError: It has no stage, or its configuration is no Struct, or one that takes unknown keys.
    """
    stage = getattr(found, "stage", None)
    if not isinstance(stage, Stage):
        raise PluginError(
            f"{origin}: {found.__name__} has no stage: write `stage = Stage.OBSERVE` or another of "
            f"{', '.join(each.name for each in Stage)} into the class"
        )
    config: Any = _between_the_brackets(found)
    name = getattr(config, "__name__", str(config))
    if not (isinstance(config, type) and issubclass(config, msgspec.Struct)):
        raise PluginError(
            f"{origin}: the configuration of {found.__name__}, {name}, is no "
            f"msgspec.Struct: write {_WRITE} and `class {found.__name__}(Plugin[Config])`, or Plugin[NoConfig] if it "
            "has none"
        )
    loose = loose_struct(config)
    if loose is not None:
        raise PluginError(
            f"{origin}: {loose.__name__} would take misspelt keys: write forbid_unknown_fields=True, as in "
            f"{_WRITE.replace('Config', loose.__name__)}"
        )
    return found


def remedy_for_import(error: BaseException) -> str:
    """What to do where an import failed; empty where that is not known."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f". Install the package that {error.name!r} comes with where foretell runs, or mend the import"
    return ""


def _between_the_brackets(found: type[Plugin[Any]]) -> Any:
    """What a class says between the brackets of ``Plugin[…]``, type or not."""
    for kind in found.__mro__:
        for parent in vars(kind).get("__orig_bases__", ()):
            origin = typing.get_origin(parent)
            if isinstance(origin, type) and issubclass(origin, Plugin):
                argument = typing.get_args(parent)[0]
                if not isinstance(argument, typing.TypeVar):
                    return argument
    return found.config_type
