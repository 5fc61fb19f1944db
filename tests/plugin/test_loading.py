"""Settings decide which plugins are loaded and how they are configured; every mistake is named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from foretell.errors import PluginError
from foretell.plugin.discovery import discover
from foretell.plugin.loading import LoadedPlugins, load_plugins
from foretell.settings import Settings

PLUGIN = """
import msgspec
from foretell.plugin import Plugin, Stage

class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    loud: bool = False
    times: int = 1

class It(Plugin[Config]):
    stage = Stage.OBSERVE
    shorthand = "times"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(PLUGIN)
    (tmp_path / "broken.py").write_text("import no_such_module_")
    (tmp_path / "fails.py").write_text(
        PLUGIN + "\n    def __init__(self, config):\n        raise OSError('no disk')\n"
    )
    return tmp_path


def load(folder: Path, enabled: list[str], **more: Any) -> LoadedPlugins:
    plugins = {"enabled": enabled, "folder": str(folder), "config": more.pop("config", {})}
    settings = msgspec.convert({"plugins": plugins, **more}, Settings)
    return load_plugins(settings, discover(folder))


def refused(folder: Path, enabled: list[str], **more: Any) -> str:
    with pytest.raises(PluginError) as error:
        load(folder, enabled, **more)
    return str(error.value)


def test_only_what_is_enabled_is_imported_in_the_order_of_the_settings(folder: Path) -> None:
    assert [each.name for each in load(folder, ["two", "one"]).plugins] == ["two", "one"]
    assert load(folder, []).plugins == ()


def test_a_plugin_gets_its_table_and_its_defaults(folder: Path) -> None:
    one, two = load(folder, ["one", "two"], config={"one": {"loud": True}}).plugins
    assert (one.plugin.config.loud, one.plugin.config.times) == (True, 1)
    assert (two.plugin.config.loud, two.plugin.config.times) == (False, 1)


def test_what_every_plugin_has_is_kept_from_its_own_table(folder: Path) -> None:
    table = {"optional": True, "timeout_s": 0.5, "budget_us": 20, "times": 3}
    (one,) = load(folder, ["one"], config={"one": table}).plugins
    assert (one.optional, one.timeout_s, one.budget_us) == (True, 0.5, 20)
    assert one.plugin.config.times == 3


REFUSED: dict[str, tuple[list[str], dict[str, Any], str]] = {
    "unknown key": (
        ["one"],
        {"config": {"one": {"lowd": True}}},
        "plugins.config.one: object contains unknown field `lowd`; its keys are: loud, times",
    ),
    "wrong type": (
        ["one"],
        {"config": {"one": {"times": "x"}}},
        "plugins.config.one: expected `int`, got `str` - at `$.times`; its keys are: loud, times",
    ),
    "wrong common key": (
        ["one"],
        {"config": {"one": {"timeout_s": 0}}},
        "plugins.config.one: expected `float` > 0.0 - at `$.timeout_s`; its keys are: optional, timeout_s, budget_us",
    ),
    "absent": (
        ["none_such"],
        {},
        "plugins.enabled names 'none_such', which is not there; there are: broken, ",
    ),
    "twice": (["one", "one"], {}, "plugins.enabled names 'one' twice"),
    "broken": (["broken"], {}, "broken.py cannot be imported: ModuleNotFoundError"),
    "cannot be made": (["fails"], {}, "plugin 'fails' (file "),
    "config of nothing": (
        [],
        {"config": {"onne": {}}},
        "plugins.config.onne: there is no plugin 'onne'; there are: ",
    ),
    "model config of nothing": (
        [],
        {"models": {"m": {"plugins": {"onne": {}}}}},
        "models.m.plugins.onne: there is no plugin 'onne'",
    ),
    "unknown key of a model": (
        ["one"],
        {"models": {"m": {"plugins": {"one": {"lowd": True}}}}},
        "models.m.plugins.one: object contains unknown field `lowd`; its keys are: loud, times",
    ),
    "wrong shorthand of a model": (
        ["one"],
        {"models": {"m": {"plugins": {"one": "x"}}}},
        "models.m.plugins.one: expected `int`, got `str` - at `$.times`",
    ),
}


@pytest.mark.parametrize(("enabled", "more", "wanted"), REFUSED.values(), ids=REFUSED)
def test_every_mistake_stops_the_start_and_is_named(
    folder: Path, enabled: list[str], more: dict[str, Any], wanted: str
) -> None:
    assert wanted in refused(folder, enabled, **more)


@pytest.mark.parametrize("name", ["broken", "fails", "none_such"])
def test_an_optional_one_that_cannot_be_loaded_is_missing_with_its_reason(folder: Path, name: str) -> None:
    found = load(folder, [name, "one"], config={name: {"optional": True}})
    assert [each.name for each in found.plugins] == ["one"]
    assert found.missing.keys() == {name}
    assert name in found.missing[name]


def test_settings_of_a_plugin_that_is_there_but_not_enabled_are_no_mistake(folder: Path) -> None:
    assert load(folder, ["one"], config={"two": {"loud": True}}).missing == {}


# ------------------------------------------------------------------ one model


def configured(folder: Path, in_store: dict[str, Any], in_settings: Any = None) -> Any:
    models = {} if in_settings is None else {"m": {"plugins": {"one": in_settings}}}
    (one,) = load(folder, ["one"], config={"one": {"loud": True}}, models=models).plugins
    one.configure("m", in_store)
    return None if "m" in one.opted_out else one.plugin.config_for("m")


@pytest.mark.parametrize(
    ("in_store", "in_settings", "loud", "times"),
    [
        ({}, None, True, 1),
        ({"one": {"times": 2}}, None, True, 2),
        ({"one": 3}, None, True, 3),
        ({"one": {"times": 2, "loud": False}}, {"times": 5}, False, 5),
        ({"one": False}, True, True, 1),
        ({"one": False}, {"times": 4}, True, 4),
        ({"one": True}, None, True, 1),
        ({"other": False}, None, True, 1),
    ],
    ids=str,
)
def test_a_model_s_settings_go_before_the_plugin_s_and_the_server_s_before_its_model_toml(
    folder: Path, in_store: dict[str, Any], in_settings: Any, loud: bool, times: int
) -> None:
    config = configured(folder, in_store, in_settings)
    assert (config.loud, config.times) == (loud, times)


@pytest.mark.parametrize(
    ("in_store", "in_settings"), [({"one": False}, None), ({"one": {"times": 2}}, False)], ids=str
)
def test_a_model_can_do_without_a_plugin(folder: Path, in_store: dict[str, Any], in_settings: Any) -> None:
    assert configured(folder, in_store, in_settings) is None


def test_other_models_keep_the_plugin_s_own(folder: Path) -> None:
    (one,) = load(folder, ["one"]).plugins
    one.configure("m", {"one": {"times": 9}})
    one.configure("n", {})
    assert [one.plugin.config_for(model).times for model in ("m", "n", "o")] == [9, 1, 1]


def test_a_model_can_change_its_mind(folder: Path) -> None:
    (one,) = load(folder, ["one"]).plugins
    one.configure("m", {"one": False})
    assert one.opted_out == {"m"}
    one.configure("m", {"one": {"times": 2}})
    assert one.opted_out == set()
    one.configure("m", {})
    assert one.plugin.config_for("m").times == 1


def test_a_mistake_in_model_toml_is_named(folder: Path) -> None:
    (one,) = load(folder, ["one"]).plugins
    with pytest.raises(
        PluginError, match=re.escape("m/model.toml: plugins.one: object contains unknown field `x`")
    ):
        one.configure("m", {"one": {"x": 1}})


def test_a_plugin_without_a_short_form_says_so(folder: Path) -> None:
    (folder / "plain.py").write_text(PLUGIN.replace('    shorthand = "times"\n', ""))
    (plain,) = load(folder, ["plain"]).plugins
    with pytest.raises(PluginError, match="takes a table, true or false, not 5"):
        plain.configure("m", {"plain": 5})
