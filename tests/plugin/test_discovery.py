"""Plugins are found by name, in packages and in a folder, without importing any."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from foretell.errors import PluginError
from foretell.plugin import NoConfig, Stage
from foretell.plugin.discovery import discover
from foretell.plugin.dropped_in import load_file

PLUGIN = """
from foretell.plugin import NoConfig, Plugin, Stage

class {name}(Plugin[NoConfig]):
    stage = Stage.OBSERVE
"""


def drop(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path


def package(folder: Path, points: dict[str, str], distribution: str = "acme") -> None:
    """An installed distribution with entry points, as pip leaves it."""
    info = folder / f"{distribution}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    lines = "\n".join(f"{name} = {value}" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[foretell.plugins]\n{lines}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path, for packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    importlib.invalidate_caches()
    return folder


def test_files_of_the_folder_are_plugins_by_their_stems(tmp_path: Path) -> None:
    for name in ("b_two.py", "a_one.py", "_shared.py", "notes.txt", "README.md"):
        drop(tmp_path / "plugins", name, PLUGIN.format(name="It"))
    (tmp_path / "plugins" / "package").mkdir()
    found = discover(tmp_path / "plugins")
    assert {"a_one", "b_two"} <= found.keys()
    assert not {"_shared", "notes", "README", "package"} & found.keys()
    assert found["a_one"].origin == f"file {tmp_path / 'plugins' / 'a_one.py'}"


def test_the_bundled_ones_are_found_like_anyone_s() -> None:
    found = discover(Path("absent"))
    assert found["cache"].origin == "package foretell (foretell_plugins.cache:Cache)"
    assert found["cache"].load().stage is Stage.CACHE


def test_a_package_names_its_plugins_by_entry_points(site: Path, tmp_path: Path) -> None:
    package(site, {"acme": "acme_plugin:Acme"})
    (site / "acme_plugin.py").write_text(PLUGIN.format(name="Acme"))
    found = discover(tmp_path / "absent")["acme"]
    assert found.origin == "package acme (acme_plugin:Acme)"
    assert found.load().__name__ == "Acme"


def test_nothing_is_imported_before_it_is_wanted(site: Path, tmp_path: Path) -> None:
    package(site, {"acme": "acme_that_fails:Acme"})
    (site / "acme_that_fails.py").write_text("raise SystemExit('imported')")
    drop(tmp_path / "plugins", "dropped.py", "raise SystemExit('imported')")
    found = discover(tmp_path / "plugins")
    assert {"acme", "dropped"} <= found.keys()
    assert "acme_that_fails" not in sys.modules


def test_two_plugins_of_one_name_are_refused_with_both_places(site: Path, tmp_path: Path) -> None:
    package(site, {"acme": "acme_plugin:Acme"})
    drop(tmp_path / "plugins", "acme.py", PLUGIN.format(name="Acme"))
    message = "two plugins are called 'acme': package acme (acme_plugin:Acme) and file "
    found = discover(tmp_path / "plugins")
    assert found["cache"].problem is None  # the others can be used all the same
    with pytest.raises(PluginError, match=re.escape(message) + ".*; rename or remove one of them") as error:
        found["acme"].load()
    assert found["acme"].problem == str(error.value)


def test_two_packages_with_one_name_are_refused(site: Path, tmp_path: Path) -> None:
    package(site, {"acme": "one:Acme"}, "one")
    package(site, {"acme": "two:Acme"}, "two")
    with pytest.raises(PluginError, match=r"package one \(one:Acme\) and package two \(two:Acme\)"):
        discover(tmp_path / "plugins")["acme"].load()


@pytest.mark.parametrize("name", ["Big.py", "1st.py", "a b.py", "ümlaut.py", "a.b.py"])
def test_a_name_that_cannot_be_written_in_settings_is_refused(tmp_path: Path, name: str) -> None:
    drop(tmp_path / "plugins", name, PLUGIN.format(name="It"))
    found = discover(tmp_path / "plugins")[name.removesuffix(".py")]
    with pytest.raises(PluginError, match="cannot be a plugin's name: rename it") as error:
        found.load()
    assert found.problem == str(error.value)


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    file = drop(tmp_path, "notes.txt", "")
    with pytest.raises(
        PluginError, match=rf"^plugins\.folder: {re.escape(str(file))} is a file: name the folder"
    ):
        discover(file)


def test_a_folder_that_is_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(PluginError, match=r"^plugins\.folder: .*loop cannot be read: Too many levels"):
        discover(tmp_path / "loop")


def test_a_file_that_is_a_link_to_itself_stops_only_who_enables_it(tmp_path: Path) -> None:
    (tmp_path / "loop.py").symlink_to(tmp_path / "loop.py")
    (tmp_path / "folder.py").mkdir()
    found = discover(tmp_path)
    assert "folder" not in found
    with pytest.raises(PluginError, match=r"loop\.py cannot be imported: OSError: .*Too many levels"):
        found["loop"].load()


CONFIGURED = """
import msgspec
from foretell.plugin import Plugin, Stage

{config}

class It(Plugin[Config]):
    stage = Stage.OBSERVE
"""

BROKEN = {
    "a syntax error": ("\nx = 1 +* 2\n", r"SyntaxError: invalid syntax \(line 2\): x = 1 \+\* 2$"),
    "a syntax error in what it imports": (
        "from ._shared import x\n",
        r"SyntaxError: invalid syntax \(/.*/_shared\.py, line 1\): x = ;$",
    ),
    "an import of a file beside it": (
        "from _shared import x\n",
        r"_shared.* \(line 1\)\. _shared\.py lies beside it: write `from \._shared import …`",
    ),
    "a missing module": (
        "\nimport no_such_module_\n",
        (
            r"ModuleNotFoundError: .*no_such_module_.* \(line 2\)\. Install the package that 'no_such_module_' comes "
            "with where foretell runs, or mend the import$"
        ),
    ),
    "an exception": ("\n\n1 / 0\n", r"ZeroDivisionError: division by zero \(line 3\)"),
    "an exit": ("raise SystemExit(0)", r"SystemExit: 0 \(line 1\)"),
    "no plugin": (
        "x = 1\n",
        (
            r"defines no subclass of foretell\.plugin\.Plugin: write `class Broken\(Plugin\[NoConfig\]\)` into it, or, "
            r"if it holds what other files share, let its name begin with _ and write `from \._broken import …` there$"
        ),
    ),
    "only an imported plugin": (
        "from foretell_plugins.cache import Cache\n",
        "defines no subclass of foretell.plugin.Plugin",
    ),
    "two plugins": (
        PLUGIN.format(name="One") + PLUGIN.format(name="Two"),
        r"defines 2 plugin classes \(One, Two\): put each into a file of its own",
    ),
    "no stage": (
        "from foretell.plugin import NoConfig, Plugin\nclass It(Plugin[NoConfig]): pass\n",
        "It has no stage: write `stage = Stage.OBSERVE` or another of OBSERVE, GUARD",
    ),
    "a configuration that is no Struct": (
        CONFIGURED.format(config="class Config: pass"),
        r"the configuration of It, Config, is no msgspec\.Struct: write `class Config\(msgspec\.Struct, frozen=True",
    ),
    "a configuration that is a table": (
        PLUGIN.format(name="It").replace("Plugin[NoConfig]", "Plugin[dict[str, int]]"),
        r"the configuration of It, dict, is no msgspec\.Struct",
    ),
    "a configuration that takes any key": (
        CONFIGURED.format(config="class Config(msgspec.Struct): pass"),
        (
            r"Config would take misspelt keys: write forbid_unknown_fields=True, as in `class Config\(msgspec\.Struct, "
            r"frozen=True, forbid_unknown_fields=True\)`$"
        ),
    ),
    "a table in it that does": (
        CONFIGURED.format(
            config="class Inner(msgspec.Struct): pass\n"
            "class Config(msgspec.Struct, forbid_unknown_fields=True):\n    a: list[Inner | None] = []"
        ),
        "Inner would take misspelt keys: write forbid_unknown_fields=True",
    ),
    "a stage that is none": (
        "from foretell.plugin import NoConfig, Plugin\nclass It(Plugin[NoConfig]): stage = 3\n",
        "It has no stage",
    ),
}


@pytest.mark.parametrize(("text", "wanted"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, wanted: str) -> None:
    drop(tmp_path / "plugins", "_shared.py", "x = ;\n")
    path = drop(tmp_path / "plugins", "broken.py", text)
    with pytest.raises(PluginError, match=rf"^{re.escape(str(path))}.*{wanted}"):
        load_file(path)
    assert not [name for name in sys.modules if name.endswith("broken")]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "import no_such_module_",
            "cannot be imported: ModuleNotFoundError: No module named 'no_such_module_'. Install the package that",
        ),
        ("raise ImportError('gone')", "cannot be imported: ImportError: gone"),
        ("", "cannot be imported: AttributeError"),
        ("Acme = 3", "is no plugin: it must name a subclass of foretell.plugin.Plugin"),
        ("class Acme: pass", "is no plugin"),
    ],
    ids=["a missing module", "broken", "absent", "a number", "another class"],
)
def test_a_broken_package_is_named(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, wanted: str
) -> None:
    monkeypatch.delitem(sys.modules, "acme_broken", raising=False)
    package(site, {"acme": "acme_broken:Acme"})
    (site / "acme_broken.py").write_text(text)
    found = discover(tmp_path / "absent")["acme"]
    with pytest.raises(PluginError, match=rf"package acme \(acme_broken:Acme\) {wanted}"):
        found.load()
    sys.modules.pop("acme_broken", None)


def test_two_files_of_one_name_in_two_folders_are_two_modules(tmp_path: Path) -> None:
    one = drop(tmp_path / "one", "same.py", PLUGIN.format(name="One"))
    two = drop(tmp_path / "two", "same.py", PLUGIN.format(name="Two"))
    assert (load_file(one).__name__, load_file(two).__name__) == ("One", "Two")


def test_code_that_files_share_lies_beside_them_under_a_name_with_an_underscore(tmp_path: Path) -> None:
    text = (
        "from ._shared import greeting\n"
        + PLUGIN
        + "    greeting = greeting\n    def late(self):\n        from ._late import x\n        return x\n"
    )
    for folder in ("one", "two"):
        drop(tmp_path / folder, "_shared.py", f"greeting = '{folder}'\n")
        drop(tmp_path / folder, "_late.py", "x = 1\n")
        # Nothing here may hide what is installed, nor be had from elsewhere.
        drop(tmp_path / folder, "json.py", "raise SystemExit('the wrong one')\n")
    path, modules = list(sys.path), {name for name in sys.modules if name.startswith("_")}
    one = load_file(drop(tmp_path / "one", "a.py", text.format(name="A")))
    two: Any = load_file(drop(tmp_path / "two", "my-b.py", text.format(name="B")))
    same: Any = load_file(drop(tmp_path / "one", "c.py", text.format(name="C")))
    assert (vars(one)["greeting"], two.greeting, same.greeting) == ("one", "two", "one")
    assert two(NoConfig()).late() == 1
    assert sys.path == path
    assert {name for name in sys.modules if name.startswith("_")} == modules


def test_another_name_for_the_only_class_is_no_second_class(tmp_path: Path) -> None:
    text = PLUGIN.format(name="It") + "\nOldName = It\n"
    assert load_file(drop(tmp_path / "plugins", "it.py", text)).__name__ == "It"


def test_a_file_can_hold_a_config_and_helpers_beside_its_plugin(tmp_path: Path) -> None:
    text = """
import msgspec
from foretell.plugin import Plugin, Stage

class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    loud: bool = False

class Helper: pass

class It(Plugin[Config]):
    stage = Stage.GUARD
"""
    found = load_file(drop(tmp_path / "plugins", "it.py", text))
    assert found.config_type.__name__ == "Config"
