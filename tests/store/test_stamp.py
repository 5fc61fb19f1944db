"""Whether files have changed is told without reading them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from foretell.store.stamp import is_whole, stamp_of
from tests.models import linear_model_bytes, write_version

MODEL = linear_model_bytes()


@pytest.fixture
def folder(store: Path) -> Path:
    return write_version(store, "m", 1, MODEL, files={"weights.bin": b"0123"})


def overwrite_like_before(path: Path) -> None:
    """As rsync and `cp -p` do: the same size, and the time put back."""
    status = path.stat()
    path.write_bytes(bytes(status.st_size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace_like_before(path: Path) -> None:
    status = path.stat()
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.rename(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda folder: (folder / "weights.bin").write_bytes(b"01234"),
    "content of the same size and time": lambda folder: overwrite_like_before(folder / "weights.bin"),
    "another file of the same name": lambda folder: replace_like_before(folder / "weights.bin"),
    "a file more": lambda folder: (folder / "new").write_bytes(b""),
    "a file more further down": lambda folder: write_version(folder, "sub", 1, MODEL),
    "a file less": lambda folder: (folder / "weights.bin").unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_seen(folder: Path, change: Callable[[Path], object]) -> None:
    before = stamp_of(folder)
    assert stamp_of(folder) == before
    change(folder)
    assert stamp_of(folder) != before


def test_what_is_not_there_has_an_empty_stamp(store: Path) -> None:
    assert stamp_of(store / "m" / "9") == ()


def test_a_link_that_leads_nowhere_and_a_circle_do_no_harm(folder: Path) -> None:
    before = stamp_of(folder)
    (folder / "nowhere").symlink_to("absent")
    assert stamp_of(folder) == before
    (folder / "circle").symlink_to(folder, target_is_directory=True)
    assert len(stamp_of(folder)) == len(before) + 1


def test_a_version_is_whole_when_all_that_its_manifest_lists_is_there(folder: Path) -> None:
    assert is_whole(folder)
    (folder / "weights.bin").write_bytes(b"01")
    assert not is_whole(folder)


@pytest.mark.parametrize("text", [None, "{"], ids=["absent", "half written"])
def test_a_version_without_a_manifest_never_says_that_it_is_whole(folder: Path, text: str | None) -> None:
    (folder / "manifest.json").unlink()
    if text is not None:
        (folder / "manifest.json").write_text(text)
    assert not is_whole(folder)


def test_a_folder_of_very_many_files_is_not_walked_to_its_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foretell.store.stamp._MAX_FILES", 2)
    assert len(stamp_of(folder)) == 2
