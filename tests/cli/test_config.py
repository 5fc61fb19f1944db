"""``foretell config``: the effective settings and where each comes from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foretell.settings import Settings, load_settings
from tests.cli.conftest import Run


def test_every_setting_is_printed_with_its_value_and_origin(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "foretell.toml").write_text('[server]\nhost = "::1"\nport = 1\n')
    monkeypatch.setenv("FORETELL_LOG__PREDICTIONS", "0.5")
    code, out, _ = run("config", "--port", "9", "--set", "limits.max_rows=7", "--default-model", "iris")
    assert code == 0
    lines = [line.split(maxsplit=2) for line in out.splitlines()]
    assert lines[0] == ["setting", "value", "from"]
    assert [line[0] for line in lines[1:]] == [key for key, _, _ in load_settings(environ={}).rows()]
    assert ["server.host", '"::1"', "foretell.toml"] in lines
    assert ["server.port", "9", "--port"] in lines
    assert ["log.predictions", "0.5", "FORETELL_LOG__PREDICTIONS"] in lines
    assert ["limits.max_rows", "7", "--set limits.max_rows"] in lines
    assert ["store.default_model", '"iris"', "--default-model"] in lines
    assert ["engine.run_threads", "null", "default"] in lines


def test_columns_are_aligned(run: Run) -> None:
    lines = run("config").out.splitlines()
    at = lines[0].index("value")
    assert all(line[at - 2 : at] == "  " and line[at] != " " for line in lines)


def test_json_is_for_programs(run: Run) -> None:
    rows = json.loads(run("config", "--json", "--log-level", "debug", "--log-format", "text").out)
    found = {row["setting"]: (row["value"], row["origin"]) for row in rows}
    assert found["log.level"] == ("debug", "--log-level")
    assert found["log.format"] == ("text", "--log-format")
    assert found["server.port"] == (Settings().server.port, "default")


def test_a_file_can_be_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[server]\nport = 5\n")
    lines = run("config", "--config", "other.toml").out.splitlines()
    assert ["server.port", "5", "other.toml"] in [line.split() for line in lines]


def test_the_last_of_two_assignments_counts_and_one_goes_before_a_flag(run: Run) -> None:
    arguments = ("--port", "1", "--set", "server.port=2", "--set", "server.port=3", "--host", "a=b")
    rows = json.loads(run("config", "--json", *arguments).out)
    found = {row["setting"]: (row["value"], row["origin"]) for row in rows}
    assert found["server.port"] == (3, "--set server.port")
    assert found["server.host"] == ("a=b", "--host")


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--port", "http"], "--port: server.port: expected a whole number from 0 to 65535, got 'http'"),
        (
            ["--log-level", "loud"],
            "--log-level: log.level: expected one of 'debug', 'info', 'warning', 'error', got 'loud'",
        ),
        (["--set", "log.levl=info"], "--set log.levl: there is no setting 'log.levl'; did you mean 'level'?"),
        (
            ["--config", "absent.toml"],
            "absent.toml does not exist: create it, or name another file with --config or FORETELL_CONFIG",
        ),
    ],
    ids=["ill-typed", "no choice", "misspelt", "absent file"],
)
def test_a_bad_setting_is_one_line(run: Run, arguments: list[str], wanted: str) -> None:
    assert run("config", *arguments) == (1, "", f"foretell: {wanted}\n")


def test_no_secret_is_printed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "foretell.toml").write_text(
        """
[admin]
key_sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
[plugins.config.cache]
redis_url = "redis://me:hidden1@host:6379/0"
[plugins.config.token_bucket]
rate = 5
api_key = "hidden2"
[plugins.config.tracing.headers]
authorization = "Bearer hidden3"
[models."a.key".plugins.tracing]
ratio = 0.5
"""
    )
    for arguments in (["config"], ["config", "--json"]):
        out = run(*arguments, "--set", "plugins.config.x.password=hidden4").out
        assert "hidden" not in out
        assert "redis://me:***@host:6379/0" in out
    lines = [line.split(maxsplit=2)[:2] for line in run("config").out.splitlines()]
    assert ["admin.key_sha256", '"01234567…"'] in lines
    assert ["plugins.config.token_bucket.rate", "5"] in lines
    assert ["models.a.key.plugins.tracing.ratio", "0.5"] in lines
