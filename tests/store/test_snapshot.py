"""A store at one moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretell.errors import StoreError
from foretell.store.snapshot import take_snapshot
from foretell.store.stamp import stamp_of
from tests.models import linear_model_bytes, write_model_toml, write_version


def test_it_holds_models_and_the_stamps_of_their_versions(store: Path) -> None:
    first = write_version(store, "m", 1, linear_model_bytes())
    write_model_toml(store, "n", "")
    taken = take_snapshot(store)
    assert list(taken.models) == ["m", "n"]
    assert taken.stamps == {("m", 1): stamp_of(first)}
    assert take_snapshot(store) == taken
    (first / "model.onnx").touch()
    assert take_snapshot(store) != taken


def test_another_folder_of_the_same_name_has_another_identity(store: Path) -> None:
    before = take_snapshot(store).identity
    store.rename(store.with_name("away"))
    store.mkdir()
    assert take_snapshot(store).identity != before


def test_an_absent_store_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        take_snapshot(tmp_path / "absent")
