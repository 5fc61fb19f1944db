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
from foretell.settings import Settings, load_settings

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
        "plugins.config.one: object contains unknown field `lowd`; did you mean 'loud'? its keys are: loud, times",
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
        "plugins.config.onne: there is no plugin 'onne'; did you mean 'one'? there are: ",
    ),
    "model config of nothing": (
        [],
        {"models": {"m": {"plugins": {"onne": {}}}}},
        "models.m.plugins.onne: there is no plugin 'onne'",
    ),
    "misspelt common key": (
        ["one"],
        {"config": {"one": {"optinal": True}}},
        "plugins.config.one: object contains unknown field `optinal`; did you mean 'optional'? its keys are: loud, times",
    ),
    "unknown key of a model": (
        ["one"],
        {"models": {"m": {"plugins": {"one": {"lowd": True}}}}},
        "models.m.plugins.one: object contains unknown field `lowd`; did you mean 'loud'? its keys are: loud, times",
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


# ------------------------------------------------------------------ names in model.toml


@pytest.mark.parametrize(
    ("in_store", "wanted"),
    [
        (
            {"onne": {"loud": True}},
            "m/model.toml: plugins.onne: there is no plugin 'onne'; did you mean 'one'? there are: ",
        ),
        ({"xyz": False}, "m/model.toml: plugins.xyz: there is no plugin 'xyz'; there are: broken, "),
    ],
    ids=["misspelt", "nothing like it"],
)
def test_a_plugin_that_does_not_exist_is_refused_in_model_toml(
    folder: Path, in_store: dict[str, Any], wanted: str
) -> None:
    with pytest.raises(PluginError, match=re.escape(wanted)):
        load(folder, ["one"]).check_model("m", in_store)


def test_a_plugin_that_is_there_but_not_enabled_may_stand_in_model_toml(folder: Path) -> None:
    load(folder, ["one"]).check_model("m", {"one": 1, "two": {"lowd": 1}, "broken": False})


def test_an_optional_one_that_is_absent_may_stand_in_model_toml(folder: Path) -> None:
    load(folder, ["none_such"], config={"none_such": {"optional": True}}).check_model("m", {"none_such": 1})


# ------------------------------------------------------------------ where a mistake was made


def mistake(
    folder: Path, toml: str = "", environ: dict[str, str] | None = None, flags: dict[str, str] | None = None
) -> str:
    (folder / "foretell.toml").write_text(toml)
    effective = load_settings(
        environ={"FORETELL_PLUGINS__ENABLED": "one", **(environ or {})},
        file=folder / "foretell.toml",
        flags={key: (f"--set {key}", value) for key, value in (flags or {}).items()},
    )
    with pytest.raises(PluginError) as error:
        load_plugins(effective.settings, discover(folder), effective.origins)
    return str(error.value)


def test_a_mistake_is_named_with_the_file_the_variable_or_the_flag(folder: Path) -> None:
    wanted = "plugins.config.one: object contains unknown field `lowd`; did you mean 'loud'?"
    file = f"{folder / 'foretell.toml'}: "
    assert mistake(folder, "[plugins.config.one]\nlowd = 1\n").startswith(file + wanted)
    variable = "FORETELL_PLUGINS__CONFIG__ONE__LOWD"
    assert mistake(folder, "", {variable: "1"}).startswith(f"{variable}: {wanted}")
    # The other key of the table comes from elsewhere.
    toml = "[plugins.config.one]\nloud = true\n"
    flag = "plugins.config.one.lowd"
    assert mistake(folder, toml, flags={flag: "1"}).startswith(f"--set {flag}: {wanted}")
    assert mistake(folder, '[plugins.config.one]\ntimes = "x"\n').startswith(
        f"{file}plugins.config.one: expected"
    )
    assert mistake(folder, "[models.m.plugins.one]\nlowd = 1\n").startswith(
        f"{file}models.m.plugins.one: object"
    )
    assert mistake(folder, "[plugins.config.onne]\nloud = true\n").startswith(
        f"{file}plugins.config.onne: there"
    )
    enabled = "FORETELL_PLUGINS__ENABLED"
    assert mistake(folder, "", {enabled: "ones"}).startswith(f"{enabled}: plugins.enabled names 'ones'")


def test_text_is_what_the_plugin_says_it_is(folder: Path) -> None:
    typed = PLUGIN.replace("times: int = 1", "times: int = 1\n    api_key: str = ''\n    rate: float = 0")
    (folder / "one.py").write_text(typed)
    names = {
        "API_KEY": "12345",
        "RATE": "5",
        "TIMES": "3",
        "LOUD": "true",
        "TIMEOUT_S": "2",
        "OPTIONAL": "true",
    }
    environ = {f"FORETELL_PLUGINS__CONFIG__ONE__{name}": value for name, value in names.items()}
    environ |= {
        "FORETELL_PLUGINS__ENABLED": "one",
        "FORETELL_MODELS__M__PLUGINS__ONE__API_KEY": "12e45678",
        "FORETELL_MODELS__N__PLUGINS__ONE": "4",
        "FORETELL_MODELS__O__PLUGINS__ONE": "false",
        "FORETELL_MODELS__P__PLUGINS__ONE": "{times = 5, api_key = 'x'}",
    }
    (one,) = load_plugins(load_settings(environ=environ).settings, discover(folder)).plugins
    config = one.plugin.config
    assert (config.api_key, config.rate, config.times, config.loud) == ("12345", 5.0, 3, True)
    assert (one.timeout_s, one.optional) == (2.0, True)
    assert one.plugin.config_for("m").api_key == "12e45678"
    assert one.plugin.config_for("n").times == 4
    assert one.opted_out == {"o"}
    assert (one.plugin.config_for("p").times, one.plugin.config_for("p").api_key) == (5, "x")


# ------------------------------------------------------------------ one that is not there


def test_one_that_is_not_there_names_the_folder_in_full(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    settings = msgspec.convert({"plugins": {"enabled": ["oen"], "folder": folder.name}}, Settings)
    with pytest.raises(PluginError) as error:
        load_plugins(settings, discover(Path(folder.name)))
    assert "did you mean 'one'?" in str(error.value)
    assert f"drop its file into the plugin folder {folder}, or take it out of the list" in str(error.value)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("_contact.py", "_contact.py, but names that begin with _ are left out: rename it to contact.py"),
        ("contact.py.txt", "contact.py.txt, but its name does not end with .py: rename it to contact.py"),
        ("contact", "contact, but its name does not end with .py: rename it to contact.py"),
    ],
)
def test_a_file_that_was_meant_is_named(folder: Path, name: str, wanted: str) -> None:
    (folder / name).write_text(PLUGIN)
    assert f"There is {folder}/{wanted}" in refused(folder, ["contact"])


def test_a_folder_that_was_meant_is_named(folder: Path) -> None:
    (folder / "contact").mkdir()
    assert "contact: a plugin there is one file, contact.py" in refused(folder, ["contact"])


@pytest.mark.parametrize("settings_file", [True, False], ids=["settings file", "folder above"])
def test_a_file_under_another_working_directory_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings_file: bool
) -> None:
    project = tmp_path / "project"
    elsewhere = tmp_path / "elsewhere" if settings_file else project / "deep" / "down"
    for made in (project / "plugins", elsewhere):
        made.mkdir(parents=True)
    (project / "plugins" / "contact.py").write_text(PLUGIN)
    (project / "foretell.toml").write_text('[plugins]\nenabled = ["contact"]\n')
    monkeypatch.chdir(elsewhere)
    effective = load_settings(environ={}, file=project / "foretell.toml")
    origins = effective.origins if settings_file else {}
    with pytest.raises(PluginError) as error:
        load_plugins(effective.settings, discover(Path("plugins")), origins)
    assert (
        f"There is {project / 'plugins' / 'contact.py'}, but the setting plugins.folder, 'plugins', is relative to "
        f"the working directory, {elsewhere}: run foretell in {project}, or set plugins.folder to {project / 'plugins'}"
    ) in str(error.value)


def test_what_a_plugin_says_itself_when_it_cannot_be_made_is_told_as_it_is(folder: Path) -> None:
    text = (
        PLUGIN
        + """
    def __init__(self, config):
        from foretell.errors import MissingExtraError
        raise MissingExtraError("redis", "the cache's second level")
"""
    )
    (folder / "needy.py").write_text(text)
    assert refused(folder, ["needy"]).endswith(
        "cannot be made: the cache's second level needs an optional dependency: pip install 'foretell[redis]'"
    )
