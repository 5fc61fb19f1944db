"""Options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from foretell.settings import EffectiveSettings, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

__all__ = [
    "address_options",
    "gather",
    "model_settings_options",
    "plugin_settings_options",
    "settings_options",
    "store_option",
    "utf8_text",
]

_FLAGS = {
    "host": ("--host", "server.host", "ADDRESS", "Address to bind."),
    "port": ("--port", "server.port", "PORT", "TCP port; 0 takes a free one."),
    "grpc_port": (
        "--grpc-port",
        "grpc.port",
        "PORT",
        "TCP port for gRPC; off without it, 0 takes a free one.",
    ),
    "workers": (
        "--workers",
        "server.workers",
        "N|auto",
        "How many processes answer; auto: one for each CPU.",
    ),
    "store": ("--store", "store.path", "FOLDER", "The model store."),
    "default_model": (
        "--default-model",
        "store.default_model",
        "NAME",
        "The model that answers POST /predict.",
    ),
    "log_level": ("--log-level", "log.level", "LEVEL", "debug, info, warning or error."),
    "log_format": ("--log-format", "log.format", "FORMAT", "auto, json or text."),
}


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that set settings: the common ones by name, every other by ``--set section.key=value``."""
    return _with_settings(command, _FLAGS)


def address_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for where a server is: these, ``--host`` and ``--port``."""
    return _with_settings(command, ("host", "port"))


def plugin_settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for settings that matter where no server is started: ``--config`` and ``--set``."""
    return _with_settings(command, ())


def model_settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for settings that matter where models are loaded and not served: these, and ``--store``."""
    return _with_settings(command, ("store",))


def _with_settings(command: Callable[..., Any], flags: Collection[str]) -> Callable[..., Any]:
    for parameter, (flag, key, metavar, text) in reversed(_FLAGS.items()):
        if parameter in flags:
            command = click.option(flag, parameter, metavar=metavar, help=f"{text} Setting {key}.")(command)
    command = click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="SECTION.KEY=VALUE",
        help="Set any setting; see `foretell config`.",
    )(command)
    return click.option(
        "--config",
        "file",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Settings file; foretell.toml in this folder if there is one.",
    )(command)


def gather(options: dict[str, Any]) -> EffectiveSettings:
    """The effective settings of a command line.

    Args:
        options: What `settings_options` gave.

    Raises:
        SettingsError: A setting is misspelt or ill-typed.
    """
    flags = {
        key: (flag, options[parameter])
        for parameter, (flag, key, _, _) in _FLAGS.items()
        if options.get(parameter) is not None
    }
    for assignment in options.get("assignments", ()):
        key, equals, value = assignment.partition("=")
        if not equals or "." not in key:
            raise click.BadParameter(f"{assignment!r} is not SECTION.KEY=VALUE", param_hint="--set")
        flags[key] = (f"--set {key}", value)
    return load_settings(environ=os.environ, file=options.get("file"), flags=flags)


def store_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--store``, which defaults to the setting store.path; the command is given the folder as ``store``."""

    def effective(_: click.Context, __: click.Parameter, value: str | None) -> Path:
        return Path(gather({"store": value}).settings.store.path)

    return click.option(
        "--store",
        callback=effective,
        metavar="FOLDER",
        help="The model store; the setting store.path if not given.",
    )(command)


def utf8_text(_: click.Context, __: click.Parameter, value: str) -> str:
    """The callback of an option whose text is written to a file: bytes that are no UTF-8 cannot be."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise click.BadParameter(f"{value!r} is not text in UTF-8") from error
    return value
