"""What a team decided is changed, and the rest of its model.toml stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretell.errors import ManifestError, StoreError
from foretell.store.decisions import Rollback, roll_back, set_default
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
    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("foretell.store.decisions.replace_file", fail)
    with pytest.raises(StoreError, match=r"model\.toml cannot be written: Permission denied"):
        roll_back(model)
