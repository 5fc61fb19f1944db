"""Settings come from a file, the environment and flags, in rising order of precedence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.errors import SettingsError
from foretell.settings import EffectiveSettings, Settings, load_settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, so that the project's own foretell.toml is out of the way."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(
    *,
    environ: dict[str, str] | None = None,
    toml: str | None = None,
    flags: dict[str, tuple[str, Any]] | None = None,
) -> EffectiveSettings:
    file = None
    if toml is not None:
        file = Path("settings.toml")
        file.write_text(toml, encoding="utf-8")
    return load_settings(environ=environ or {}, file=file, flags=flags)


def complaint(**sources: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        load(**sources)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_any_source_every_setting_is_its_default() -> None:
    effective = load(environ={"PATH": "/bin", "foretell_server__port": "1"})
    assert effective.settings == Settings()
    assert effective.origins == {}
    assert {origin for _, _, origin in effective.rows()} == {"default"}


def test_flags_go_before_the_environment_and_that_before_the_file() -> None:
    toml = '[server]\nhost = "file"\nport = 1\ndrain_s = 1\n'
    environ = {"FORETELL_SERVER__PORT": "2", "FORETELL_SERVER__DRAIN_S": "2"}
    effective = load(toml=toml, environ=environ, flags={"server.drain_s": ("--drain", 3)})
    server = effective.settings.server
    assert (server.host, server.port, server.drain_s) == ("file", 2, 3)
    assert effective.origins == {
        "server.host": "settings.toml",
        "server.port": "FORETELL_SERVER__PORT",
        "server.drain_s": "--drain",
    }


def test_the_rows_are_in_the_order_of_declaration_with_their_origins() -> None:
    rows = load(environ={"FORETELL_LOG__LEVEL": "debug"}).rows()
    assert rows[:2] == [("server.host", "127.0.0.1", "default"), ("server.port", 8000, "default")]
    assert ("log.level", "debug", "FORETELL_LOG__LEVEL") in rows
    assert [key.partition(".")[0] for key, _, _ in rows] == sorted(
        (key.partition(".")[0] for key, _, _ in rows),
        key=[
            "server",
            "grpc",
            "store",
            "limits",
            "engine",
            "log",
            "admin",
            "platform",
            "plugins",
            "models",
        ].index,
    )


# ------------------------------------------------------------------ the file


def test_the_file_in_the_working_directory_is_read(folder: Path) -> None:
    (folder / "foretell.toml").write_text("[server]\nport = 1234\n")
    effective = load()
    assert effective.settings.server.port == 1234
    assert effective.origins == {"server.port": "foretell.toml"}


def test_a_variable_names_another_file(folder: Path) -> None:
    (folder / "foretell.toml").write_text("[server]\nport = 1\n")
    (folder / "other.toml").write_text("[server]\nport = 2\n")
    assert load(environ={"FORETELL_CONFIG": "other.toml"}).settings.server.port == 2
    assert load(environ={"FORETELL_CONFIG": ""}).settings.server.port == 1


def test_a_file_that_is_named_goes_before_the_variable(folder: Path) -> None:
    (folder / "other.toml").write_text("[server]\nport = 2\n")
    effective = load(toml="[server]\nport = 3\n", environ={"FORETELL_CONFIG": "other.toml"})
    assert effective.settings.server.port == 3


@pytest.mark.parametrize(
    ("environ", "file"),
    [({"FORETELL_CONFIG": "absent.toml"}, None), ({}, Path("absent.toml"))],
    ids=["variable", "argument"],
)
def test_a_file_that_is_named_must_be_there(environ: dict[str, str], file: Path | None) -> None:
    with pytest.raises(SettingsError, match=r"^absent\.toml does not exist: create it, or name another"):
        load_settings(environ=environ, file=file)


def test_only_a_regular_file_is_read(folder: Path) -> None:
    os.mkfifo(folder / "pipe.toml")
    for name in ("pipe.toml", str(folder)):
        with pytest.raises(SettingsError, match=r"is not a regular file|Is a directory") as caught:
            load_settings(environ={}, file=Path(name))
        assert str(caught.value).count(name) == 1


def test_no_settings_file_is_longer_than_a_mebibyte(folder: Path) -> None:
    with pytest.raises(SettingsError, match="has more than 1048576 bytes"):
        load(toml="#" * 2**20 + "\n")
    assert load(toml="#" * (2**20 - 1) + "\n").settings == Settings()


UNREADABLE = {
    "not TOML": b"[server\n",
    "a key twice": b"[server]\nport = 1\nport = 2\n",
    "not UTF-8": b"[server]\nhost = '\xff'\n",
    "nested deeply": b"x = " + b"[" * 100_000,
}


@pytest.mark.parametrize("raw", UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_that_is_no_toml_is_named(folder: Path, raw: bytes) -> None:
    (folder / "foretell.toml").write_bytes(raw)
    assert complaint().startswith("foretell.toml cannot be read: ")


def test_a_section_must_be_a_table() -> None:
    assert complaint(toml="server = 1") == "settings.toml: server must be a table: [server]"
    assert complaint(toml="servre = 1").startswith("settings.toml: there is no section 'servre'")
    assert complaint(toml="[[server]]\nport = 1") == "settings.toml: server must be a table: [server]"


def test_an_empty_section_is_no_error_but_an_unknown_one_is() -> None:
    assert load(toml="[server]\n").settings == Settings()
    assert "there is no section 'sever'; did you mean 'server'?" in complaint(toml="[sever]\n")


# ------------------------------------------------------------------ misspelt

MISSPELT: dict[str, tuple[dict[str, Any], str]] = {
    "section in the file": (
        {"toml": "[servre]\nport = 1"},
        "settings.toml: there is no section 'servre'; did you mean 'server'?",
    ),
    "key in the file": (
        {"toml": "[server]\nprot = 1"},
        "settings.toml: there is no setting 'server.prot'; did you mean 'port'?",
    ),
    "section in the environment": (
        {"environ": {"FORETELL_LIMIT__MAX_ROWS": "1"}},
        "FORETELL_LIMIT__MAX_ROWS: there is no section 'limit'; did you mean 'limits'?",
    ),
    "key in the environment": (
        {"environ": {"FORETELL_LIMITS__MAX_ROW": "1"}},
        "FORETELL_LIMITS__MAX_ROW: there is no setting 'limits.max_row'; did you mean 'max_rows'?",
    ),
    "section in a flag": (
        {"flags": {"lgo.level": ("--set lgo.level", "info")}},
        "--set lgo.level: there is no section 'lgo'; did you mean 'log'?",
    ),
    "key in a flag": (
        {"flags": {"log.levl": ("--set log.levl", "info")}},
        "--set log.levl: there is no setting 'log.levl'; did you mean 'level'?",
    ),
    "nothing like any section": (
        {"toml": "[xyz]\n"},
        "settings.toml: there is no section 'xyz'; there are: server, grpc, store, limits, engine, log, admin, platform, plugins, models",
    ),
    "nothing like any key": (
        {"environ": {"FORETELL_SERVER__XYZ": "1"}},
        "FORETELL_SERVER__XYZ: there is no setting 'server.xyz'; there are: host, port, drain_s, linger_s, workers, hang_s, compress_min_bytes, accelerated",
    ),
    "one underscore": (
        {"environ": {"FORETELL_HOST": "1"}},
        "FORETELL_HOST is not a setting: write FORETELL_<SECTION>__<KEY>; did you mean FORETELL_SERVER__HOST?",
    ),
    "one underscore between section and key": (
        {"environ": {"FORETELL_LIMITS_MAX_ROWS": "1"}},
        (
            "FORETELL_LIMITS_MAX_ROWS is not a setting: write FORETELL_<SECTION>__<KEY>; "
            "did you mean FORETELL_LIMITS__MAX_ROWS?"
        ),
    ),
    "nothing like any variable": (
        {"environ": {"FORETELL_XYZ": "1"}},
        "FORETELL_XYZ is not a setting: write FORETELL_<SECTION>__<KEY>",
    ),
    "a key of no letters": (
        {"environ": {"FORETELL_SERVER__": "1"}},
        "FORETELL_SERVER__: there is no setting 'server.'; there are: host, port, drain_s, linger_s, workers, hang_s, compress_min_bytes, accelerated",
    ),
    "an empty key in the file": (
        {"toml": '[server]\n"" = 1'},
        "settings.toml: there is no setting 'server.'; there are: host, port, drain_s, linger_s, workers, hang_s, compress_min_bytes, accelerated",
    ),
    "a table where a value should be": (
        {"toml": "[server.tls]\ncert = 1"},
        "settings.toml: there is no setting 'server.tls'; there are: host, port, drain_s, linger_s, workers, hang_s, compress_min_bytes, accelerated",
    ),
}


@pytest.mark.parametrize(("sources", "wanted"), MISSPELT.values(), ids=MISSPELT)
def test_a_misspelt_setting_is_named_with_its_source_and_the_likely_word(
    sources: dict[str, Any], wanted: str
) -> None:
    assert complaint(**sources) == wanted


# ------------------------------------------------------------------ values

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "text for a number": (
        {"toml": '[server]\nport = "8000"'},
        "settings.toml: server.port: expected a whole number from 0 to 65535, got '8000'",
    ),
    "a fraction for an integer": (
        {"toml": "[server]\nport = 1.5"},
        "server.port: expected a whole number from 0 to 65535, got 1.5",
    ),
    "a boolean for a number": (
        {"toml": "[server]\nport = true"},
        "server.port: expected a whole number from 0 to 65535, got True",
    ),
    "a list": ({"toml": "[server]\nhost = []"}, "server.host: expected text that is not empty, got []"),
    "a number for text": (
        {"toml": "[server]\nhost = 1"},
        "server.host: expected text that is not empty, got 1",
    ),
    "letters in the environment": (
        {"environ": {"FORETELL_SERVER__PORT": "http"}},
        "FORETELL_SERVER__PORT: server.port: expected a whole number from 0 to 65535, got 'http'",
    ),
    "a hash with what sha256sum prints behind it": (
        {"toml": f'[admin]\nkey_sha256 = "{"0" * 64}  -"'},
        "settings.toml: admin.key_sha256: expected 64 hexadecimal digits, in lower case",
    ),
    "letters in a flag": (
        {"flags": {"server.port": ("--port", "http")}},
        "--port: server.port: expected a whole number from 0 to 65535, got 'http'",
    ),
    "too large": (
        {"flags": {"server.port": ("--port", "65536")}},
        "--port: server.port: expected a whole number from 0 to 65535, got '65536'",
    ),
    "negative": (
        {"toml": "[server]\nport = -1"},
        "server.port: expected a whole number from 0 to 65535, got -1",
    ),
    "zero where it makes no sense": (
        {"environ": {"FORETELL_LIMITS__MAX_ROWS": "0"}},
        "FORETELL_LIMITS__MAX_ROWS: limits.max_rows: expected a whole number from 1 to 10000000, got '0'",
    ),
    "a fraction above one": (
        {"toml": "[log]\npredictions = 1.1"},
        "log.predictions: expected a number from 0 to 1, got 1.1",
    ),
    "not a number": (
        {"toml": "[engine]\ninline_us = nan"},
        "engine.inline_us: expected a number from 0 to 86400000000, got nan",
    ),
    "no address": (
        {"environ": {"FORETELL_SERVER__HOST": ""}},
        "FORETELL_SERVER__HOST: server.host: expected text that is not empty, got ''",
    ),
    "no folder": ({"toml": '[store]\npath = ""'}, "store.path: expected text that is not empty, got ''"),
    "more rows than any machine takes": (
        {"environ": {"FORETELL_LIMITS__MAX_ROWS": "99999999999999999999"}},
        "limits.max_rows: expected a whole number from 1 to 10000000, got '99999999999999999999'",
    ),
    "more threads than any machine takes": (
        {"environ": {"FORETELL_ENGINE__INTRA_OP_THREADS": "99999999999"}},
        "engine.intra_op_threads: expected a whole number from 1 to 1024, got '99999999999'",
    ),
    "a wrong number where none may stand": (
        {"environ": {"FORETELL_ENGINE__RUN_THREADS": "many"}},
        "engine.run_threads: expected a whole number from 1 to 1024, got 'many'",
    ),
    "bytes that are no text": (
        {"environ": {"FORETELL_STORE__PATH": "\udcff"}},
        "FORETELL_STORE__PATH: store.path: expected text in UTF-8, got '\\udcff'",
    ),
    "none of the choices": (
        {"environ": {"FORETELL_LOG__LEVEL": "loud"}},
        "FORETELL_LOG__LEVEL: log.level: expected one of 'debug', 'info', 'warning', 'error', got 'loud'",
    ),
    "none of the choices in a flag": (
        {"flags": {"log.format": ("--log-format", "xml")}},
        "--log-format: log.format: expected one of 'auto', 'json', 'text', got 'xml'",
    ),
    "another type than the choices": (
        {"toml": "[log]\nlevel = 10"},
        "settings.toml: log.level: expected one of 'debug', 'info', 'warning', 'error', got 10",
    ),
}


@pytest.mark.parametrize(("sources", "wanted"), WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_quoted_with_its_source_and_what_was_expected(
    sources: dict[str, Any], wanted: str
) -> None:
    assert wanted in complaint(**sources)


def test_text_is_read_as_what_the_setting_is() -> None:
    settings = load(
        environ={
            "FORETELL_SERVER__PORT": "0",
            "FORETELL_ENGINE__INLINE_US": "1.5",
            "FORETELL_ENGINE__RUN_THREADS": "3",
            "FORETELL_STORE__DEFAULT_MODEL": "42",
            "FORETELL_LOG__PREDICTIONS": "1",
        }
    ).settings
    assert settings.server.port == 0
    assert settings.engine.inline_us == 1.5
    assert settings.engine.run_threads == 3
    assert settings.store.default_model == "42"
    assert settings.log.predictions == 1.0


@pytest.mark.parametrize(
    "text", ["metrics,cache", " metrics, cache,", '["metrics", "cache"]', " ['metrics', 'cache']"]
)
def test_a_list_is_written_with_commas_or_as_in_toml(text: str) -> None:
    found = load_settings(environ={"FORETELL_PLUGINS__ENABLED": text}, file=None, flags={})
    assert found.settings.plugins.enabled == ("metrics", "cache")


def test_a_list_that_is_neither_is_refused_for_its_words() -> None:
    with pytest.raises(SettingsError, match=r"plugins\.enabled"):
        load_settings(environ={"FORETELL_PLUGINS__ENABLED": "[{a = 1}]"}, file=None, flags={})
    broken = load_settings(environ={"FORETELL_PLUGINS__ENABLED": '["metrics'}, file=None, flags={})
    assert broken.settings.plugins.enabled == ('["metrics',)  # which no plugin is called


def test_empty_text_unsets_what_may_be_unset() -> None:
    toml = '[store]\ndefault_model = "iris"\n[engine]\nrun_threads = 2\n'
    environ = {"FORETELL_STORE__DEFAULT_MODEL": "", "FORETELL_ENGINE__RUN_THREADS": ""}
    effective = load(toml=toml, environ=environ)
    assert effective.settings.store.default_model is None
    assert effective.settings.engine.run_threads is None
    assert effective.origins["engine.run_threads"] == "FORETELL_ENGINE__RUN_THREADS"


@given(st.integers(0, 65535))
def test_a_number_means_the_same_in_every_source(port: int) -> None:
    sources: list[dict[str, Any]] = [
        {"environ": {"FORETELL_SERVER__PORT": str(port)}},
        {"toml": f"[server]\nport = {port}\n"},
        {"flags": {"server.port": ("--port", str(port))}},
        {"flags": {"server.port": ("--port", port)}},
    ]
    assert {load(**source).settings.server.port for source in sources} == {port}


@pytest.mark.parametrize(
    "variable",
    [
        "FORETELL_SERVICE_HOST",
        "FORETELL_SERVICE_PORT",
        "FORETELL_SERVICE_PORT_HTTP",
        "FORETELL_PORT",
        "FORETELL_PORT_8000_TCP",
        "FORETELL_PORT_8000_TCP_ADDR",
        "FORETELL_PORT_8000_TCP_PROTO",
    ],
)
def test_what_kubernetes_says_of_a_service_of_this_name_is_no_setting(variable: str) -> None:
    assert load_settings(environ={variable: "tcp://10.0.0.1:8000"}).origins == {}


def test_a_key_that_stands_in_place_of_its_hash_is_not_shown() -> None:
    assert "hunter2" not in complaint(toml='[admin]\nkey_sha256 = "hunter2"')
