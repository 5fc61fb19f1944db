"""Following: by events, by looking, and by looking where there are no events."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from foretell.engine.follower import Follower
from foretell.engine.registry import Registry
from foretell.engine.version import Version
from tests.engine.loaders import LOADER
from tests.models import linear_model_bytes, write_version


class Followed:
    """A registry that is being followed, and what is said of that."""

    def __init__(self, store: Path, **options: Any) -> None:
        self.store = store
        self.events: list[dict[str, Any]] = []

        def keep(_: Any, __: str, event: Any) -> Any:
            self.events.append(dict(event))
            raise structlog.DropEvent

        log = structlog.wrap_logger(structlog.PrintLogger(), processors=[keep])
        self.registry: Registry[Version] = Registry(store, LOADER, serve=lambda version, _: version)
        options = {"mode": "auto", "poll_s": 60.0, "look_over_s": 60.0, **options}
        self.follower = Follower(self.registry, store, log=log, **options)

    def put(self, number: int) -> None:
        write_version(self.store, "m", number, linear_model_bytes(bias=float(number)))

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110 - nothing tells when
                await asyncio.sleep(0.01)

    async def until_loaded(self, *numbers: int) -> None:
        await self.until(
            lambda: "m" in self.registry.models and set(numbers) <= self.registry.models["m"].versions.keys()
        )


def follow(store: Path, scenario: Callable[[Followed], Awaitable[None]], **options: Any) -> Followed:
    async def main() -> Followed:
        followed = Followed(store, **options)
        await followed.registry.load()
        following = asyncio.create_task(followed.follower.run())
        try:
            await scenario(followed)
        finally:
            following.cancel()
            await asyncio.wait({following})
            followed.registry.close()
        assert following.cancelled()
        return followed

    return asyncio.run(main())


def never(*_: object) -> bool:
    return False


@pytest.mark.parametrize(
    ("options", "by"),
    [({"mode": "events"}, "events"), ({"mode": "poll", "poll_s": 0.05}, "polling")],
    ids=["events", "poll"],
)
def test_what_comes_is_loaded(store: Path, options: dict[str, Any], by: str) -> None:
    async def scenario(followed: Followed) -> None:
        followed.put(1)
        await followed.until_loaded(1)
        followed.put(2)
        await followed.until_loaded(2)

    assert [each["by"] for each in follow(store, scenario, **options).events] == [by]


def test_what_came_before_the_watch_stood_is_seen_all_the_same(store: Path) -> None:
    async def scenario(followed: Followed) -> None:
        followed.put(1)  # the follower's task has not begun yet
        await followed.until_loaded(1)

    follow(store, scenario, mode="events")


def test_a_file_system_without_events_is_looked_at(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretell.engine.follower.gives_events", never)

    async def scenario(followed: Followed) -> None:
        followed.put(1)
        await followed.until_loaded(1)

    (told,) = follow(store, scenario, poll_s=0.05).events
    assert (told["by"], told["reason"]) == ("polling", "its file system gives no events")


def test_a_kernel_that_gives_no_watch_is_not_asked_again(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("watchfiles.watch", refuse)

    async def scenario(followed: Followed) -> None:
        followed.put(1)
        await followed.until_loaded(1)
        await followed.until(lambda: len(followed.events) == 2)

    first, second = follow(store, scenario, mode="events", poll_s=0.05).events
    assert first["by"] == "events"
    assert (second["by"], second["reason"]) == ("polling", "[Errno 28] No space left on device")


def test_what_goes_wrong_in_a_look_is_not_the_end(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(followed: Followed) -> None:
        look = followed.registry.look

        async def fail() -> None:
            monkeypatch.setattr(followed.registry, "look", look)
            raise ZeroDivisionError

        monkeypatch.setattr(followed.registry, "look", fail)
        await followed.until(lambda: followed.registry.look == look)
        followed.put(1)
        await followed.until_loaded(1)

    events = follow(store, scenario, mode="poll", poll_s=0.05).events
    assert [each["event"] for each in events] == ["following the store", "the store cannot be followed"]


def test_a_store_that_is_moved_away_and_back_is_watched_again(store: Path) -> None:
    async def scenario(followed: Followed) -> None:
        await followed.until(lambda: followed.events)
        shutil.move(store, store.with_name("away"))
        await followed.until(lambda: followed.registry.error)
        shutil.move(store.with_name("away"), store)
        await followed.until(lambda: not followed.registry.error)
        followed.put(1)
        await followed.until_loaded(1)
        watch = followed.follower._watch
        assert watch is not None
        assert watch._thread.is_alive()

    follow(store, scenario, mode="events", poll_s=0.05, look_over_s=0.05)


def test_events_that_are_lost_are_made_up_for(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretell.store.watch.Watch._counts", never)

    async def scenario(followed: Followed) -> None:
        followed.put(1)
        await followed.until_loaded(1)

    follow(store, scenario, mode="events", look_over_s=0.05)


def test_a_store_that_comes_later_and_another_in_its_place_are_watched(tmp_path: Path) -> None:
    store = tmp_path / "later"

    async def scenario(followed: Followed) -> None:
        followed.put(1)
        await followed.until_loaded(1)
        shutil.rmtree(store)
        followed.put(2)
        await followed.until_loaded(2)
        followed.put(3)
        await followed.until_loaded(3)

    follow(store, scenario, mode="events", poll_s=0.05, look_over_s=0.05)


def test_a_link_to_the_store_that_is_turned_is_followed_though_nothing_else_is_looked_at(
    tmp_path: Path,
) -> None:
    for release in (1, 2):
        write_version(tmp_path / f"release{release}", "m", release, linear_model_bytes(bias=float(release)))
    (tmp_path / "current").symlink_to("release1")

    async def scenario(followed: Followed) -> None:
        for number in (5, 6):  # the watch stands, and nothing is left to be told
            followed.put(number)
            await followed.until_loaded(number)
        (tmp_path / "next").symlink_to("release2")
        (tmp_path / "next").rename(tmp_path / "current")
        await followed.until_loaded(2)
        shutil.rmtree(tmp_path / "release1")
        followed.put(3)
        await followed.until_loaded(3)

    follow(tmp_path / "current", scenario, mode="events", look_over_s=3600.0)
