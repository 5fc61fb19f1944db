"""Plugins are found by name, in packages and in a folder, without importing any."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

from foretell.errors import PluginError
from foretell.plugin import Stage
from foretell.plugin.discovery import discover, load_file

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
    with pytest.raises(PluginError, match=re.escape(message) + ".*; rename or remove one of them"):
        discover(tmp_path / "plugins")


def test_two_packages_with_one_name_are_refused(site: Path, tmp_path: Path) -> None:
    package(site, {"acme": "one:Acme"}, "one")
    package(site, {"acme": "two:Acme"}, "two")
    with pytest.raises(PluginError, match=r"package one \(one:Acme\) and package two \(two:Acme\)"):
        discover(tmp_path / "plugins")


@pytest.mark.parametrize("name", ["Big.py", "1st.py", "a b.py", "ümlaut.py", "a.b.py"])
def test_a_name_that_cannot_be_written_in_settings_is_refused(tmp_path: Path, name: str) -> None:
    drop(tmp_path / "plugins", name, PLUGIN.format(name="It"))
    with pytest.raises(PluginError, match="cannot be a plugin's name: rename it"):
        discover(tmp_path / "plugins")


BROKEN = {
    "a syntax error": ("class:\n", r"SyntaxError: .* \(line 1\)"),
    "a missing module": (
        "\nimport no_such_module_\n",
        r"ModuleNotFoundError: .*no_such_module_.* \(line 2\)",
    ),
    "an exception": ("\n\n1 / 0\n", r"ZeroDivisionError: division by zero \(line 3\)"),
    "an exit": ("raise SystemExit(0)", r"SystemExit: 0 \(line 1\)"),
    "no plugin": ("x = 1\n", "defines no subclass of foretell.plugin.Plugin"),
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
    "a stage that is none": (
        "from foretell.plugin import NoConfig, Plugin\nclass It(Plugin[NoConfig]): stage = 3\n",
        "It has no stage",
    ),
}


@pytest.mark.parametrize(("text", "wanted"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, wanted: str) -> None:
    path = drop(tmp_path / "plugins", "broken.py", text)
    with pytest.raises(PluginError, match=rf"^{re.escape(str(path))}.*{wanted}"):
        load_file(path)
    assert not [name for name in sys.modules if name.endswith("_broken")]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("raise ImportError('gone')", "cannot be imported: ImportError: gone"),
        ("", "cannot be imported: AttributeError"),
        ("Acme = 3", "is no plugin: it must name a subclass of foretell.plugin.Plugin"),
        ("class Acme: pass", "is no plugin"),
    ],
    ids=["broken", "absent", "a number", "another class"],
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
