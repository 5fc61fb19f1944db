"""Settings of plugins: their keys are not known here, and go through all sources like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foretell.errors import SettingsError
from foretell.settings import EffectiveSettings, load_settings


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
    assert settings.plugins.config["cache"] == {"ttl_s": 7, "nested": {"a": {"b": 1}}}
    assert settings.models["churn"].plugins["cache"]["ttl_s"] == 9
    origins = {key: origin for key, _, origin in effective.rows()}
    assert origins["plugins.config.cache.ttl_s"] == "FORETELL_PLUGINS__CONFIG__CACHE__TTL_S"
    assert origins["plugins.config.cache.nested.a.b"] == "foretell.toml"
    assert origins["models.churn.plugins.cache.ttl_s"] == "--set models.churn.plugins.cache.ttl_s"
    assert origins["plugins.enabled"] == "FORETELL_PLUGINS__ENABLED"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("true", True),
        ("[1, 2]", [1, 2]),
        ("plain", "plain"),
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ('"3"', "3"),
        ("", ""),
        ("1\nother = 2", "1\nother = 2"),
        ("a = b", "a = b"),
    ],
)
def test_a_text_means_a_toml_value_if_it_is_one(text: str, value: Any) -> None:
    found = load(environ={"FORETELL_PLUGINS__CONFIG__P__KEY": text}).settings.plugins.config["p"]["key"]
    assert found == value
    assert type(found) is type(value)


def test_what_is_switched_off_in_one_place_can_be_configured_in_another_and_back() -> None:
    off = "[models.m.plugins]\ncache = false\n"
    effective = load(off, {"FORETELL_MODELS__M__PLUGINS__CACHE__TTL_S": "1"})
    assert effective.settings.models["m"].plugins == {"cache": {"ttl_s": 1}}
    assert "models.m.plugins.cache" not in effective.origins
    on = "[models.m.plugins.cache]\nttl_s = 1\n"
    effective = load(on, {"FORETELL_MODELS__M__PLUGINS__CACHE": "false"})
    assert effective.settings.models["m"].plugins == {"cache": False}
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
        ("[models.churn]\nplugin = {cache = true}", "'models.churn.plugin.cache' is no setting"),
    ],
)
def test_a_mistake_is_named(toml: str, wanted: str) -> None:
    with pytest.raises(SettingsError) as error:
        load(toml)
    assert str(error.value).startswith("foretell.toml: ")
    assert wanted in str(error.value)


def test_an_empty_table_is_no_mistake() -> None:
    assert load("[plugins.config]\n[models]\n").settings.plugins.config == {}
    assert load("[plugins.config.cache]\n").settings.plugins.config == {"cache": {}}
