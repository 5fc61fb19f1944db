"""model.toml: read with care, and changed without touching what others wrote in it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from foretell.errors import InvalidNameError, ManifestError, StoreError
from foretell.store.decisions import set_alias
from foretell.store.model_config import ModelConfig, ModelLimits
from tests.models import write_model_toml


@pytest.fixture
def model(store: Path) -> Path:
    """The folder of a model with versions 1 and 2, without a model.toml."""
    for number in ("1", "2"):
        (store / "churn" / number).mkdir(parents=True)
    return store / "churn"


def written(model: Path) -> str:
    return (model / "model.toml").read_bytes().decode()


def test_an_absent_file_means_the_defaults(tmp_path: Path) -> None:
    assert ModelConfig.read(tmp_path / "model.toml") == ModelConfig(
        enabled=True, default=None, aliases={}, limits=ModelLimits(None)
    )


def test_every_key_is_read() -> None:
    raw = b'enabled = false\ndefault = "b"\n[aliases]\na = 1\nb = 2\n[limits]\nmax_rows = 10\n'
    config = ModelConfig.parse(raw, "model.toml")
    assert config == ModelConfig(False, "b", {"a": 1, "b": 2}, ModelLimits(10))
    assert ModelConfig.parse(b"default = 3", "model.toml").default == 3


BROKEN = {
    "unknown key": (b"enable = true", "enable"),
    "unknown key in a table": (b"[limits]\nrows = 1", "$.limits"),
    "ill-typed": (b'enabled = "yes"', "$.enabled"),
    "a default of zero": (b"default = 0", "$.default"),
    "a fractional default": (b"default = 1.5", "$.default"),
    "a default alias that is not there": (
        b'default = "champion"',
        "'champion', which is not under [aliases]",
    ),
    "a default alias among others": (b'default = "x"\n[aliases]\nb = 1\na = 1', "(a, b)"),
    "an empty default": (b'default = ""', "''"),
    "an alias that is a number": (b"[aliases]\n7 = 1", "'7' cannot be an alias"),
    "an alias that is a path": (b'[aliases]\n"../x" = 1', "'../x' cannot be an alias"),
    "an alias of version 0": (b"[aliases]\na = 0", "$.aliases"),
    "not TOML": (b"=", "line 1"),
    "not UTF-8": (b"\xff", "utf-8"),
    "the same key twice": (b"enabled = true\nenabled = false", "overwrite"),
    "deep nesting": (b"a = " + b"[" * 100_000, "recursion"),
}


@pytest.mark.parametrize(("raw", "wanted"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_with_its_name_and_the_place(raw: bytes, wanted: str) -> None:
    with pytest.raises(ManifestError) as caught:
        ModelConfig.parse(raw, "churn/model.toml")
    assert str(caught.value).startswith("churn/model.toml: ")
    assert wanted in str(caught.value)


def test_an_alias_is_added_to_a_model_without_a_file(model: Path) -> None:
    set_alias(model, "champion", 1)
    assert ModelConfig.read(model / "model.toml").aliases == {"champion": 1}
    assert sorted(path.name for path in model.iterdir()) == ["1", "2", "model.toml"]


def test_an_alias_is_moved_and_all_else_stays_as_it_was(store: Path, model: Path) -> None:
    text = (
        "# Owned by the churn team; ask before you change it.\n"
        "enabled = true   # since May\n"
        "\n"
        "[aliases]  # who answers\n"
        "champion = 1  # proven\n"
        "candidate = 2\n"
        "\n"
        "[limits]\n"
        "max_rows = 1_000  # größer ist zu groß\n"
    )
    write_model_toml(store, "churn", text)
    set_alias(model, "champion", 2)
    assert written(model) == text.replace("champion = 1", "champion = 2")
    set_alias(model, "candidate", None)
    assert written(model) == text.replace("champion = 1", "champion = 2").replace("candidate = 2\n", "")


def test_line_endings_stay_as_they_were(model: Path) -> None:
    (model / "model.toml").write_bytes(b"# note\r\nenabled = true\r\n[aliases]\r\na = 1\r\n")
    set_alias(model, "a", 2)
    assert (model / "model.toml").read_bytes() == b"# note\r\nenabled = true\r\n[aliases]\r\na = 2\r\n"


@pytest.mark.parametrize(
    "text", ["aliases = {a = 1}\n", "aliases.a = 1\n", "[aliases]\na = 1", "[limits]\n[aliases]\na = 1\n"]
)
def test_every_way_to_write_the_table_can_be_changed(store: Path, model: Path, text: str) -> None:
    write_model_toml(store, "churn", text)
    set_alias(model, "b.2", 2)
    assert ModelConfig.read(model / "model.toml").aliases == {"a": 1, "b.2": 2}
    set_alias(model, "a", None)
    assert ModelConfig.read(model / "model.toml").aliases == {"b.2": 2}


@pytest.mark.parametrize("version", [3, 0, -1], ids=["absent", "zero", "negative"])
def test_an_alias_cannot_point_at_a_version_that_is_not_there(model: Path, version: int) -> None:
    with pytest.raises(StoreError, match=f"churn has no version {version}"):
        set_alias(model, "champion", version)
    assert not (model / "model.toml").exists()


def test_an_alias_that_is_not_there_cannot_be_removed(model: Path) -> None:
    with pytest.raises(StoreError, match="churn has no alias 'champion'"):
        set_alias(model, "champion", None)
    assert not (model / "model.toml").exists()


@pytest.mark.parametrize("alias", ["1", "../x", "", "a b"])
def test_an_alias_of_a_bad_form_is_not_written(model: Path, alias: str) -> None:
    with pytest.raises(InvalidNameError):
        set_alias(model, alias, 1)
    assert not (model / "model.toml").exists()


def test_the_alias_that_is_the_default_cannot_be_removed(store: Path, model: Path) -> None:
    text = 'default = "champion"\n[aliases]\nchampion = 1\n'
    write_model_toml(store, "churn", text)
    with pytest.raises(ManifestError, match="`default` names the alias 'champion'"):
        set_alias(model, "champion", None)
    assert written(model) == text


def test_a_broken_file_is_not_overwritten(store: Path, model: Path) -> None:
    write_model_toml(store, "churn", "enabled = maybe")
    with pytest.raises(ManifestError):
        set_alias(model, "champion", 1)
    assert written(model) == "enabled = maybe"


def test_what_is_no_small_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "long").write_bytes(b"#" * 2_000_000)
    for name in ("pipe", "zero"):
        with pytest.raises(ManifestError, match="not a regular file"):
            ModelConfig.read(tmp_path / name)
    with pytest.raises(ManifestError, match="longer than"):
        ModelConfig.read(tmp_path / "long")


def test_a_misspelt_key_gets_a_hint() -> None:
    with pytest.raises(ManifestError, match="did you mean 'enabled'"):
        ModelConfig.parse(b"enabeld = true", "model.toml")
    with pytest.raises(ManifestError, match="did you mean 'max_rows'"):
        ModelConfig.parse(b"[limits]\nmaxrows = 1", "model.toml")


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ('mode = "maybe"', "write 'auto', 'on' or 'off'"),
        ("max_rows = 1", "to share no runs, write mode = 'off'"),
    ],
)
def test_a_wrong_value_of_batching_says_what_to_write(line: str, remedy: str) -> None:
    with pytest.raises(ManifestError, match=re.escape(remedy)):
        ModelConfig.parse(f"[batching]\n{line}".encode(), "model.toml")
