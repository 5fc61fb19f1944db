"""Where settings come from: defaults, foretell.toml, the environment, command-line flags, in rising order."""

from __future__ import annotations

import os
import re
import stat
import tomllib
import types
import typing
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import msgspec

from foretell.errors import SettingsError
from foretell.settings.expectation import expectation
from foretell.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CONFIG_VARIABLE", "DEFAULT_FILE", "PREFIX", "EffectiveSettings", "load_settings"]

DEFAULT_FILE: Final = "foretell.toml"
PREFIX: Final = "FORETELL_"
CONFIG_VARIABLE: Final = "FORETELL_CONFIG"

_MAX_FILE_BYTES: Final = 2**20
"""No settings file is longer, bytes."""

_OF_KUBERNETES: Final = re.compile(
    r"FORETELL_(?:SERVICE_(?:HOST|PORT(?:_[A-Z0-9_]+)?)|PORT(?:_\d+_[A-Z_]+)?)"
)
"""What Kubernetes tells every container of a Service that is called foretell; none of it is a setting."""


class EffectiveSettings(msgspec.Struct, frozen=True):
    """The settings that are in force, and where each that is not a default comes from.

    Attributes:
        settings: The settings.
        origins: By ``section.key``: a file, an environment variable or a flag.
    """

    settings: Settings
    origins: dict[str, str]

    def rows(self) -> list[tuple[str, Any, str]]:
        """Every setting as key, value and origin, in the order of their declaration."""
        return [
            (f"{section}.{key}", value, self.origins.get(f"{section}.{key}", "default"))
            for section, group in msgspec.to_builtins(self.settings).items()
            for key, value in group.items()
        ]


def load_settings(
    *,
    environ: Mapping[str, str],
    file: Path | None = None,
    flags: Mapping[str, tuple[str, Any]] | None = None,
) -> EffectiveSettings:
    """Gather the settings of a server.

    Args:
        environ: The environment: ``FORETELL_<SECTION>__<KEY>``, and ``FORETELL_CONFIG`` for the file's path.
        file: The settings file; if it is not given, ``FORETELL_CONFIG`` or ``foretell.toml`` in the working
            directory, where there is one.
        flags: By ``section.key``: the flag's name and its value.

    Raises:
        SettingsError: A setting is misspelt or ill-typed; the message names source, key and what was expected.
    """
    values: dict[str, dict[str, Any]] = {}
    origins: dict[str, str] = {}
    for key, value, origin, from_text in [
        *_from_file(_file(environ, file)),
        *_from_environment(environ),
        *((key, value, flag, isinstance(value, str)) for key, (flag, value) in (flags or {}).items()),
    ]:
        section, _, name = key.partition(".")
        values.setdefault(section, {})[name] = _convert(key, value, origin, from_text=from_text)
        origins[key] = origin
    return EffectiveSettings(msgspec.convert(values, Settings), origins)


def _file(environ: Mapping[str, str], file: Path | None) -> Path | None:
    if file is not None:
        return file
    if environ.get(CONFIG_VARIABLE):
        return Path(environ[CONFIG_VARIABLE])
    return Path(DEFAULT_FILE) if Path(DEFAULT_FILE).exists() else None


def _from_file(path: Path | None) -> list[tuple[str, Any, str, bool]]:
    if path is None:
        return []
    try:
        document = tomllib.loads(_read(path).decode())
    except FileNotFoundError as error:
        raise SettingsError(
            f"{path} does not exist: create it, or name another file with --config or {CONFIG_VARIABLE}"
        ) from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from error
    except SettingsError:
        raise
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    found: list[tuple[str, Any, str, bool]] = []
    for section, group in document.items():
        _check_section(section, str(path))
        if not _is_table(group):
            raise SettingsError(f"{path}: {section} must be a table: [{section}]")
        found += [(f"{section}.{key}", value, str(path), False) for key, value in group.items()]
    return found


def _read(path: Path) -> bytes:
    """The content of a regular file; opening a pipe would wait for its writer."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise SettingsError(f"{path} is not a regular file: settings are read from a TOML file")
        content = file.read(_MAX_FILE_BYTES + 1)
    if len(content) > _MAX_FILE_BYTES:
        raise SettingsError(f"{path} has more than {_MAX_FILE_BYTES} bytes: no settings file is that long")
    return content


def _is_table(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _from_environment(environ: Mapping[str, str]) -> list[tuple[str, Any, str, bool]]:
    found: list[tuple[str, Any, str, bool]] = []
    for variable, value in sorted(environ.items()):
        if (
            variable.startswith(PREFIX)
            and variable != CONFIG_VARIABLE
            and not _OF_KUBERNETES.fullmatch(variable)
        ):
            section, separator, key = variable.removeprefix(PREFIX).lower().partition("__")
            if not separator:
                raise SettingsError(
                    f"{variable} is not a setting: write {PREFIX}<SECTION>__<KEY>{_meant(variable)}"
                )
            found.append((f"{section}.{key}", value, variable, True))
    return found


def _meant(variable: str) -> str:
    """The variable that one without a double underscore may stand for."""
    wanted = variable.removeprefix(PREFIX)
    known = [key.replace(".", "__").upper() for key in _known()]
    joined = {name.replace("__", "_"): name for name in known}
    found = [joined[name] for name in get_close_matches(wanted, joined, n=1, cutoff=0.8)]
    found += [name for name in known if name.partition("__")[2] == wanted]
    return f"; did you mean {PREFIX}{found[0]}?" if found else ""


def _known() -> dict[str, Any]:
    """The type of every setting, by ``section.key``."""
    return {
        f"{section.name}.{field.name}": field.type
        for section in msgspec.structs.fields(Settings)
        for field in msgspec.structs.fields(section.type)
    }


def _check_section(section: str, origin: str) -> None:
    sections = sorted({key.partition(".")[0] for key in _known()})
    if section not in sections:
        raise SettingsError(f"{origin}: there is no section {section!r}{_hint(section, sections)}")


def _check_key(key: str, origin: str) -> None:
    known = _known()
    section, _, name = key.partition(".")
    _check_section(section, origin)
    if key not in known:
        names = [other.partition(".")[2] for other in known if other.startswith(f"{section}.")]
        raise SettingsError(f"{origin}: there is no setting {key!r}{_hint(name, names)}")


def _hint(word: str, known: list[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(known)}"


def _convert(key: str, value: Any, origin: str, *, from_text: bool) -> Any:
    _check_key(key, origin)
    expected = _known()[key]
    if isinstance(value, str) and _is_not_text(value):
        raise SettingsError(f"{origin}: {key}: expected text in UTF-8, got {value!r}")
    if from_text and value == "" and type(None) in _alternatives(expected):
        return None
    try:
        return msgspec.convert(value, expected, strict=not from_text)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{origin}: {key}: {_complaint(expected, value, error)}") from error


def _is_not_text(value: str) -> bool:
    """Whether it holds bytes that were no UTF-8, as Python hands them on from the environment and command line."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


def _complaint(expected: Any, value: Any, error: msgspec.ValidationError) -> str:
    wanted = expectation(expected)
    if wanted is not None:
        return f"expected {wanted}, got {value!r}"
    message = str(error)
    return f"{message[0].lower()}{message[1:]}"


def _alternatives(expected: Any) -> tuple[Any, ...]:
    if isinstance(expected, types.UnionType) or typing.get_origin(expected) is typing.Union:
        return typing.get_args(expected)
    return (expected,)
