"""What is in a store, whatever else lies around in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from foretell.errors import NotFoundError, StoreError
from foretell.store.catalog import _read_model, find_model, scan
from foretell.store.model_config import ModelConfig, ModelLimits
from tests.models import linear_model_bytes, write_model_toml, write_version

MODEL = linear_model_bytes()


def test_models_are_listed_by_name_with_versions_and_decisions(store: Path) -> None:
    for name, number in [("churn", 10), ("churn", 9), ("apples", 1)]:
        write_version(store, name, number, MODEL)
    write_model_toml(
        store, "churn", 'default = "champion"\n[aliases]\nchampion = 9\n[limits]\nmax_rows = 5\n'
    )

    found = scan(store)

    assert list(found) == ["apples", "churn"]
    churn = found["churn"]
    assert list(churn.versions.items()) == [
        (9, store / "churn" / "9"),
        (10, store / "churn" / "10"),
    ]
    assert churn.config == ModelConfig(default="champion", aliases={"champion": 9}, limits=ModelLimits(5))
    assert churn.error is None
    assert found["apples"].config == ModelConfig()


def test_an_empty_store_holds_no_models(store: Path) -> None:
    assert scan(store) == {}


def test_what_is_no_model_is_left_out(store: Path) -> None:
    write_version(store, "iris", 1, MODEL)
    write_version(store, ".hidden", 1, MODEL)
    write_version(store, ".staging", 1, MODEL)
    write_version(store, "not a name", 1, MODEL)
    (store / "README.md").write_text("about this store")
    (store / "empty").mkdir()
    (store / "notes").mkdir()
    (store / "notes" / "todo.txt").write_text("buy milk")
    (store / "dangling").symlink_to(store / "nowhere")
    assert list(scan(store)) == ["iris"]


def test_a_folder_with_only_a_model_toml_is_a_model_without_versions(store: Path) -> None:
    write_model_toml(store, "planned", "enabled = false")
    model = find_model(store, "planned")
    assert model.versions == {}
    assert model.config == ModelConfig(enabled=False)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("enabeld = true", "enabeld"),
        ("[limits]\nmax_rows = 0", "$.limits.max_rows"),
        ('[aliases]\nchampion = "1"', "$.aliases[...]"),
        ("enabled = maybe", "line 1"),
    ],
    ids=["misspelt key", "out of range", "ill-typed", "not TOML"],
)
def test_a_broken_model_toml_is_kept_with_file_and_place_and_without_effect_on_others(
    store: Path, text: str, wanted: str
) -> None:
    write_version(store, "good", 1, MODEL)
    write_version(store, "bad", 1, MODEL)
    path = write_model_toml(store, "bad", text)

    found = scan(store)

    assert found["bad"].config is None
    assert found["bad"].error is not None
    assert str(path) in found["bad"].error
    assert wanted in found["bad"].error
    assert list(found["bad"].versions) == [1]
    assert found["good"].error is None


def test_a_model_toml_that_is_a_folder_is_a_broken_one(store: Path) -> None:
    (store / "iris" / "model.toml").mkdir(parents=True)
    model = find_model(store, "iris")
    assert model.error is not None
    assert "cannot be read" in model.error


def test_an_absent_store_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist: create the folder, or name another with --store"):
        scan(tmp_path / "nowhere")


def test_a_store_that_is_a_file_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(StoreError, match="cannot be read"):
        scan(path)


def test_an_unknown_model_is_named_with_those_that_are_there(store: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no model 'iris' in .*; it holds: nothing"):
        find_model(store, "iris")
    write_version(store, "a", 1, MODEL)
    write_version(store, "b", 1, MODEL)
    with pytest.raises(NotFoundError, match="it holds: a, b"):
        find_model(store, "iris")


@pytest.mark.parametrize("name", ["../model_store/iris", "..", ".", "/", "", "iris/../iris"])
def test_a_path_names_no_model(store: Path, name: str) -> None:
    write_version(store, "iris", 1, MODEL)
    with pytest.raises(NotFoundError):
        find_model(store, name)


SCAN_AS_NOBODY = """
import json, os, sys
from pathlib import Path
from foretell.errors import StoreError
from foretell.store.catalog import scan
if os.geteuid() == 0:
    os.setuid(65534)  # root may read everything
try:
    print(json.dumps({name: model.error for name, model in scan(Path(sys.argv[1])).items()}))
except StoreError as error:
    print(json.dumps(str(error)))
"""


@contextmanager
def store_of_anyone() -> Generator[Path]:
    """A store in a folder that any user may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def scan_as_nobody(store: Path) -> object:
    # No coverage in there: that user may not write the data file.
    environ = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-c", SCAN_AS_NOBODY, str(store)], check=True, capture_output=True, env=environ
    )
    answer: object = json.loads(done.stdout)
    return answer


def test_a_store_without_permission_is_reported_as_unreadable() -> None:
    with store_of_anyone() as folder:
        store = folder / "store"
        store.mkdir(mode=0o000)
        assert "cannot be read" in str(scan_as_nobody(store))
        store.chmod(0o700)


def test_a_model_folder_without_permission_does_not_hide_the_others() -> None:
    with store_of_anyone() as store:
        write_version(store, "good", 1, MODEL)
        write_version(store, "bad", 1, MODEL)
        (store / "bad").chmod(0o000)
        found = scan_as_nobody(store)
        (store / "bad").chmod(0o700)
    assert isinstance(found, dict)
    assert found["good"] is None
    assert "cannot be read" in found["bad"]


def test_a_model_that_is_removed_during_a_scan_is_left_out(store: Path) -> None:
    assert _read_model(store / "removed") is None


def test_a_model_that_stops_being_a_folder_during_a_scan_is_kept_with_the_reason(store: Path) -> None:
    (store / "m").write_text("")
    model = _read_model(store / "m")
    assert model is not None
    assert model.config is None
    assert model.error == f"{store / 'm'} cannot be read: Not a directory"
