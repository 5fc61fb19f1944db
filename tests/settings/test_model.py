"""Every setting is described where it is declared."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from foretell.errors import SettingsError
from foretell.settings import ModelSettings, Settings, load_settings

SECTIONS: dict[str, Any] = {
    field.name: field.type for field in msgspec.structs.fields(Settings) if field.name != "models"
}


@pytest.mark.parametrize(
    "struct", [Settings, ModelSettings, *SECTIONS.values()], ids=lambda struct: struct.__name__
)
def test_each_setting_has_a_line_in_the_docstring_and_no_other_has(struct: type[msgspec.Struct]) -> None:
    described = re.findall(r"^\s+(\w+): \S", (struct.__doc__ or "").partition("Attributes:")[2], re.MULTILINE)
    assert described == [field.name for field in msgspec.structs.fields(struct)]


def test_every_setting_is_in_a_section_and_has_a_default() -> None:
    assert list(SECTIONS) == [
        "server",
        "grpc",
        "store",
        "limits",
        "engine",
        "log",
        "admin",
        "platform",
        "plugins",
    ]
    for struct in SECTIONS.values():
        assert all(not field.required for field in msgspec.structs.fields(struct))


def test_a_duration_bears_its_unit() -> None:
    numbers = [
        field.name
        for struct in SECTIONS.values()
        for field in msgspec.structs.fields(struct)
        if isinstance(field.default, float)
    ]
    assert [name for name in numbers if not name.endswith(("_s", "_us"))] == ["predictions"]


def test_settings_cannot_be_changed_and_know_no_other_keys() -> None:
    for key, section in SECTIONS.items():
        with pytest.raises(AttributeError):
            setattr(Settings(), key, section())
    for struct in (Settings, ModelSettings, *SECTIONS.values()):
        with pytest.raises(msgspec.ValidationError, match="unknown field"):
            msgspec.convert({"nothing_like_it": 1}, struct)


def test_the_server_is_reachable_from_this_machine_only_until_told_otherwise() -> None:
    assert Settings().server.host == "127.0.0.1"


NUMBERS = [
    f"{section}.{field.name}"
    for section, struct in SECTIONS.items()
    for field in msgspec.structs.fields(struct)
    if (isinstance(field.default, (int, float)) and not isinstance(field.default, bool))
    or field.name in {"run_threads", "max_loaded_models"}
]


@pytest.mark.parametrize("key", NUMBERS)
def test_every_number_has_a_greatest_value(key: str) -> None:
    with pytest.raises(SettingsError, match=rf"^--set: {key}: expected .*number from [\d.]+ to \d+, got"):
        load_settings(environ={}, flags={key: ("--set", "99999999999999999999")})
