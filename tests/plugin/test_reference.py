"""The reference for authors tells of every hook and every field, and of nothing else."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from foretell.plugin import (
    Host,
    ModelInfo,
    Models,
    Plugin,
    PredictRequest,
    PredictResponse,
    RequestRecord,
    Shortcut,
    Stage,
    Step,
    trial,
)
from foretell.plugin.checks import CHECKS
from foretell.plugin.loading import _Common
from foretell.signature import Signature, Tensor

TEXT = (Path(__file__).parents[2] / "plugins" / "README.md").read_text()
HIDDEN = {"call", "config_type"}
NO_HOOKS = {"config_for"}


def section(title: str) -> str:
    level = title.partition(" ")[0]
    found = TEXT.partition(f"\n{title}\n")[2]
    assert found, title
    return re.split(rf"^#{{2,{len(level)}}} ", found, maxsplit=1, flags=re.MULTILINE)[0]


def public(kind: type[Any]) -> set[str]:
    fields: set[str] = set(kind.__struct_fields__) if issubclass(kind, msgspec.Struct) else set()
    return {name for name in fields | set(vars(kind)) if not name.startswith("_")} - HIDDEN


def parameters(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


def test_every_hook_is_there_and_no_other() -> None:
    told = dict(re.findall(r"^\| `(\w+)\(([^)]*)\)`", section("## Every hook"), re.MULTILINE))
    hooks = {name for name in public(Plugin) if callable(getattr(Plugin, name))} - NO_HOOKS
    assert told.keys() - {"__init__"} == hooks
    for name, arguments in told.items():
        assert arguments.split(", ") == (parameters(getattr(Plugin, name)) or [""]), name


def test_everything_else_of_a_plugin_is_there() -> None:
    for attribute in public(Plugin) - {name for name in public(Plugin) if callable(getattr(Plugin, name))}:
        assert f"`{attribute}`" in section("## Every hook")
    for method in NO_HOOKS:
        assert f"`self.{method}({', '.join(parameters(getattr(Plugin, method)))})`" in TEXT
    assert "`self.config`" in TEXT
    assert "`forbid_unknown_fields=True`" in TEXT


def test_every_stage_is_there_and_no_other() -> None:
    assert re.findall(r"^\| `(\w+)`", section("## Stages"), re.MULTILINE) == [stage.name for stage in Stage]


@pytest.mark.parametrize(
    "kind", [ModelInfo, PredictRequest, PredictResponse, RequestRecord, Signature, Step, Tensor]
)
def test_every_field_and_method_is_there(kind: type[Any]) -> None:
    told = set(re.findall(r"`(\w+)[`(]", section("## Every field")))
    assert public(kind) <= told


@pytest.mark.parametrize("method", ["header", "add_header", "add_step", "note"])
def test_what_a_method_of_a_record_takes_is_there(method: str) -> None:
    (told,) = re.findall(rf"^\| `{method}\((.*?)\)`", section("## Every field"), re.MULTILINE)
    assert [word.partition("=")[0] for word in told.split(", ")] == parameters(getattr(RequestRecord, method))


def test_everything_of_the_server_is_there() -> None:
    told = section("### The server")
    assert {f"host.{name}" for name in public(Host)} <= set(re.findall(r"`(?:await )?(host\.\w+)", told))
    for name in public(Models):
        (arguments,) = re.findall(rf"^\| `(?:await )?host\.models\.{name}\((.*?)\)`", told, re.MULTILINE)
        assert [word.partition("=")[0] for word in arguments.split(", ")] == parameters(getattr(Models, name))


def test_what_every_table_takes_is_there_with_its_default() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| ([\w.]+) \|", section("## Every hook"), re.MULTILINE))
    assert told.keys() == {field.name for field in msgspec.structs.fields(_Common)}
    for name, value in msgspec.structs.asdict(_Common()).items():
        assert msgspec.json.decode(told[name]) == value, name


def test_everything_for_a_trial_is_there() -> None:
    told = section("## A test of your own")
    for method in public(trial.Trial):
        assert f"`trial.{method}(" in told, method
    for kind in (trial.Trial, trial.MadeUpModel):
        (arguments,) = re.findall(rf"`{kind.__name__}\((\w.*?)\)`", told)
        assert [word.partition("=")[0] for word in arguments.split(", ")] == parameters(kind)
    for name in ("asked", "go", "Trial", "MadeUpModel", "ask", "run"):
        assert re.search(rf"`{name}\b", told), name
    (arguments,) = re.findall(r"`run\((answer.*?)\)`", told)
    assert [word.partition("=")[0] for word in arguments.split(", ")] == parameters(trial.run)
    assert "--plugin-config" in told


def test_every_function_of_a_shortcut_is_there() -> None:
    told = dict(re.findall(r"^\| `(\w+)\(([^)]*)\)`", section("## A shorter way"), re.MULTILINE))
    names = {name for name, value in vars(Shortcut).items() if callable(value)}
    assert told.keys() == {name for name in names if not name.startswith("_") or name == "__call__"}
    for name, arguments in told.items():
        assert arguments.split(", ") == parameters(getattr(Shortcut, name)), name
    assert "`limited_by`" in section("## A shorter way")


def test_every_check_is_shown() -> None:
    for check in CHECKS.values():
        assert str(check.__doc__).rstrip(".") in TEXT
