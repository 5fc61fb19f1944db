"""A copy of a store becomes another and back; what does not go together is refused before."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretell.errors import ForetellError
from foretell.loadtest.defaults import other_defaults
from foretell.loadtest.rollouts import Rollouts
from foretell.store.catalog import scan
from tests.models import linear_model_bytes, write_model_toml, write_version


def test_the_same_version_must_be_the_same(tmp_path: Path) -> None:
    write_version(tmp_path / "now", "m", 1, linear_model_bytes(weights=[1.0, 2.0]))
    write_version(tmp_path / "next", "m", 1, linear_model_bytes(weights=[1.0, 2.1]))
    with pytest.raises(ForetellError, match="version 1 of m is not the same in both stores"):
        Rollouts(tmp_path / "now", tmp_path / "next", tmp_path / "copy", 1)
    assert not (tmp_path / "copy").exists()


def test_stores_without_a_model_in_common_are_refused(tmp_path: Path) -> None:
    write_version(tmp_path / "now", "m", 1, linear_model_bytes())
    write_version(tmp_path / "next", "n", 1, linear_model_bytes())
    with pytest.raises(ForetellError, match="has none of the models of"):
        Rollouts(tmp_path / "now", tmp_path / "next", tmp_path / "copy", 1)


def test_each_version_is_the_default_of_a_copy_once(tmp_path: Path) -> None:
    store = tmp_path / "store"
    for number in (1, 2, 5):
        write_version(store, "m", number, linear_model_bytes(bias=number))
    write_version(store, "n", 1, linear_model_bytes())
    for number in (1, 2):
        write_version(store, "o", number, linear_model_bytes(bias=number))
    write_model_toml(store, "o", 'default = "champion"\n\n[aliases]\nchampion = 1\n')
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    with other_defaults(store) as copies:
        chosen = [
            {name: model.config.default_version for name, model in scan(copy).items() if model.config}
            for copy in copies
        ]
    assert chosen == [{"m": 1, "n": None, "o": 2}, {"m": 2, "n": None, "o": 1}]
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before


def test_a_store_of_single_versions_needs_no_copy(tmp_path: Path) -> None:
    write_version(tmp_path, "n", 1, linear_model_bytes())
    with other_defaults(tmp_path) as copies:
        assert copies == []
