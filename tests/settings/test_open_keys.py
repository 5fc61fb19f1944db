"""Settings of plugins: their keys are not known here, and go through all sources like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from foretell.errors import SettingsError
from foretell.settings import EffectiveSettings, load_settings
from foretell.settings.text_value import TextValue


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(
    toml: str = "", environ: dict[str, str] | None = None, flags: dict[str, Any] | None = None
) -> EffectiveSettings:
    Path("foretell.toml").write_text(toml)
    given = {key: (f"--set {key}", value) for key, value in (flags or {}).items()}
    return load_settings(environ=environ or {}, flags=given)


TOML = """
[plugins]
enabled = ["metrics", "cache"]
[plugins.config.cache]
ttl_s = 5
nested = { a = { b = 1 } }
[models.churn.plugins]
metrics = false
[models.churn.plugins.cache]
ttl_s = 1.5
chain = ["version:previous", { value = { label = "x" } }]
[models."a.b".plugins]
cache = true
"""


def test_the_file_says_it_in_tables() -> None:
    settings = load(TOML).settings
    assert settings.plugins.enabled == ("metrics", "cache")
    assert settings.plugins.config == {"cache": {"ttl_s": 5, "nested": {"a": {"b": 1}}}}
    assert settings.models["churn"].plugins == {
        "metrics": False,
        "cache": {"ttl_s": 1.5, "chain": ["version:previous", {"value": {"label": "x"}}]},
    }
    assert settings.models["a.b"].plugins == {"cache": True}


def test_environment_and_flags_go_before_it_key_by_key() -> None:
    environ = {
        "FORETELL_PLUGINS__CONFIG__CACHE__TTL_S": "7",
        "FORETELL_MODELS__CHURN__PLUGINS__CACHE__TTL_S": "8",
        "FORETELL_PLUGINS__ENABLED": "cache, tracing",
    }
    effective = load(TOML, environ, {"models.churn.plugins.cache.ttl_s": "9"})
    settings = effective.settings
    assert settings.plugins.enabled == ("cache", "tracing")
    assert settings.plugins.config["cache"] == {"ttl_s": TextValue("7"), "nested": {"a": {"b": 1}}}
    assert settings.models["churn"].plugins["cache"]["ttl_s"] == TextValue("9")
    assert {key: value for key, value, _ in effective.rows()}["plugins.config.cache.ttl_s"] == "7"
    origins = {key: origin for key, _, origin in effective.rows()}
    assert origins["plugins.config.cache.ttl_s"] == "FORETELL_PLUGINS__CONFIG__CACHE__TTL_S"
    assert origins["plugins.config.cache.nested.a.b"] == "foretell.toml"
    assert origins["models.churn.plugins.cache.ttl_s"] == "--set models.churn.plugins.cache.ttl_s"
    assert origins["plugins.enabled"] == "FORETELL_PLUGINS__ENABLED"


@pytest.mark.parametrize("text", ["3", "0.5", "true", "[1, 2]", "plain", '"3"', "", "1\nother = 2", "a = b"])
def test_text_stays_text_until_the_plugin_says_what_it_is(text: str) -> None:
    effective = load(environ={"FORETELL_PLUGINS__CONFIG__P__KEY": text})
    assert effective.settings.plugins.config["p"]["key"] == TextValue(text)
    assert ("plugins.config.p.key", text, "FORETELL_PLUGINS__CONFIG__P__KEY") in effective.rows()
    assert msgspec.json.encode(effective.settings)  # it tells servers apart


def test_what_is_switched_off_in_one_place_can_be_configured_in_another_and_back() -> None:
    off = "[models.m.plugins]\ncache = false\n"
    effective = load(off, {"FORETELL_MODELS__M__PLUGINS__CACHE__TTL_S": "1"})
    assert effective.settings.models["m"].plugins == {"cache": {"ttl_s": TextValue("1")}}
    assert "models.m.plugins.cache" not in effective.origins
    on = "[models.m.plugins.cache]\nttl_s = 1\n"
    effective = load(on, {"FORETELL_MODELS__M__PLUGINS__CACHE": "false"})
    assert effective.settings.models["m"].plugins == {"cache": TextValue("false")}
    assert effective.origins == {"models.m.plugins.cache": "FORETELL_MODELS__M__PLUGINS__CACHE"}


def test_no_plugins_at_all_can_be_said() -> None:
    assert load(environ={"FORETELL_PLUGINS__ENABLED": ""}).settings.plugins.enabled == ()
    assert load("[plugins]\nenabled = []\n").settings.plugins.enabled == ()


@pytest.mark.parametrize(
    ("toml", "wanted"),
    [
        ("[plugins]\nenbled = []", "there is no setting 'plugins.enbled'; did you mean 'enabled'?"),
        ('[plugins]\nenabled = "cache"', "plugins.enabled: "),
        ("[plugins]\nconfig = 3", "'plugins.config' is no setting: write plugins.config.<plugin>.<key>"),
        ("[plugins.config]\ncache = 3", "plugins.config.cache must be a table: [plugins.config.cache]"),
        ("[models]\nchurn = 3", "'models.churn' is no setting: write models.<model>.plugins.<plugin>"),
        ("[models.churn]\nplugins = 3", "'models.churn.plugins' is no setting"),
        (
            "[plugins.cache]\nttl_s = 5",
            (
                "there is no setting 'plugins.cache': what is set for a plugin stands under plugins.config; "
                "write [plugins.config.cache]"
            ),
        ),
        ("[plugins.confg.cache]\nttl_s = 5", "there is no setting 'plugins.confg'; did you mean 'config'?"),
        ("[plugins]\ncache = 5", "there is no setting 'plugins.cache'; there are: enabled, folder"),
        ("[models.churn]\nplugin = {cache = true}", "'models.churn.plugin.cache' is no setting"),
    ],
)
def test_a_mistake_is_named(toml: str, wanted: str) -> None:
    with pytest.raises(SettingsError) as error:
        load(toml)
    assert str(error.value).startswith("foretell.toml: ")
    assert wanted in str(error.value)


def test_a_plugin_s_key_in_the_wrong_place_is_led_to_the_right_one() -> None:
    with pytest.raises(SettingsError, match=r"; write FORETELL_PLUGINS__CONFIG__CACHE__TTL_S$"):
        load(environ={"FORETELL_PLUGINS__CACHE__TTL_S": "5"})
    with pytest.raises(SettingsError, match=r"; write plugins\.config\.cache\.ttl_s$"):
        load(flags={"plugins.cache.ttl_s": "5"})


def test_an_empty_table_is_no_mistake() -> None:
    assert load("[plugins.config]\n[models]\n").settings.plugins.config == {}
    assert load("[plugins.config.cache]\n").settings.plugins.config == {"cache": {}}
