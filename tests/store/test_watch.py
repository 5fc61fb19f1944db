"""Events of the file system, from a thread of their own."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from foretell.store.watch import Watch
from tests.models import linear_model_bytes, write_version


def turn(link: Path, target: str) -> None:
    """Let a link lead elsewhere, in one step."""
    (link.parent / "turned").symlink_to(target)
    (link.parent / "turned").rename(link)


class Heard:
    """What a watch tells."""

    def __init__(self) -> None:
        self.changes: queue.Queue[None] = queue.Queue()
        self.ends: queue.Queue[str] = queue.Queue()

    def change(self) -> None:
        self.changes.get(timeout=60)


Watching = Callable[[Path], tuple[Watch, Heard]]


@pytest.fixture
def watching() -> Iterator[Watching]:
    started: list[Watch] = []

    def start(folder: Path) -> tuple[Watch, Heard]:
        heard = Heard()
        watch = Watch(folder, on_change=lambda: heard.changes.put(None), on_end=heard.ends.put)
        started.append(watch)
        return watch, heard

    yield start
    for watch in started:
        watch.close()
        watch._thread.join(60)


def test_it_tells_when_it_stands_and_of_each_burst(store: Path, watching: Watching) -> None:
    watch, heard = watching(store)
    heard.change()
    write_version(store, "m", 1, linear_model_bytes(), files={str(number): b"" for number in range(100)})
    heard.change()
    assert heard.changes.qsize() <= 3, "a burst is told of once, or as often as the machine paused in it"
    assert watch._thread.is_alive()


def test_what_publishers_hide_is_not_told(store: Path, watching: Watching) -> None:
    (store / ".staging").mkdir()
    _, heard = watching(store)
    heard.change()
    made = write_version(store / ".staging", "m", 1, linear_model_bytes())
    with pytest.raises(queue.Empty):
        heard.changes.get(timeout=0.5)
    (store / "m").mkdir()
    made.rename(store / "m" / "1")
    heard.change()


def test_it_follows_a_link_to_the_store(store: Path, watching: Watching, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(store)
    _, heard = watching(tmp_path / "link")
    heard.change()
    write_version(store, "m", 1, linear_model_bytes())
    heard.change()


def test_it_tells_when_a_link_on_the_way_to_the_store_is_turned(tmp_path: Path, watching: Watching) -> None:
    for release in ("first", "second"):
        (tmp_path / release / "model_store").mkdir(parents=True)
    (tmp_path / "current").symlink_to("first")
    _, heard = watching(tmp_path / "current" / "model_store")
    heard.change()
    turn(tmp_path / "current", "second")
    heard.change()
    with pytest.raises(queue.Empty):  # it is told once: another watch is for the folder that is there now
        heard.changes.get(timeout=1.5)
    turn(tmp_path / "current", "absent")
    heard.change()
    turn(tmp_path / "current", "first")
    heard.change()


def test_it_ends_where_there_is_nothing_to_watch(tmp_path: Path, watching: Watching) -> None:
    watch, heard = watching(tmp_path / "absent")
    assert "absent" in heard.ends.get(timeout=60)
    watch._thread.join(60)
    assert heard.changes.empty()


def test_it_is_closed(store: Path, watching: Watching) -> None:
    watch, heard = watching(store)
    heard.change()
    watch.close()
    watch._thread.join(60)
    assert not watch._thread.is_alive()
    assert heard.ends.empty()
