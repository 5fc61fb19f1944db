"""``foretell plugins``: list, chain, new and check."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.models import linear_model_bytes, write_model_toml, write_version

OBSERVER = """
from foretell.plugin import NoConfig, Plugin, Stage

class It(Plugin[NoConfig]):
    stage = Stage.SHADOW

    def wrap_predict(self, call_next, model):
        async def predict(request):
            return await call_next(request)
        return predict
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two plugins and a store of one model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugins").mkdir()
    for name in ("one", "two"):
        (tmp_path / "plugins" / f"{name}.py").write_text(OBSERVER)
    store = tmp_path / "model_store"
    for number in (1, 2):
        write_version(store, "m", number, linear_model_bytes())
    return tmp_path


def rows(out: str) -> list[list[str]]:
    return [line.split(maxsplit=3) for line in out.splitlines()[1:]]


def test_list_tells_which_are_enabled_and_where_each_comes_from(run: Run, folder: Path) -> None:
    code, out, _ = run("plugins", "list", "--set", "plugins.enabled=two")
    assert code == 0
    assert ["two", "yes", "SHADOW", "file plugins/two.py"] in rows(out)
    assert ["one", "no", "file", "plugins/one.py"] in [line.split() for line in out.splitlines()]
    assert any(line.split()[:2] == ["cache", "no"] for line in out.splitlines())


def test_list_tells_why_an_optional_one_is_missing(run: Run, folder: Path) -> None:
    (folder / "plugins" / "broken.py").write_text("import no_such_module_")
    settings = ("--set", "plugins.enabled=broken,absent", "--set", "plugins.config.broken.optional=true")
    code, out, err = run("plugins", "list", *settings)
    assert code == 1
    assert "plugins.enabled names 'absent', which is not there" in err
    code, out, err = run("plugins", "list", *settings, "--set", "plugins.config.absent.optional=true")
    assert code == 0
    assert re.search(r"^broken +missing ", out, re.MULTILINE)
    assert "cannot be imported: ModuleNotFoundError" in out
    assert re.search(r"^absent +missing +absent ", out, re.MULTILINE)


def test_a_plugin_adds_commands(run: Run, folder: Path) -> None:
    (folder / "plugins" / "greeter.py").write_text(
        OBSERVER.replace("SHADOW", "OBSERVE")
        + """
    def register_commands(self, cli):
        import click
        @cli.command("greet")
        @click.argument("whom")
        def greet(whom):
            click.echo(f"hello {whom}")
        @cli.command("serve")
        def serve():
            click.echo("not this one")
"""
    )
    code, _, err = run("greet", "you")
    assert code == 2
    assert "No such command 'greet'" in err
    (folder / "foretell.toml").write_text('[plugins]\nenabled = ["greeter"]\n')
    assert run("greet", "you") == (0, "hello you\n", "")
    assert "whom" in run("greet", "--help").out.lower()
    code, _, err = run("gret")
    assert "Did you mean 'greet'?" in err
    assert "commands: greet, serve" in run("plugins", "list").out
    assert "Serve a model store over HTTP." in run("serve", "--help").out


def test_a_broken_plugin_does_not_keep_the_commands_from_working(run: Run, folder: Path) -> None:
    (folder / "plugins" / "broken.py").write_text("import no_such_module_")
    (folder / "foretell.toml").write_text('[plugins]\nenabled = ["broken"]\n')
    assert run("models", "list").code == 0
    assert run("--help").code == 0
    code, _, err = run("greet")
    assert code == 1
    assert "broken.py cannot be imported" in err


def test_chain_shows_every_version_and_why_a_plugin_is_left_out(run: Run, folder: Path) -> None:
    write_model_toml(folder / "model_store", "m", "[plugins]\none = false\n")
    write_version(folder / "model_store", "m", 3, b"no model", manifest=False)
    code, out, _ = run("plugins", "chain", "m", "--set", "plugins.enabled=one,two")
    assert code == 0
    assert [line.split(maxsplit=3) for line in out.splitlines()[1:4]] == [
        ["1", "SHADOW", "one", "not: switched off for this model"],
        ["1", "SHADOW", "two"],
        ["1", "the", "model"],
    ]
    assert "FAILED: " in out.splitlines()[-1]
    code, out, _ = run("plugins", "chain", "m", "--version", "2", "--set", "plugins.enabled=two")
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["2", "2"]


def test_chain_names_what_is_not_there(run: Run, folder: Path) -> None:
    code, _, err = run("plugins", "chain", "n")
    assert code == 1
    assert "'n'" in err
    code, _, err = run("plugins", "chain", "m", "--version", "9")
    assert code == 1
    assert "m has no version 9 that loads; it has: 1, 2" in err


def test_new_writes_a_plugin_that_works_and_a_test_that_passes(run: Run, folder: Path) -> None:
    code, out, _ = run("plugins", "new", "hello_world")
    assert code == 0
    assert 'add "hello_world" to `enabled`' in out
    code, out, _ = run("plugins", "check", "plugins/hello_world.py")
    assert code == 0, out
    assert out.count(" ok") == len(out.splitlines()) - 1
    test = folder / "plugins" / "tests" / "test_hello_world.py"
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout
    assert "17 passed" in finished.stdout


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("one", "there is a plugin 'one' already: file plugins/one.py"),
        ("cache", "there is a plugin 'cache' already: package foretell"),
        ("Big", "'Big' cannot be a plugin's name"),
        ("class", "'class' cannot be a plugin's name"),
        ("../x", "'../x' cannot be a plugin's name"),
    ],
)
def test_new_refuses_a_name_that_cannot_be(run: Run, folder: Path, name: str, wanted: str) -> None:
    code, _, err = run("plugins", "new", name)
    assert code == 1
    assert wanted in err


def test_new_overwrites_nothing(run: Run, folder: Path) -> None:
    test = folder / "plugins" / "tests" / "test_mine.py"
    test.parent.mkdir()
    test.write_text("mine")
    code, _, err = run("plugins", "new", "mine")
    assert code == 1
    assert "plugins/tests/test_mine.py is there already" in err
    assert test.read_text() == "mine"
    assert not (folder / "plugins" / "mine.py").exists()


def test_check_tells_what_a_plugin_breaks(run: Run, folder: Path) -> None:
    (folder / "plugins" / "bad.py").write_text(
        OBSERVER.replace("return await call_next(request)", "raise ValueError('oh')")
    )
    code, out, _ = run("plugins", "check", "plugins/bad.py")
    assert code == 1
    assert "A good request gets the model's answer" in out
    assert "FAILED: it failed: wrap_predict: ValueError: oh" in out


@pytest.mark.parametrize("leaves", ["sys.exit(0)", "raise GeneratorExit", "raise asyncio.CancelledError"])
def test_check_does_not_pass_a_plugin_that_ends_it(run: Run, folder: Path, leaves: str) -> None:
    (folder / "plugins" / "ends.py").write_text(f"""
import asyncio, sys
from foretell.plugin import Plugin, Stage

class Ends(Plugin):
    stage = Stage.OBSERVE

    def observe(self, records):
        {leaves}
""")
    code, out, _ = run("plugins", "check", "plugins/ends.py")
    assert code == 1
    (line,) = [line for line in out.splitlines() if "FAILED" in line]
    assert line.startswith("`observe` takes answers, refusals and failures")


def test_chain_shows_an_optional_plugin_that_fails_to_wrap(run: Run, folder: Path) -> None:
    (folder / "plugins" / "bad.py").write_text(
        OBSERVER.replace("        async def", "        raise ValueError('oh')\n        async def")
    )
    (folder / "foretell.toml").write_text(
        '[plugins]\nenabled = ["bad", "two"]\n[plugins.config.bad]\noptional = true\n'
    )
    code, out, err = run("plugins", "chain", "m", "--version", "1")
    assert code == 0
    assert [line.split(maxsplit=3)[1:] for line in out.splitlines()[1:3]] == [
        [
            "SHADOW",
            "bad",
            "not: plugin 'bad' (file plugins/bad.py) failed to wrap m version 1: ValueError: oh",
        ],
        ["SHADOW", "two"],
    ]
    assert err.count("plugin missing") == 1


def test_check_takes_a_configuration(run: Run, folder: Path) -> None:
    code, out, _ = run("plugins", "check", "plugins/one.py", "--plugin-config", '{"x": 1}')
    assert code == 1
    assert "unknown field `x`" in out
    for wrong in ("{", "[]", "1"):
        code, _, err = run("plugins", "check", "plugins/one.py", "--plugin-config", wrong)
        assert code == 2
        assert "is no JSON object" in err
