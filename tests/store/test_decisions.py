"""What a team decided is changed, and the rest of its model.toml stays as it is."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import pytest

from foretell.errors import ManifestError, StoreError
from foretell.store.decisions import Rollback, roll_back, set_alias, set_default
from foretell.store.edit_lock import edit_lock
from foretell.store.inspection import visible_fault
from foretell.store.model_config import ModelConfig
from tests.models import linear_model_bytes, write_model_toml, write_version

TEXT = """# ours
enabled = true  # for now
default = "champion"  # who answers

[aliases]
champion = 3  # best so far
old = 1
"""


@pytest.fixture
def model(store: Path) -> Path:
    for number in (1, 2, 3):
        write_version(store, "churn", number, linear_model_bytes())
    write_model_toml(store, "churn", TEXT)
    return store / "churn"


def written(model: Path) -> str:
    return (model / "model.toml").read_text()


def config(model: Path) -> ModelConfig:
    return ModelConfig.read(model / "model.toml")


def left_beside(model: Path) -> list[str]:
    return sorted(path.name for path in model.iterdir())


def test_the_alias_that_answers_is_rolled_back(model: Path) -> None:
    assert roll_back(model) == Rollback("champion", 3, 2, {}, pinned=False)
    assert written(model) == TEXT.replace("champion = 3", "champion = 2")
    assert roll_back(model).now == 1
    with pytest.raises(
        StoreError, match="the alias 'champion' of churn names version 1, and there is none before it"
    ):
        roll_back(model)
    assert config(model).aliases == {"champion": 1, "old": 1}


def test_a_named_alias_is_rolled_back_alone(model: Path) -> None:
    assert roll_back(model, "champion").now == 2
    with pytest.raises(StoreError, match="churn has no alias 'new'; its aliases: champion, old"):
        roll_back(model, "new")


def test_damaged_versions_are_passed_over(model: Path) -> None:
    (model / "2" / "model.onnx").write_bytes(b"")
    done = roll_back(model)
    assert (done.now, list(done.skipped)) == (1, [2])
    assert "has 0 bytes" in done.skipped[2]


def test_if_all_before_are_damaged_nothing_is_changed(model: Path) -> None:
    for number in "12":
        (model / number / "model.onnx").unlink()
    with pytest.raises(
        StoreError, match=r"none before it to go back to; version 2 is damaged: model\.onnx is absent"
    ):
        roll_back(model)
    assert written(model) == TEXT


def test_a_default_that_is_a_version_is_rolled_back(model: Path) -> None:
    write_model_toml(model.parent, "churn", "default = 3\n# end\n")
    assert roll_back(model) == Rollback(None, 3, 2, {}, pinned=False)
    assert written(model) == "default = 2\n# end\n"


@pytest.mark.parametrize(
    "text", [None, "", "# ours\n[aliases]\nold = 1\n"], ids=["no file", "empty", "aliases"]
)
def test_without_a_default_the_model_stays_with_the_version_before(model: Path, text: str | None) -> None:
    (model / "model.toml").unlink()
    if text is not None:
        write_model_toml(model.parent, "churn", text)
    assert roll_back(model) == Rollback(None, 3, 2, {}, pinned=True)
    assert config(model).default == 2
    if text:
        assert "# ours" in written(model)
        assert config(model).aliases == {"old": 1}


def test_an_alias_of_a_version_that_is_gone_goes_to_the_highest_below(model: Path) -> None:
    (model / "3").rename(model.parent / "gone")
    assert roll_back(model).now == 2


def test_a_model_without_versions_has_nothing_to_go_back_to(store: Path) -> None:
    write_model_toml(store, "empty", "")
    with pytest.raises(StoreError, match="empty has no versions"):
        roll_back(store / "empty")


def test_the_default_is_set_and_removed(model: Path) -> None:
    set_default(model, 2)
    assert written(model) == TEXT.replace('"champion"', "2")
    set_default(model, "old")
    assert written(model) == TEXT.replace('"champion"', '"old"')
    set_default(model, None)
    set_default(model, None)
    assert config(model).default is None
    assert "champion = 3  # best so far" in written(model)


def test_a_default_must_exist(model: Path) -> None:
    with pytest.raises(StoreError, match="churn has no version 7; it has: 1, 2, 3"):
        set_default(model, 7)
    with pytest.raises(ManifestError, match="names the alias 'new'"):
        set_default(model, "new")
    assert written(model) == TEXT


def test_what_cannot_be_written_is_told(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("foretell.store.decisions.replace_file", fail)
    with pytest.raises(StoreError, match=r"model\.toml cannot be written: Permission denied"):
        roll_back(model)


def test_edits_at_the_same_moment_all_survive(model: Path) -> None:
    def edit(number: int) -> None:
        for step in range(5):
            set_alias(model, f"a{number}-{step}", 1)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(edit, range(8)))
    made = {f"a{number}-{step}": 1 for number in range(8) for step in range(5)}
    assert config(model).aliases == {"champion": 3, "old": 1, **made}
    assert left_beside(model) == ["1", "2", "3", "model.toml"]


def test_edits_by_other_processes_survive(model: Path) -> None:
    commands = [
        [sys.executable, "-m", "foretell", "models", "alias", "churn", f"a{number}", "1"]
        for number in range(4)
    ]
    started = [subprocess.Popen([*command, "--store", str(model.parent)]) for command in commands]
    assert [process.wait(120) for process in started] == [0] * 4
    assert config(model).aliases.keys() == {"champion", "old", "a0", "a1", "a2", "a3"}


def test_a_lock_that_a_crash_left_behind_holds_nobody_up(model: Path) -> None:
    (model / ".model.toml.lock").touch()
    assert roll_back(model).now == 2
    assert left_beside(model) == ["1", "2", "3", "model.toml"]


def test_who_edits_for_too_long_is_told_of(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretell.store.edit_lock._PATIENCE_S", 0.05)
    with (
        edit_lock(model / "model.toml"),
        pytest.raises(StoreError, match=r"somebody else has been editing .*model\.toml for 0\.05 s"),
    ):
        roll_back(model)
    assert written(model) == TEXT
    assert roll_back(model).now == 2


def test_where_there_are_no_locks_what_others_wrote_meanwhile_is_kept(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = iter([TEXT + "new = 3\n", TEXT + "new = 3\nnewer = 3\n"])

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    def look(folder: Path) -> str | None:
        for text in islice(others, 1):
            write_model_toml(model.parent, "churn", text)
        return visible_fault(folder)

    monkeypatch.setattr("fcntl.flock", refuse)
    monkeypatch.setattr("foretell.store.decisions.visible_fault", look)
    assert roll_back(model) == Rollback("champion", 3, 2, {}, pinned=False)
    assert config(model).aliases == {"champion": 2, "old": 1, "new": 3, "newer": 3}
    assert left_beside(model) == ["1", "2", "3", "model.toml"]


def test_a_file_that_never_holds_still_is_not_edited(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(folder: Path) -> str | None:
        write_model_toml(model.parent, "churn", written(model) + "# again\n")
        return visible_fault(folder)

    monkeypatch.setattr("foretell.store.decisions.visible_fault", look)
    with pytest.raises(StoreError, match=r"model\.toml is changed by somebody else again and again"):
        roll_back(model)
    assert config(model).aliases["champion"] == 3


# ------------------------------------------------------------------ a model.toml that is a link


@pytest.fixture
def target(model: Path, tmp_path: Path) -> Path:
    """What the model's model.toml leads to, by way of another link, as in a checkout."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (model / "model.toml").rename(checkout / "churn.toml")
    (tmp_path / "current").symlink_to("checkout")
    (model / "model.toml").symlink_to("../../current/churn.toml")
    return checkout / "churn.toml"


def test_what_a_link_leads_to_is_edited_and_the_link_stays(model: Path, target: Path) -> None:
    target.chmod(0o640)
    assert roll_back(model).now == 2
    assert (model / "model.toml").readlink() == Path("../../current/churn.toml")
    assert target.read_text() == TEXT.replace("champion = 3", "champion = 2")
    assert target.stat().st_mode & 0o777 == 0o640
    assert left_beside(target.parent) == ["churn.toml"]
    assert left_beside(model) == ["1", "2", "3", "model.toml"]


def test_edits_through_several_links_to_one_file_survive(model: Path, target: Path) -> None:
    other = write_version(model.parent, "other", 1, linear_model_bytes()).parent
    (other / "model.toml").symlink_to(target)

    def edit(number: int) -> None:
        for step in range(5):
            set_alias((model, other)[number % 2], f"a{number}-{step}", 1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(edit, range(4)))
    assert len(config(model).aliases) == 2 + 4 * 5


def test_a_link_to_nothing_yet_is_filled_if_there_is_a_place(model: Path, target: Path) -> None:
    target.unlink()
    set_default(model, 1)
    assert target.read_text() == "default = 1\n"
    shutil.rmtree(target.parent)
    with pytest.raises(
        StoreError, match=r"model\.toml is a link to .*/churn\.toml, which cannot be written: No such file"
    ):
        set_default(model, 1)
    assert (model / "model.toml").is_symlink()


def test_a_link_that_is_turned_meanwhile_is_followed_anew(
    model: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = tmp_path / "release"
    release.mkdir()
    (release / "churn.toml").write_text("default = 3\n")

    def look(folder: Path) -> str | None:
        (tmp_path / "next").symlink_to("release")
        (tmp_path / "next").rename(tmp_path / "current")
        monkeypatch.setattr("foretell.store.decisions.visible_fault", visible_fault)
        return visible_fault(folder)

    monkeypatch.setattr("foretell.store.decisions.visible_fault", look)
    assert roll_back(model) == Rollback(None, 3, 2, {}, pinned=False)
    assert target.read_text() == TEXT
    assert (release / "churn.toml").read_text() == "default = 2\n"
