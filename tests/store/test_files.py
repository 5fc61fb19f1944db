"""Writing that either happens whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretell.store.files import replace_file, sync_folder, write_file


def test_a_new_file_is_written(tmp_path: Path) -> None:
    write_file(tmp_path / "a", b"content")
    assert (tmp_path / "a").read_bytes() == b"content"


def test_a_file_that_exists_is_not_written_again(tmp_path: Path) -> None:
    write_file(tmp_path / "a", b"first")
    with pytest.raises(FileExistsError):
        write_file(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"first"


def test_a_file_is_replaced_and_readable_for_others(tmp_path: Path) -> None:
    path = tmp_path / "a"
    replace_file(path, b"first")
    replace_file(path, b"second")
    assert path.read_bytes() == b"second"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_keeps_the_content_that_it_opened(tmp_path: Path) -> None:
    path = tmp_path / "a"
    replace_file(path, b"first")
    with path.open("rb") as reader:
        replace_file(path, b"second")
        assert reader.read() == b"first"


def test_a_replacement_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        replace_file(path, b"content")
    assert list(tmp_path.iterdir()) == [path]


def test_only_a_folder_can_be_flushed_as_one(tmp_path: Path) -> None:
    sync_folder(tmp_path)
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        sync_folder(tmp_path / "a")


def test_what_is_not_to_be_replaced_any_longer_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert replace_file(path, b"first")
    assert not replace_file(path, b"second", still=lambda: False)
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_replaced_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "model.toml"
    replace_file(path, b"first")
    assert path.stat().st_mode & 0o777 == 0o644
    path.chmod(0o664)
    replace_file(path, b"second")
    assert (path.stat().st_mode & 0o777, path.read_bytes()) == (0o664, b"second")
