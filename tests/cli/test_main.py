"""The command as such: help, version, exit codes, and messages instead of tracebacks."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import pytest

from foretell.cli.main import _COMMANDS, cli
from tests.cli.conftest import Run

COMMANDS = list(_COMMANDS)
EVERY_COMMAND = [
    *([name] for name in COMMANDS),
    *(["models", name] for name in ("list", "show", "alias", "verify")),
    *(["plugins", name] for name in ("list", "chain", "new", "check")),
]


def process(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "foretell", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_lists_every_command_with_one_line(run: Run, option: str) -> None:
    code, out, err = run(option)
    assert (code, err) == (0, "")
    for name, (_, _, line) in _COMMANDS.items():
        assert any(row.split(maxsplit=1) == [name, line] for row in out.splitlines())
    assert "Begin with `foretell serve`" in out


@pytest.mark.parametrize("path", EVERY_COMMAND, ids=" ".join)
def test_every_command_has_help(run: Run, path: list[str]) -> None:
    code, out, err = run(*path, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: foretell {' '.join(path)}")


@pytest.mark.parametrize("path", [[], *EVERY_COMMAND], ids=lambda path: " ".join(path) or "foretell")
def test_help_is_laid_out_as_it_is_written(run: Run, path: list[str]) -> None:
    out = run(*path, "--help").out
    assert "\\" not in out
    assert [character for character in out if not character.isprintable() and character != "\n"] == []
    assert all(not line.strip().partition("foretell ")[0] for line in _examples(out))


def _examples(out: str) -> list[str]:
    """The lines below the heading of examples: each is a command."""
    return out.partition("Examples:\n")[2].partition("\n\n")[0].splitlines()


@pytest.mark.parametrize("path", [["serve"], ["predict"], ["publish"]], ids=" ".join)
def test_the_commands_that_most_begin_with_have_examples(run: Run, path: list[str]) -> None:
    assert len(_examples(run(*path, "--help").out)) >= 2


@pytest.mark.parametrize("path", EVERY_COMMAND, ids=" ".join)
def test_every_option_says_what_it_does(path: list[str]) -> None:
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    assert [option.name for option in options if not option.help] == []


def test_the_one_line_of_help_is_the_command_s_own() -> None:
    context = click.Context(cli)
    assert cli.list_commands(context) == COMMANDS
    for name in COMMANDS:
        assert cli.get_command(context, name) is not None


def test_the_version_is_the_distribution_s(run: Run) -> None:
    code, out, _ = run("--version")
    assert code == 0
    assert out == f"foretell, version {version('foretell')}\n"


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["sreve"], "No such command 'sreve'. Did you mean 'serve'?"),
        (["modles", "list"], "No such command 'modles'. Did you mean 'models'?"),
        (["xyz"], "No such command 'xyz'."),
        (["--colour"], "No such option"),
        (["models", "show"], "Missing argument 'NAME'"),
        (["models", "alias", "iris", "champion", "0"], "0 is not in the range x>=1"),
        (["config", "--set", "port=1"], "'port=1' is not SECTION.KEY=VALUE"),
        (
            ["publish", __file__, "--name", "m", "--sample", __file__, "--description", "\udcff"],
            "'\\udcff' is not text in UTF-8",
        ),
        (["config", "--set", "server.port"], "'server.port' is not SECTION.KEY=VALUE"),
    ],
    ids=[
        "command",
        "group",
        "nothing like any command",
        "option",
        "missing argument",
        "version zero",
        "no section",
        "bytes that are no text",
        "no value",
    ],
)
def test_a_wrong_use_is_explained_with_exit_code_2(run: Run, arguments: list[str], wanted: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("Usage: foretell")
    assert wanted in err


def test_an_error_is_one_line_with_exit_code_1(run: Run) -> None:
    code, out, err = run("models", "list", "--store", "nowhere")
    assert (code, out) == (1, "")
    assert err.startswith("foretell: the model store 'nowhere' does not exist")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "start"),
    [
        (["--version"], 0, ""),
        (["models", "list", "--store", "nowhere"], 1, "foretell: the model store 'nowhere'"),
        (["serve", "--store", "nowhere"], 1, "foretell: the model store 'nowhere'"),
        (["serve", "--set", "server.prot=1"], 1, "foretell: --set server.prot: there is no setting"),
        (["sreve"], 2, "Usage: foretell"),
    ],
    ids=["good", "absent store", "serve an absent store", "misspelt setting", "unknown command"],
)
def test_a_shell_sees_the_exit_code_and_no_traceback(
    tmp_path: Path, arguments: list[str], code: int, start: str
) -> None:
    done = process(*arguments, cwd=tmp_path)
    assert done.returncode == code
    assert done.stderr.startswith(start)
    assert bool(done.stderr) is bool(code)
    assert "Traceback" not in done.stderr


def test_the_console_command_is_the_same(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("foretell")
    done = subprocess.run([command, "config", "--json"], capture_output=True, check=True, cwd=tmp_path)
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    assert rows[0] == {"setting": "server.host", "value": "127.0.0.1", "origin": "default"}
