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
        @cli.command()
        def wave():
            click.echo("hello all")
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
    assert "commands: greet, wave" in run("plugins", "list").out


@pytest.mark.parametrize(
    ("command", "whose"),
    [("serve", "foretell's own"), ("greet", "another plugin's")],
    ids=["own", "another's"],
)
def test_a_command_whose_name_is_taken_is_refused(run: Run, folder: Path, command: str, whose: str) -> None:
    for name, its in (("greeter", "greet"), ("second", command)):
        (folder / "plugins" / f"{name}.py").write_text(
            OBSERVER
            + f"""
    def register_commands(self, cli):
        import click
        cli.add_command(click.Command("{its}", callback=lambda: click.echo("{name}")))
"""
        )
    (folder / "foretell.toml").write_text('[plugins]\nenabled = ["greeter", "second"]\n')
    refusal = (
        f"plugin 'second' (file plugins/second.py) failed in register_commands: the command '{command}' is {whose}: "
        "give this one another name"
    )
    assert run("greet") == (1, "", f"foretell: {refusal}\n")
    assert "Serve a model store over HTTP" in run("serve", "--help").out
    code, out, err = run("plugins", "list")
    assert (code, err) == (1, f"foretell: {refusal}\n")
    assert re.search(rf"^second +FAILED +SHADOW .* {re.escape(refusal)}$", out, re.MULTILINE)
    (folder / "foretell.toml").write_text(
        '[plugins]\nenabled = ["greeter", "second"]\n[plugins.config.second]\noptional = true\n'
    )
    assert run("greet").out == "greeter\n"
    code, out, _ = run("plugins", "list")
    assert code == 0
    assert re.search(r"^second +missing ", out, re.MULTILINE)


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
    assert code == 1
    assert [line.split(maxsplit=3) for line in out.splitlines()[1:4]] == [
        ["1", "SHADOW", "one", "not: switched off for this model"],
        ["1", "SHADOW", "two"],
        ["1", "the", "model"],
    ]
    assert "FAILED: " in out.splitlines()[-1]
    code, out, _ = run("plugins", "chain", "m", "--version", "2", "--set", "plugins.enabled=two")
    assert code == 0
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
    assert '\n               enabled = ["hello_world", "tracing", "metrics", "fallback", "cache"]\n' in out
    assert (
        "it needs pytest (pip install pytest). Run it with: python -m pytest plugins/tests/test_hello" in out
    )
    code, out, _ = run("plugins", "check", "plugins/hello_world.py")
    assert code == 0, out
    assert out.count(" ok") == len(out.splitlines()) - 1
    test = folder / "plugins" / "tests" / "test_hello_world.py"
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout
    assert "18 passed" in finished.stdout


def test_new_tells_the_line_that_the_present_settings_become(run: Run, folder: Path) -> None:
    (folder / "foretell.toml").write_text('[plugins]\nenabled = ["two"]\n')
    assert 'enabled = ["hello", "two"]\n' in run("plugins", "new", "hello").out


NAMES = [
    "none",
    "true",
    "trial",
    "made_up_model",
    "plugin_contract",
    "plugin",
    "exception",
    "my_plugin",
    "my-contact",
]


def test_new_takes_every_name_that_a_plugin_may_have(run: Run, folder: Path) -> None:
    for name in NAMES:
        assert run("plugins", "new", name).code == 0
        code, out, _ = run("plugins", "check", f"plugins/{name}.py")
        assert code == 0, out
    tests = [folder / "plugins" / "tests" / f"test_{name.replace('-', '_')}.py" for name in NAMES]
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-v", "-p", "no:cacheprovider", *tests, "-k", "counts or stage"],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout
    for test in tests:
        assert finished.stdout.count(f"{test.relative_to(folder)}::") == 2, finished.stdout
    assert f"{2 * len(NAMES)} passed" in finished.stdout


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


def test_check_takes_the_name_of_a_plugin_that_is_installed_or_dropped_in(run: Run, folder: Path) -> None:
    code, out, _ = run("plugins", "check", "one")
    assert (code, out.splitlines()[0].split("  ")[0]) == (0, "It (file plugins/one.py)")
    command = [sys.executable, "-m", "foretell", "plugins", "check", "fallback"]
    printed = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=True, timeout=120
    ).stdout
    assert printed.startswith("Fallback (package foretell (foretell_plugins.fallback:Fallback))")
    code, _, err = run("plugins", "check", "cahce")
    assert code == 1
    assert err.startswith(
        "foretell: there is neither a file nor a plugin 'cahce'; did you mean 'cache'? there are: "
    )


def test_check_says_once_that_a_key_is_needed(run: Run, folder: Path) -> None:
    (folder / "plugins" / "needy.py").write_text(
        """
import msgspec
from foretell.plugin import Plugin, Stage

class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    api_key: str

class Needy(Plugin[Config]):
    stage = Stage.OBSERVE
"""
    )
    code, out, _ = run("plugins", "check", "plugins/needy.py")
    assert code == 1
    (line,) = out.splitlines()[1:]
    assert line == (
        "Its configuration can be read  FAILED: --plugin-config: object missing required field `api_key`; its keys are: "
        "api_key. Give one with --plugin-config '{\"api_key\": …}'"
    )
    assert run("plugins", "check", "plugins/needy.py", "--plugin-config", '{"api_key": "x"}').code == 0


def test_list_shows_all_whatever_is_wrong_with_one(run: Run, folder: Path) -> None:
    failing = OBSERVER + "\n    def on_start(self, host):\n        raise OSError('no such')\n"
    (folder / "plugins" / "starts.py").write_text(failing)
    (folder / "plugins" / "perhaps.py").write_text(failing.replace("on_start", "on_app_init"))
    (folder / "plugins" / "broken.py").write_text("import no_such_module_")
    (folder / "plugins" / "Big.py").write_text(OBSERVER)
    (folder / "plugins" / "cache.py").write_text(OBSERVER)
    settings = ["plugins.enabled=one,broken,starts,perhaps", "plugins.config.perhaps.optional=true"]
    code, out, err = run("plugins", "list", *(word for each in settings for word in ("--set", each)))
    assert code == 1
    assert re.match(r"foretell: plugins/broken\.py cannot be imported: .*\n$", err)
    found = {line.split()[0]: line for line in out.splitlines()}
    assert found["one"].split()[1:3] == ["yes", "SHADOW"]
    assert found["broken"].split()[1] == "FAILED"
    assert "Install the package that 'no_such_module_' comes with" in found["broken"]
    assert re.search(r"^starts +FAILED +SHADOW .* failed in on_start: OSError: no such$", out, re.MULTILINE)
    assert re.search(
        r"^perhaps +missing +SHADOW .* failed in on_app_init: OSError: no such$", out, re.MULTILINE
    )
    assert "cannot be a plugin's name: rename it" in found["Big"]
    assert "two plugins are called 'cache'" in found["cache"]
    assert found["metrics"].split()[1] == "no"


def test_list_tells_of_settings_of_plugins_that_do_not_exist(run: Run, folder: Path) -> None:
    code, out, err = run("plugins", "list", "--set", "plugins.config.cahce.ttl_s=5")
    assert code == 1
    assert re.search(r"^cache +yes", out, re.MULTILINE)
    assert err.startswith(
        "foretell: --set plugins.config.cahce.ttl_s: plugins.config.cahce: there is no plugin 'cahce'"
    )


def test_chain_reviews_as_the_server_does(run: Run, folder: Path) -> None:
    reviewer = OBSERVER + "\n    def on_models(self, loaded):\n        return {('m', 1): 'it is too old'}\n"
    (folder / "plugins" / "reviewer.py").write_text(reviewer)
    code, out, _ = run("plugins", "chain", "m", "--set", "plugins.enabled=reviewer")
    assert code == 1
    assert out.splitlines()[1] == "1                           FAILED: plugin 'reviewer': it is too old"
    assert [line.split()[0] for line in out.splitlines()[2:]] == ["2", "2"]


def test_chain_tells_what_each_plugin_tells_of_a_version(run: Run, folder: Path) -> None:
    write_version(folder / "model_store", "other", 1, linear_model_bytes())
    write_model_toml(
        folder / "model_store", "m", 'plugins.fallback = ["version:previous", "model:other", "model:gone"]\n'
    )
    code, out, _ = run("plugins", "chain", "m", "--version", "2", "--set", "log.level=error")
    assert code == 0
    assert "breaker: closed; chain: m/1, other/1; unusable: model:gone (it is not loaded)" in out
    assert re.search(r"metrics +does not wrap; observes$", out, re.MULTILINE)


def test_chain_tells_of_plugins_that_are_missing_and_of_versions_that_are_answered_for(
    run: Run, folder: Path
) -> None:
    write_version(folder / "model_store", "m", 3, linear_model_bytes())
    (folder / "model_store" / "m" / "3" / "model.onnx").unlink()
    write_model_toml(folder / "model_store", "m", 'plugins.fallback = ["version:previous"]\n')
    code, out, _ = run(
        "plugins", "chain", "m", "--version", "3", "--set", "plugins.enabled=fallback,absent",
        "--set", "plugins.config.absent.optional=true",
    )  # fmt: skip
    assert code == 1
    lines = out.splitlines()[1:]
    assert "FAILED: " in lines[0]
    assert re.fullmatch(r"3 +FALLBACK +fallback +breaker: closed; chain: m/2", lines[1])
    assert re.fullmatch(r"3 +nothing +answered in its place, degraded", lines[2])
    assert re.match(
        r" +absent +MISSING: plugins\.enabled names 'absent'|.*MISSING: --set plugins\.enabled", lines[3]
    )


def test_a_model_toml_that_names_a_plugin_that_does_not_exist_fails_that_model(
    run: Run, folder: Path
) -> None:
    write_model_toml(folder / "model_store", "m", "[plugins.cahce]\ndeterministic = false\n")
    code, out, _ = run("plugins", "chain", "m")
    assert code == 1
    wanted = "FAILED: m/model.toml: plugins.cahce: there is no plugin 'cahce'; did you mean 'cache'? there are: cache, "
    assert all(wanted in line for line in out.splitlines()[1:])


def test_the_commands_below_plugins_are_each_told_in_full_and_take_only_what_matters(run: Run) -> None:
    out = run("plugins", "--help").out
    assert "..." not in out.partition("Commands:")[2]
    for command in ("list", "chain", "new", "check"):
        out = run("plugins", command, "--help").out
        assert "--config" in out
        assert not {"--host", "--port", "--default-model"} & set(out.split())
        assert ("--store" in out.split()) is (command == "chain")
