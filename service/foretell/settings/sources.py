"""Where settings come from: defaults, foretell.toml, the platform, the environment, flags, in rising order."""

from __future__ import annotations

import os
import re
import stat
import tomllib
import types
import typing
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeGuard

import msgspec

from foretell.errors import SettingsError
from foretell.excerpts import shortened
from foretell.settings.expectation import expectation
from foretell.settings.model import Settings
from foretell.settings.platforms import platform_settings, remote_storage
from foretell.settings.secrets import is_secret, masked
from foretell.settings.text_value import TextValue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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


_OPEN: Final = {("plugins", "config"): 3, ("models",): 4}
"""Where the keys are not known here, and how many words there are before the first that a plugin chooses."""

_Path = tuple[str, ...]


class _Entry(NamedTuple):
    """One setting as it was found: its path, its value, where it stands, and whether it was written as plain text."""

    path: _Path
    value: Any
    origin: str
    from_text: bool

    @property
    def key(self) -> str:
        """The path as it is written."""
        return _written(self.path)


class EffectiveSettings(msgspec.Struct, frozen=True):
    """The settings that are in force, and where each that is not a default comes from.

    Attributes:
        settings: The settings.
        origins: By ``section.key``: a file, an environment variable or a flag.
        file: The settings file; None if there is none.
    """

    settings: Settings
    origins: dict[str, str]
    file: Path | None = None

    def rows(self) -> list[tuple[str, Any, str]]:
        """Every setting as key, value and origin, in the order of their declaration."""
        return [(_written(path), value, origin) for path, value, origin in self._found()]

    def shown(self) -> list[tuple[str, Any, str]]:
        """The rows as people may see them: without passwords, keys and the like."""
        return [
            (_written(path), masked(path[_chosen_elsewhere(path) :], value), origin)
            for path, value, origin in self._found()
        ]

    def _found(self) -> Iterator[tuple[_Path, Any, str]]:
        for section, group in _plain(self.settings).items():
            for path, value in _leaves((section,), group):
                if path not in _OPEN:  # nothing is set there
                    yield path, value, self.origins.get(_written(path), "default")


def load_settings(
    *,
    environ: Mapping[str, str],
    file: Path | None = None,
    flags: Mapping[str, tuple[str, Any]] | None = None,
    root: Path = Path("/"),
) -> EffectiveSettings:
    """Gather the settings of a server.

    Args:
        environ: The environment: ``FORETELL_<SECTION>__<KEY>``, and ``FORETELL_CONFIG`` for the file's path.
        file: The settings file; if it is not given, ``FORETELL_CONFIG`` or ``foretell.toml`` in the working
            directory, where there is one.
        flags: By ``section.key``: the flag's name and its value.
        root: The root of the file system, in which platforms have their folders.

    Raises:
        SettingsError: A setting is misspelt or ill-typed; the message names source, key and what was expected.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    path = _file(environ, file)
    platform = [
        _Entry(tuple(key.split(".")), value, origin, True)
        for key, value, origin in platform_settings(environ, root)
    ]
    for entry in [*_from_file(path), *platform, *_from_environment(environ), *_from_flags(flags or {})]:
        value = _convert(entry)
        table = values
        for step, word in enumerate(entry.path[:-1]):
            below = table.setdefault(word, {})
            if not _is_table(below):  # a plugin that is switched off in one place and configured in another
                below = table[word] = {}
                origins.pop(_written(entry.path[: step + 1]), None)
            table = below
        for key in [key for key in origins if key.startswith(f"{entry.key}.")]:
            del origins[key]
        table[entry.path[-1]] = value
        origins[entry.key] = entry.origin
    remote = remote_storage(environ)
    if remote is not None and origins.get("store.path") in {None, str(path)}:
        raise SettingsError(
            f"AIP_STORAGE_URI: {shortened(remote)!r} is not on this machine, and nothing is fetched: put the store into "
            "the image or mount it, and name it with FORETELL_STORE__PATH"
        )
    return EffectiveSettings(msgspec.convert(values, Settings), origins, path)


def _file(environ: Mapping[str, str], file: Path | None) -> Path | None:
    if file is not None:
        return file
    if environ.get(CONFIG_VARIABLE):
        return Path(environ[CONFIG_VARIABLE])
    return Path(DEFAULT_FILE) if Path(DEFAULT_FILE).exists() else None


def _from_file(path: Path | None) -> list[_Entry]:
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
    found: list[_Entry] = []
    for section, group in document.items():
        _check_section(section, str(path))
        if not _is_table(group):
            raise SettingsError(f"{path}: {section} must be a table: [{section}]")
        found += [_Entry(place, value, str(path), False) for place, value in _leaves((section,), group)]
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


def _chosen_elsewhere(path: _Path) -> int:
    """How many of the first words are sections and names of models and plugins, and say nothing of the value."""
    return next((words for place, words in _OPEN.items() if path[: len(place)] == place), 1)


def _plain(value: Any) -> Any:
    """A value as it was written."""
    if isinstance(value, TextValue):
        return value.text
    if isinstance(value, msgspec.Struct):
        return {field: _plain(getattr(value, field)) for field in value.__struct_fields__}
    return {key: _plain(below) for key, below in value.items()} if _is_table(value) else value


def _leaves(path: _Path, group: dict[str, Any]) -> Iterator[tuple[_Path, Any]]:
    """The settings of a section; where the keys are open, every key of the tables in it is one."""
    for key, value in group.items():
        below = (*path, key)
        if _is_table(value) and value and any(below[: len(place)] == place for place in _OPEN):
            yield from _leaves(below, value)
        else:
            yield below, value


def _from_environment(environ: Mapping[str, str]) -> list[_Entry]:
    found: list[_Entry] = []
    for variable, value in sorted(environ.items()):
        if (
            variable.startswith(PREFIX)
            and variable != CONFIG_VARIABLE
            and not _OF_KUBERNETES.fullmatch(variable)
        ):
            path = tuple(variable.removeprefix(PREFIX).lower().split("__"))
            if len(path) < 2:
                raise SettingsError(
                    f"{variable} is not a setting: write {PREFIX}<SECTION>__<KEY>{_meant(variable)}"
                )
            found.append(_Entry(path, value, variable, True))
    return found


def _meant(variable: str) -> str:
    """The variable that one without a double underscore may stand for."""
    wanted = variable.removeprefix(PREFIX)
    known = ["__".join(path).upper() for path in _known()]
    joined = {name.replace("__", "_"): name for name in known}
    found = [joined[name] for name in get_close_matches(wanted, joined, n=1, cutoff=0.8)]
    found += [name for name in known if name.partition("__")[2] == wanted]
    return f"; did you mean {PREFIX}{found[0]}?" if found else ""


def _from_flags(flags: Mapping[str, tuple[str, Any]]) -> list[_Entry]:
    return [
        _Entry(tuple(key.split(".")), value, flag, isinstance(value, str))
        for key, (flag, value) in flags.items()
    ]


def _known() -> dict[_Path, Any]:
    """The type of every setting whose key is known."""
    return {
        (section.name, field.name): field.type
        for section in msgspec.structs.fields(Settings)
        if (section.name,) not in _OPEN
        for field in msgspec.structs.fields(section.type)
        if (section.name, field.name) not in _OPEN
    }


def _check_section(section: str, origin: str) -> None:
    sections = [field.name for field in msgspec.structs.fields(Settings)]
    if section not in sections:
        raise SettingsError(f"{origin}: there is no section {section!r}{_hint(section, sections)}")


def _is_open(entry: _Entry) -> bool:
    """Whether a plugin decides what the setting means.

    Raises:
        SettingsError: It is on the way there, but no setting.
    """
    for place, words in _OPEN.items():
        if entry.path[: len(place)] != place:
            continue
        form = "plugins.config.<plugin>.<key>" if words == 3 else "models.<model>.plugins.<plugin>"
        of_model = place == ("models",)
        if len(entry.path) < words or (of_model and entry.path[2] != "plugins"):
            if _is_table(entry.value) and not entry.value and not of_model:
                return True
            raise SettingsError(f"{entry.origin}: {entry.key!r} is no setting: write {form}")
        if not of_model and len(entry.path) == words and not _is_table(entry.value):
            raise SettingsError(f"{entry.origin}: {entry.key} must be a table: [{entry.key}]")
        return True
    return False


def _written(path: _Path) -> str:
    return ".".join(path)


def _hint(word: str, known: list[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(known)}"


def _convert(entry: _Entry) -> Any:
    _check_section(entry.path[0], entry.origin)
    value = entry.value
    if isinstance(value, str) and _is_not_text(value):
        raise SettingsError(f"{entry.origin}: {entry.key}: expected text in UTF-8, got {value!r}")
    if _is_open(entry):
        return TextValue(value) if entry.from_text else value
    known = _known()
    expected = known.get(entry.path)
    if expected is None:
        raise SettingsError(f"{entry.origin}: there is no setting {entry.key!r}{_remedy(entry, known)}")
    if entry.from_text and value == "" and type(None) in _alternatives(expected):
        return None
    if entry.from_text and typing.get_origin(expected) is tuple:
        value = _words(value)
    try:
        return msgspec.convert(value, expected, strict=not entry.from_text)
    except msgspec.ValidationError as error:
        raise SettingsError(
            f"{entry.origin}: {entry.key}: {_complaint(entry.path, expected, entry.value, error)}"
        ) from error


def _words(text: str) -> Any:
    """A list that is written with commas, or as in TOML."""
    if text.lstrip().startswith("["):
        with suppress(tomllib.TOMLDecodeError):  # then its words are refused for what they are
            return tomllib.loads(f"value = {text}")["value"]
    return [word.strip() for word in text.split(",") if word.strip()]


def _remedy(entry: _Entry, known: Mapping[_Path, Any]) -> str:
    """What may have been meant by a setting that does not exist."""
    section, word = entry.path[:2]
    names = [other[1] for other in known if other[0] == section]
    if section != "plugins" or (len(entry.path) == 2 and not _is_table(entry.value)):
        return _hint(word, names)
    close = get_close_matches(word, [*names, "config"], n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    if entry.origin.startswith(PREFIX):
        meant = PREFIX + "__".join(("plugins", "config", *entry.path[1:])).upper()
    else:
        meant = _written(("plugins", "config", *entry.path[1:]))
    return f": what is set for a plugin stands under plugins.config; write {f'[{meant}]' if _is_table(entry.value) else meant}"


def _is_not_text(value: str) -> bool:
    """Whether it holds bytes that were no UTF-8, as Python hands them on from the environment and command line."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


def _complaint(path: _Path, expected: Any, value: Any, error: msgspec.ValidationError) -> str:
    wanted = expectation(expected)
    if wanted is not None:
        # Not what stands there if it is a secret: it may be the key itself, in place of its hash.
        return f"expected {wanted}" + ("" if is_secret(path[-1]) else f", got {value!r}")
    message = str(error)
    return f"{message[0].lower()}{message[1:]}"


def _alternatives(expected: Any) -> tuple[Any, ...]:
    if isinstance(expected, types.UnionType) or typing.get_origin(expected) is typing.Union:
        return typing.get_args(expected)
    return (expected,)
