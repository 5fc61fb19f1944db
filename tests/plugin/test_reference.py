"""The reference for authors tells of every hook and every field, and of nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from foretell.plugin import Host, ModelInfo, Plugin, PredictRequest, PredictResponse, RequestRecord, Stage
from foretell.plugin.loading import _Common

TEXT = (Path(__file__).parents[2] / "plugins" / "README.md").read_text()
HIDDEN = {"call", "config", "config_for", "config_type"}


def public(kind: type[Any]) -> set[str]:
    fields: set[str] = set(kind.__struct_fields__) if issubclass(kind, msgspec.Struct) else set()
    return {name for name in fields | set(vars(kind)) if not name.startswith("_")} - HIDDEN


def test_every_hook_is_there_and_no_other() -> None:
    section = TEXT.partition("## Every hook")[2].partition("## ")[0]
    told = set(re.findall(r"^\| `(\w+)", section, re.MULTILINE)) - {"__init__"}
    hooks = {name for name in public(Plugin) if callable(getattr(Plugin, name))}
    assert told == hooks
    for attribute in public(Plugin) - hooks | {"stage"}:
        assert f"`{attribute}`" in section


def test_every_stage_is_there_and_no_other() -> None:
    section = TEXT.partition("## Stages")[2].partition("## ")[0]
    assert re.findall(r"^\| `(\w+)`", section, re.MULTILINE) == [stage.name for stage in Stage]


@pytest.mark.parametrize("kind", [ModelInfo, PredictRequest, PredictResponse, RequestRecord])
def test_every_field_is_there(kind: type[Any]) -> None:
    section = TEXT.partition("## Every field")[2].partition("\n## ")[0]
    told = set(re.findall(r"`(\w+)", section))
    assert public(kind) - {"header"} <= told


def test_everything_of_the_server_is_there() -> None:
    assert {f"host.{name}" for name in public(Host)} <= set(re.findall(r"`(host\.\w+)", TEXT))


def test_what_every_table_takes_is_there() -> None:
    for field in msgspec.structs.fields(_Common):
        assert f"`{field.name}`" in TEXT
