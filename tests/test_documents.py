"""Every command in README and docs is run, and gives the answer that stands there."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from foretell.settings import EffectiveSettings, Settings
from tests.documents import Document, same
from tests.servers import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "plugins" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_gives_the_answer_that_stands_there(path: Path, tmp_path: Path) -> None:
    with Document.read(path, tmp_path) as document:
        for command in document.run():
            assert same(command.expected, command.printed), (
                f"{command.source}\nstands: {command.expected}\nprints: {command.printed}"
            )


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_every_setting_is_documented_with_its_default() -> None:
    text = (ROOT / "docs" / "operating.md").read_text()
    for key, value, _ in EffectiveSettings(Settings(), {}).rows():
        shown = "none" if value is None else msgspec.json.encode(value).decode().strip('"')
        assert f"| `{key}` | {shown} |" in text


def test_no_setting_is_documented_that_does_not_exist() -> None:
    text = (ROOT / "docs" / "operating.md").read_text()
    known = {key for key, _, _ in EffectiveSettings(Settings(), {}).rows()}
    assert set(re.findall(r"^\| `(\w+\.\w+)` \|", text, re.MULTILINE)) == known


def test_every_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for path in [*DOCUMENTS, ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"(?:`|\$ )make ([a-z][a-z-]*)", path.read_text()):
            assert re.search(rf"^{target}: .*## ", makefile, re.MULTILINE), f"{path.name}: make {target}"


def test_every_folder_on_the_map_exists() -> None:
    plan = (
        (ROOT / "CONTRIBUTING.md")
        .read_text()
        .partition("## The map")[2]
        .partition("```")[2]
        .partition("```")[0]
    )
    names = re.findall(r"^( *)(\S+)", plan, re.MULTILINE)
    assert len(names) > 15
    for indent, name in names:
        assert (ROOT / ("service/foretell" if indent else "") / name).exists(), name
