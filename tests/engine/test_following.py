"""A registry in line with its store: what has changed is loaded beside the old, and swapped in by one step."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from foretell.engine.journal import Journal
from foretell.engine.loader import Loader
from foretell.engine.model import Model
from foretell.engine.registry import Registry
from foretell.engine.stand_in import StandIn
from foretell.engine.use import Use
from foretell.engine.version import Version
from foretell.errors import (
    AsleepError,
    DeadlineError,
    NotFoundError,
    NotReadyError,
    PluginError,
    StillLoadingError,
)
from foretell.prediction import ModelInfo
from foretell.store.artifact import Artifact, read_artifact
from foretell.store.model_config import ModelConfig
from foretell.store.snapshot import Snapshot, take_snapshot
from tests.engine.loaders import LOADER
from tests.models import (
    endless_model_bytes,
    linear_model_bytes,
    make_manifest,
    signature_of,
    write_model_toml,
    write_version,
)

DAMAGED = b"damaged"


class Served:
    """What serves a version here."""

    def __init__(self, version: Version | StandIn, plugins: dict[str, Any]) -> None:
        self.version = version
        self.plugins = plugins
        self.use = Use()

    @property
    def number(self) -> int:
        return self.version.info.version


class Following:
    """A registry that follows a store, and what it says of that."""

    def __init__(self, store: Path, loader: Loader = LOADER, **more: Any) -> None:
        self.events: list[dict[str, Any]] = []
        self.refuses: dict[tuple[str, int], str] = {}
        self.reviewed: list[tuple[str, int]] = []
        self.store = store

        def keep(_: Any, __: str, event: Any) -> Any:
            self.events.append(dict(event))
            raise structlog.DropEvent

        log = structlog.wrap_logger(structlog.PrintLogger(), processors=[keep])
        self.registry: Registry[Served] = Registry(
            store,
            loader,
            serve=self.serve,
            stand_in=lambda absent, config: Served(absent, config.plugins) if "f" in config.plugins else None,
            review=self.review,
            use_of=lambda served: served.use,
            journal=Journal(log),
            **more,
        )

    def serve(self, version: Version, config: ModelConfig) -> Served:
        if config.plugins.get("broken"):
            raise PluginError("the plugin cannot go around it")
        if config.plugins.get("crashes"):
            raise ZeroDivisionError("crash")
        return Served(version, config.plugins)

    def review(self, loaded: Sequence[ModelInfo]) -> dict[tuple[str, int], str]:
        keys = [(info.name, info.version) for info in loaded]
        self.reviewed += keys
        return {key: self.refuses[key] for key in keys if key in self.refuses}

    @property
    def model(self) -> Model[Served]:
        return self.registry.model("m")

    def served(self, number: int) -> Served:
        return self.model.version(number)

    @property
    def default(self) -> int:
        return self.registry.default("m").number

    def told(self, event: str) -> list[dict[str, Any]]:
        return [each for each in self.events if each["event"] == event]

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110 - nothing tells when
                await asyncio.sleep(0.01)


Scenario = Callable[[Callable[[Following], Coroutine[Any, Any, None]]], None]


def put(store: Path, number: int, name: str = "m", weight: float | None = None) -> Path:
    """A version of which no two have the same bytes."""
    weights = [float(number) if weight is None else weight] * 2
    return write_version(store, name, number, linear_model_bytes(weights=weights))


def write(store: Path, text: str) -> None:
    write_model_toml(store, "m", text)


@pytest.fixture
def run(store: Path) -> Callable[..., None]:
    """Runs a scenario with the versions 1 and 2 loaded."""

    def run_it(
        scenario: Callable[[Following], Coroutine[Any, Any, None]], *, toml: str = "", **more: Any
    ) -> None:
        async def main() -> None:
            put(store, 1)
            put(store, 2)
            if toml:
                write(store, toml)
            following = Following(store, **more)
            await following.registry.load()
            following.reviewed.clear()
            try:
                await scenario(following)
            finally:
                following.registry.close()

        asyncio.run(main())

    return run_it


Run = Callable[..., None]


# ------------------------------------------------------------------ what has changed


def test_nothing_that_is_unchanged_is_touched(run: Run) -> None:
    async def scenario(following: Following) -> None:
        models, model = following.registry.models, following.model
        await following.registry.refresh()
        assert following.registry.models is models
        assert following.model is model
        assert following.reviewed == []
        assert following.events == []

    run(scenario)


def test_a_new_version_is_loaded_beside_the_others_which_stay_the_very_objects(run: Run) -> None:
    async def scenario(following: Following) -> None:
        one, two = following.served(1), following.served(2)
        put(following.store, 3)
        await following.registry.refresh()
        assert (following.served(1), following.served(2)) == (one, two)
        assert following.served(3).number == following.default == 3
        assert following.reviewed == [("m", 3)]
        assert [each["version"] for each in following.told("version loaded")] == [3]
        assert following.told("model changed")[-1]["versions"] == [1, 2, 3]

    run(scenario)


def test_a_new_model_and_a_removed_one(run: Run) -> None:
    async def scenario(following: Following) -> None:
        put(following.store, 1, "other")
        await following.registry.refresh()
        assert following.registry.default("other").number == 1
        assert [each["model"] for each in following.told("model ready")] == ["other"]
        shutil.rmtree(following.store / "other")
        await following.registry.refresh()
        with pytest.raises(NotFoundError, match="there is no model 'other'"):
            following.registry.model("other")
        assert [each["model"] for each in following.told("model removed")] == ["other"]
        await following.until(lambda: following.told("version let go"))

    run(scenario)


def test_a_model_that_is_disabled_is_let_go_and_comes_back(run: Run) -> None:
    async def scenario(following: Following) -> None:
        put(following.store, 1, "other")
        await following.registry.refresh()
        write(following.store, "enabled = false")
        await following.registry.refresh()
        with pytest.raises(NotFoundError, match="model 'm' is disabled"):
            following.registry.model("m")
        write(following.store, "")
        await following.registry.refresh()
        assert following.default == 2

    run(scenario)


def test_a_removed_version_is_as_any_that_does_not_exist(run: Run) -> None:
    async def scenario(following: Following) -> None:
        shutil.rmtree(following.store / "m" / "2")
        await following.registry.refresh()
        with pytest.raises(NotFoundError, match="has no version 2; it has: 1"):
            following.served(2)
        assert following.default == 1

    run(scenario)


def test_a_default_that_is_removed_is_not_replaced_by_another(run: Run) -> None:
    async def scenario(following: Following) -> None:
        shutil.rmtree(following.store / "m" / "1")
        await following.registry.refresh()
        assert following.model.error == "its default, version 1, is absent"
        assert not following.registry.ready
        with pytest.raises(NotFoundError, match="points at version 1, which does not exist"):
            following.model.alias("champion")
        assert following.told("model not ready")

    run(scenario, toml='default = "champion"\naliases.champion = 1')


def test_the_last_version_can_be_removed(run: Run) -> None:
    async def scenario(following: Following) -> None:
        shutil.rmtree(following.store / "m")
        write(following.store, "")
        await following.registry.refresh()
        assert following.model.error == "it has no versions"

    run(scenario)


def test_an_alias_moves_without_anything_being_loaded(run: Run) -> None:
    async def scenario(following: Following) -> None:
        one = following.served(1)
        write(following.store, 'default = "champion"\naliases.champion = 2')
        await following.registry.refresh()
        assert following.default == following.model.alias("champion").number == 2
        assert following.served(1) is one
        assert following.reviewed == []
        assert following.told("model changed")[-1]["aliases"] == {"champion": 2}

    run(scenario, toml='default = "champion"\naliases.champion = 1')


def test_limits_that_change_load_anew_and_the_old_serves_until_then(run: Run) -> None:
    async def scenario(following: Following) -> None:
        one = following.served(1)
        write(following.store, "limits.max_rows = 3")
        await following.registry.look()
        assert following.served(1) is one
        await following.registry.refresh()
        assert following.served(1).version.parser.max_rows == 3
        await following.until(lambda: len(following.told("version let go")) == 2)

    run(scenario)


def test_plugins_that_change_go_around_the_same_loaded_version(run: Run) -> None:
    async def scenario(following: Following) -> None:
        one = following.served(1)
        write(following.store, "plugins.a = 1")
        await following.registry.refresh()
        assert following.served(1) is not one
        assert following.served(1).version is one.version
        assert following.served(1).plugins == {"a": 1}
        assert following.reviewed == [("m", 1), ("m", 2)]
        assert following.told("version let go") == []

    run(scenario)


@pytest.mark.parametrize(
    ("plugins", "reason"),
    [
        ("plugins.broken = 1", "the plugin cannot go around it"),
        ("plugins.crashes = 1", "ZeroDivisionError: crash"),
    ],
    ids=["refuses", "crashes"],
)
def test_plugins_that_cannot_go_around_leave_the_old_chain(run: Run, plugins: str, reason: str) -> None:
    async def scenario(following: Following) -> None:
        one = following.served(1)
        write(following.store, plugins)
        await following.registry.refresh()
        await following.registry.refresh()
        assert following.served(1) is one
        assert following.model.outdated == {1: reason, 2: reason}
        assert len(following.told("version failed to load")) == 2
        put(following.store, 3)
        await following.registry.refresh()
        assert following.model.failures == {3: reason}
        write(following.store, "")
        await following.registry.refresh()
        assert (following.model.outdated, following.default) == ({}, 3)
        assert following.served(1) is one

    run(scenario)


def test_a_chain_that_is_refused_after_review_is_taken_back(run: Run) -> None:
    async def scenario(following: Following) -> None:
        one = following.served(1)
        following.refuses["m", 1] = "not with the others"
        write(following.store, "plugins.a = 1")
        await following.registry.refresh()
        assert following.served(1) is one
        assert following.model.outdated == {1: "not with the others"}
        assert following.served(2).plugins == {"a": 1}

    run(scenario)


def test_a_version_that_is_refused_after_review_leaves_the_old_default(run: Run) -> None:
    async def scenario(following: Following) -> None:
        following.refuses["m", 3] = "not with the others"
        put(following.store, 3)
        await following.registry.refresh()
        assert following.model.failures == {3: "not with the others"}
        assert following.default == 2
        with pytest.raises(NotReadyError):
            following.served(3)
        await following.until(lambda: following.told("version let go"))
        del following.refuses["m", 3]
        await following.registry.refresh()
        assert following.default == 2, "nothing has changed in the store"
        put(following.store, 1, "other")
        await following.registry.refresh()
        assert following.default == 3, "another model may be what it did not go together with"

    run(scenario)


# ------------------------------------------------------------------ what is wrong with it


def test_a_bad_version_is_told_once_and_tried_again_when_its_files_change(run: Run) -> None:
    async def scenario(following: Following) -> None:
        write_version(following.store, "m", 3, DAMAGED, make_manifest(linear_model_bytes()))
        for _ in range(3):
            await following.registry.refresh()
        assert "not the file that was published" in following.model.failures[3]
        assert following.default == 2
        assert len(following.told("version failed to load")) == 1
        (following.store / "m" / "3" / "model.onnx").write_bytes(linear_model_bytes())
        await following.registry.refresh()
        assert following.default == 3
        assert following.model.failures == {}

    run(scenario)


def test_what_cannot_be_read_is_tried_again_and_told_once(run: Run) -> None:
    async def scenario(following: Following) -> None:
        put(following.store, 3)
        (following.store / "m" / "3" / "model.onnx").rename(following.store / "kept")
        for _ in range(2):
            await following.registry.refresh()
        assert "is absent or cannot be read" in following.model.failures[3]
        assert len(following.told("version failed to load")) == 1
        (following.store / "kept").rename(following.store / "m" / "3" / "model.onnx")
        await following.registry.refresh()
        assert following.default == 3

    run(scenario)


def test_a_version_that_is_replaced_in_place_by_a_good_one(run: Run) -> None:
    async def scenario(following: Following) -> None:
        old = following.served(2)
        shutil.rmtree(following.store / "m" / "2")
        put(following.store, 2, weight=7)
        await following.registry.refresh()
        assert following.served(2).version.info.digest != old.version.info.digest
        await following.until(lambda: following.told("version let go"))

    run(scenario)


def test_a_version_that_is_replaced_in_place_by_a_bad_one_serves_on(run: Run) -> None:
    async def scenario(following: Following) -> None:
        old = following.served(2)
        path = following.store / "m" / "2" / "model.onnx"
        good = path.read_bytes()
        path.write_bytes(DAMAGED)
        await following.registry.refresh()
        assert following.served(2) is old
        assert following.model.failures == {}
        assert "not the file that was published" in following.model.outdated[2]
        assert following.told("version failed to load")[0]["serves"] == "as it was loaded before"
        path.write_bytes(good)
        await following.registry.refresh()
        assert following.served(2) is old, "the same bytes are back"
        assert following.model.outdated == {}

    run(scenario)


def test_files_that_were_only_touched_are_not_swapped(run: Run) -> None:
    async def scenario(following: Following) -> None:
        old = following.served(2)
        (following.store / "m" / "2" / "model.onnx").touch()
        await following.registry.refresh()
        await following.registry.refresh()
        assert following.served(2) is old
        assert following.events == []

    run(scenario)


def test_a_foreign_file_that_breaks_the_loading_is_refused(run: Run) -> None:
    async def scenario(following: Following) -> None:
        model = linear_model_bytes()
        signature = msgspec.structs.replace(signature_of(model), example=("not", "numbers"))
        write_version(following.store, "m", 3, model, make_manifest(model, signature))
        await following.registry.refresh()
        assert following.model.failures[3]
        assert following.default == 2

    run(scenario)


def test_a_model_toml_that_is_spoilt_changes_nothing_but_is_told(run: Run) -> None:
    async def scenario(following: Following) -> None:
        model = following.model
        write(following.store, "enabeld = true")
        put(following.store, 3)
        await following.registry.refresh()
        assert "enabeld" in str(following.model.error)
        assert following.model.versions == model.versions
        assert following.registry.ready
        assert [each["event"] for each in following.events] == ["model changed", "model not in order"]
        write(following.store, "")
        await following.registry.refresh()
        assert (following.model.error, following.default) == (None, 3)

    run(scenario)


def test_a_model_toml_that_is_spoilt_while_a_version_is_loaded(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()

    def hang(folder: Path, *, max_bytes: int) -> Artifact:
        goes_on.wait()
        return read_artifact(folder, max_bytes=max_bytes)

    async def scenario(following: Following) -> None:
        monkeypatch.setattr("foretell.engine.loader.read_artifact", hang)
        old = following.served(2)
        (following.store / "m" / "2" / "model.onnx").write_bytes(linear_model_bytes(bias=3))
        (following.store / "m" / "2" / "manifest.json").write_bytes(
            make_manifest(linear_model_bytes(bias=3)).encode()
        )
        await following.registry.look()
        write(following.store, "enabeld = true")
        await following.registry.look()
        goes_on.set()
        await following.registry.refresh()
        assert following.served(2) is old
        write(following.store, "")
        await following.registry.refresh()
        assert following.served(2) is not old

    run(scenario)


@pytest.mark.parametrize("target", [3, 4], ids=["damaged", "absent"])
@pytest.mark.parametrize(
    "toml", ['default = "champion"\naliases.champion = {}', "default = {}"], ids=["alias", "version"]
)
def test_what_is_moved_to_a_version_that_cannot_serve_stays_where_it_was(
    run: Run, target: int, toml: str
) -> None:
    async def scenario(following: Following) -> None:
        write_version(following.store, "m", 3, DAMAGED, manifest=False)
        write(following.store, toml.format(target))
        await following.registry.refresh()
        assert following.default == 1
        state = "failed to load" if target == 3 else "is absent"
        assert following.model.error == f"its default, version {target}, {state}; version 1 goes on answering"
        assert following.registry.ready
        assert following.told("model not in order")
        shutil.rmtree(following.store / "m" / "3")
        put(following.store, target)
        await following.registry.refresh()
        assert following.default == target
        assert following.told("model changed")[-1]["default"] == target

    run(scenario, toml=toml.format(1))


def test_an_alias_that_is_held_is_told_with_where_it_should_be(run: Run) -> None:
    async def scenario(following: Following) -> None:
        write(following.store, "aliases.champion = 4")
        await following.registry.refresh()
        assert following.model.alias("champion").number == 1
        assert following.model.held == following.model.dangling == {"champion": 4}
        (told,) = following.told("alias points at a version that does not serve")
        assert (told["alias"], told["version"]) == ("champion", 4)

    run(scenario, toml="aliases.champion = 1")


def test_an_alias_moves_when_its_version_has_arrived_though_the_old_one_is_removed(run: Run) -> None:
    """Publish, move, remove: in one burst."""

    async def scenario(following: Following) -> None:
        put(following.store, 3)
        write(following.store, 'default = "champion"\naliases.champion = 3')
        shutil.rmtree(following.store / "m" / "1")
        await following.registry.look()
        assert following.default == 1
        assert following.model.alias("champion").number == 1
        with pytest.raises(StillLoadingError, match="version 3 of 'm' is still being loaded"):
            following.served(3)
        await following.registry.refresh()
        assert following.default == 3
        assert 1 not in following.model.versions

    run(scenario, toml='default = "champion"\naliases.champion = 1')


def test_versions_that_are_all_replaced_by_another_serve_until_it_has_arrived(run: Run) -> None:
    async def scenario(following: Following) -> None:
        put(following.store, 3)
        for number in "12":
            shutil.rmtree(following.store / "m" / number)
        await following.registry.look()
        assert following.default == 2
        await following.registry.refresh()
        assert (following.default, list(following.model.versions)) == (3, [3])

    run(scenario)


def test_an_alias_can_be_moved_back_while_another_version_takes_long_to_load(run: Run) -> None:
    async def scenario(following: Following) -> None:
        write_version(following.store, "m", 3, endless_model_bytes(), manifest=False)
        await following.registry.look()
        write(following.store, 'default = "champion"\naliases.champion = 2')
        await following.registry.look()
        assert following.default == 2

    run(scenario, toml='default = "champion"\naliases.champion = 1')


def test_something_stands_in_for_a_version_that_is_removed(run: Run) -> None:
    async def scenario(following: Following) -> None:
        shutil.rmtree(following.store / "m" / "2")
        await following.registry.refresh()
        default = following.registry.default("m")
        assert isinstance(default.version, StandIn)
        assert following.model.failures == {2: "it is absent from the store"}

    run(scenario, toml="default = 2\nplugins.f = 1")


# ------------------------------------------------------------------ the store as a whole


def test_a_store_that_vanishes_for_a_moment_takes_nothing_down(run: Run) -> None:
    async def scenario(following: Following) -> None:
        models = following.registry.models
        following.store.rename(following.store.with_name("away"))
        for _ in range(2):
            await following.registry.refresh()
        assert following.registry.models is models
        assert following.registry.ready
        assert "does not exist" in str(following.registry.error)
        following.store.with_name("away").rename(following.store)
        await following.registry.refresh()
        assert following.registry.error is None
        assert following.registry.models is models
        assert [each["event"] for each in following.events] == ["store unreadable", "store readable again"]

    run(scenario)


def test_a_store_that_does_not_answer_is_reported_and_waited_for(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()

    def hang(store: Path) -> Snapshot:
        goes_on.wait()
        return take_snapshot(store)

    async def scenario(following: Following) -> None:
        monkeypatch.setattr("foretell.engine.registry.take_snapshot", hang)
        monkeypatch.setattr("foretell.engine.registry._PATIENCE_S", 0.01)
        looking = asyncio.create_task(following.registry.look())
        await following.until(lambda: following.registry.error)
        assert "has not answered for 0.01 s" in str(following.registry.error)
        assert following.default == 2
        goes_on.set()
        await looking
        assert following.registry.error is None

    run(scenario)


def test_an_empty_folder_in_place_of_the_store_is_one_that_is_not_mounted(run: Run) -> None:
    async def scenario(following: Following) -> None:
        following.store.rename(following.store.with_name("away"))
        following.store.mkdir()
        await following.registry.refresh()
        assert following.default == 2
        assert "another folder than before, and empty" in str(following.registry.error)
        put(following.store, 5)
        await following.registry.refresh()
        assert (following.registry.error, following.default) == (None, 5)

    run(scenario)


def test_the_last_model_can_be_removed(run: Run) -> None:
    async def scenario(following: Following) -> None:
        shutil.rmtree(following.store / "m")
        await following.registry.refresh()
        assert following.registry.models == {}
        assert following.registry.error is None

    run(scenario)


def test_a_store_that_comes_after_the_start_is_followed(tmp_path: Path) -> None:
    async def main() -> None:
        following = Following(tmp_path / "later")
        await following.registry.load()
        assert "does not exist" in str(following.registry.error)
        put(tmp_path / "later", 1)
        await following.registry.refresh()
        assert following.registry.ready
        assert following.default == 1
        following.registry.close()

    asyncio.run(main())


# ------------------------------------------------------------------ copying, and being copied over


def test_a_version_without_a_manifest_is_left_until_its_files_hold_still(run: Run) -> None:
    async def scenario(following: Following) -> None:
        model = linear_model_bytes(weights=[3, 3])
        folder = following.store / "m" / "3"
        folder.mkdir()
        (folder / "model.onnx").write_bytes(model[:50])
        await following.registry.look()
        assert following.model.unloaded == {3: "loading"}
        (folder / "model.onnx").write_bytes(model)
        await following.registry.refresh()
        assert following.default == 3
        assert following.told("version failed to load") == []

    run(scenario)


def test_files_that_change_while_they_are_loaded_are_loaded_again(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    other = linear_model_bytes(weights=[9, 9])

    load = Loader.load

    def load_and_overwrite(self: Loader, *arguments: Any, **options: Any) -> Version:
        version = load(self, *arguments, **options)
        loaded.append(version.info.digest)
        if len(loaded) == 1:
            (store / "m" / "1" / "model.onnx").write_bytes(other)
        return version

    monkeypatch.setattr(Loader, "load", load_and_overwrite)

    async def main() -> None:
        write_version(store, "m", 1, linear_model_bytes(), manifest=False)
        following = Following(store)
        await following.registry.load()
        assert loaded[0] != loaded[1] == following.served(1).version.info.digest
        following.registry.close()

    asyncio.run(main())


def test_a_version_that_is_removed_on_its_way_in_is_given_up(run: Run) -> None:
    async def scenario(following: Following) -> None:
        write_version(following.store, "m", 3, endless_model_bytes(), manifest=False)
        await following.registry.look()
        shutil.rmtree(following.store / "m" / "3")
        await following.registry.refresh()
        assert sorted(following.model.numbers) == [1, 2]
        assert following.told("version failed to load") == []

    run(scenario)


def test_a_version_that_takes_too_long_is_not_tried_again(run: Run) -> None:
    async def scenario(following: Following) -> None:
        write_version(following.store, "m", 3, endless_model_bytes())
        for _ in range(2):
            await following.registry.refresh()
        assert "after 1 s" in following.model.failures[3]
        assert len(following.told("version failed to load")) == 1

    run(scenario, loader=msgspec.structs.replace(LOADER, timeout_s=1.0))


# ------------------------------------------------------------------ letting go


def is_closed(version: Version) -> bool:
    return version._lane._closed


def test_a_version_is_not_closed_under_the_requests_that_hold_it(run: Run) -> None:
    async def scenario(following: Following) -> None:
        held = following.served(2)
        held.use.enter(1)
        held.use.enter(2)
        shutil.rmtree(following.store / "m" / "2")
        await following.registry.refresh()
        version = held.version
        assert isinstance(version, Version)
        held.use.leave()
        assert not is_closed(version)
        held.use.leave()
        assert is_closed(version)
        await following.until(lambda: following.told("version let go"))
        assert following.registry.journal.releases == 1

    run(scenario)


def test_a_version_is_not_closed_under_those_who_hold_an_earlier_chain_of_it(run: Run) -> None:
    async def scenario(following: Following) -> None:
        held = following.served(2)
        held.use.enter(1)
        write(following.store, "plugins.a = 1")
        await following.registry.refresh()
        shutil.rmtree(following.store / "m" / "2")
        await following.registry.refresh()
        assert isinstance(held.version, Version)
        assert not is_closed(held.version)
        held.use.leave()
        assert is_closed(held.version)

    run(scenario)


def test_what_is_still_held_at_the_end_is_closed(run: Run) -> None:
    held: list[Served] = []

    async def scenario(following: Following) -> None:
        held.append(following.served(2))
        held[0].use.enter(1)
        shutil.rmtree(following.store / "m" / "2")
        await following.registry.refresh()

    run(scenario)
    assert isinstance(held[0].version, Version)
    assert is_closed(held[0].version)


# ------------------------------------------------------------------ what is loaded


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        ('"all"', [1, 2, 3, 4]),
        ('"latest"', [4]),
        ("{latest = 2}", [3, 4]),
        ('"aliases"', [4]),
        ("[1, 3, 9]", [1, 3]),
        ('"aliases"\naliases.a = 2', [2]),
        ('"latest"\naliases.a = 2', [2, 4]),
        ("[3]\ndefault = 1", [1, 3]),
    ],
    ids=["all", "latest", "two", "aliases of none", "these", "aliases", "latest and an alias", "and default"],
)
def test_the_team_decides_which_versions_are_loaded(store: Path, policy: str, wanted: list[int]) -> None:
    async def main() -> None:
        for number in (1, 2, 3, 4):
            put(store, number)
        write(store, f"load = {policy}")
        following = Following(store)
        await following.registry.load()
        assert list(following.model.versions) == wanted
        others = {1, 2, 3, 4} - set(wanted)
        assert following.model.unloaded == dict.fromkeys(sorted(others), "policy")
        for number in others:
            with pytest.raises(NotFoundError, match=r"`load` in its model.toml leaves it out"):
                following.served(number)
        following.registry.close()

    asyncio.run(main())


def test_the_latest_version_is_the_latest_that_can_serve(run: Run) -> None:
    async def scenario(following: Following) -> None:
        assert list(following.model.versions) == [2]
        two = following.served(2)
        write_version(following.store, "m", 3, DAMAGED, manifest=False)
        await following.registry.refresh()
        assert following.served(2) is two
        assert list(following.model.failures) == [3]
        put(following.store, 4)
        await following.registry.look()
        assert following.default == 2
        await following.registry.refresh()
        assert list(following.model.versions) == [4]
        await following.until(lambda: following.told("version let go"))

    run(scenario, toml='load = "latest"')


def test_a_store_whose_latest_version_is_bad_starts_with_the_one_before(store: Path) -> None:
    async def main() -> None:
        put(store, 1)
        put(store, 2)
        write_version(store, "m", 3, DAMAGED, manifest=False)
        write(store, 'load = "latest"')
        following = Following(store)
        await following.registry.load()
        assert following.default == 2
        assert following.model.unloaded == {1: "policy"}
        following.registry.close()

    asyncio.run(main())


def test_a_policy_that_changes_is_followed(run: Run) -> None:
    async def scenario(following: Following) -> None:
        one = following.served(1)
        write(following.store, "load = [1]")
        await following.registry.refresh()
        assert list(following.model.versions) == [1]
        write(following.store, "")
        await following.registry.refresh()
        assert list(following.model.versions) == [1, 2]
        assert following.served(1) is one

    run(scenario)


# ------------------------------------------------------------------ loaded when asked


def test_a_lazy_model_is_loaded_once_for_all_who_ask_it(run: Run) -> None:
    async def scenario(following: Following) -> None:
        registry = following.registry
        assert registry.ready
        assert following.model.unloaded == {1: "asleep", 2: "asleep"}
        with pytest.raises(AsleepError):
            registry.default("m")
        with pytest.raises(AsleepError):
            following.served(1)
        await asyncio.gather(*(registry.wake("m", timeout_s=60) for _ in range(20)))
        assert following.default == 2
        assert registry.journal.loads == 2
        await registry.wake("m", timeout_s=None)
        await registry.wake("unknown", timeout_s=None)

    run(scenario, lazy=True)


def test_who_waits_for_a_lazy_model_waits_no_longer_than_told(run: Run) -> None:
    async def scenario(following: Following) -> None:
        write_version(following.store, "m", 3, endless_model_bytes(), manifest=False)
        await following.registry.refresh()
        with pytest.raises(DeadlineError, match="model 'm' was not loaded before the deadline"):
            await following.registry.wake("m", timeout_s=0.05)

    run(scenario, lazy=True)


def test_the_model_that_was_not_asked_for_longest_makes_room(store: Path) -> None:
    async def main() -> None:
        for name in ("a", "b", "c"):
            put(store, 1, name)
        following = Following(store, lazy=True, max_loaded_models=2)
        registry = following.registry
        await registry.load()
        await registry.wake("a", timeout_s=60)
        await registry.wake("b", timeout_s=60)
        registry.default("a").use.enter(2**62)
        await registry.wake("c", timeout_s=60)
        assert {name: model.asleep for name, model in registry.models.items()} == {
            "a": False,
            "b": True,
            "c": False,
        }
        await following.until(lambda: following.told("version let go"))
        await registry.wake("b", timeout_s=60)
        assert registry.default("b").number == 1
        assert registry.ready
        registry.close()

    asyncio.run(main())


def test_a_lazy_model_that_cannot_be_loaded_says_so(store: Path) -> None:
    async def main() -> None:
        write_version(store, "m", 1, DAMAGED, manifest=False)
        following = Following(store, lazy=True)
        await following.registry.load()
        await following.registry.wake("m", timeout_s=60)
        with pytest.raises(NotReadyError, match="no version that can answer"):
            following.registry.default("m")
        assert not following.registry.ready
        following.registry.close()

    asyncio.run(main())


def test_a_lazy_model_is_followed_while_it_is_asleep(run: Run) -> None:
    async def scenario(following: Following) -> None:
        put(following.store, 3)
        await following.registry.refresh()
        assert following.model.unloaded == dict.fromkeys([1, 2, 3], "asleep")
        assert following.registry.journal.loads == 0
        await following.registry.wake("m", timeout_s=60)
        assert following.default == 3

    run(scenario, lazy=True)


def test_a_model_toml_that_is_spoilt_while_its_model_sleeps_changes_nothing_but_is_told(run: Run) -> None:
    async def scenario(following: Following) -> None:
        registry = following.registry
        write(following.store, "default = [[[")
        await registry.refresh()
        assert registry.ready
        assert "model.toml" in str(following.model.error)
        assert following.model.unloaded == {1: "asleep", 2: "asleep"}
        assert following.told("model not in order")
        with pytest.raises(NotFoundError, match="no alias 'x'; it has: old"):
            following.model.alias("x")
        put(following.store, 3)
        await registry.refresh()
        await registry.wake("m", timeout_s=60)
        assert following.default == 1
        assert following.model.versions.keys() == {1, 2}
        assert registry.ready
        assert "model.toml" in str(following.model.error)
        served = following.served(1)
        write(following.store, "default = ]]]")
        await registry.refresh()
        assert following.served(1) is served
        write(following.store, "")
        await registry.refresh()
        assert (following.model.error, following.default) == (None, 3)

    run(scenario, toml="default = 1\naliases.old = 1", lazy=True)


def test_a_model_toml_that_is_spoilt_while_its_model_wakes(run: Run) -> None:
    async def scenario(following: Following) -> None:
        registry = following.registry
        waking = asyncio.create_task(registry.wake("m", timeout_s=60))
        await asyncio.sleep(0)
        write(following.store, "default = [[[")
        await registry.refresh()
        await waking
        assert following.default == 1
        assert following.model.versions.keys() == {1, 2}
        assert "model.toml" in str(following.model.error)

    run(scenario, toml="default = 1", lazy=True)


def test_a_version_that_is_gone_while_its_model_sleeps_by_a_spoilt_model_toml(run: Run) -> None:
    async def scenario(following: Following) -> None:
        registry = following.registry
        write(following.store, "default = [[[")
        (following.store / "m" / "2").rename(following.store / "away")
        await registry.refresh()
        assert following.model.unloaded == {1: "asleep"}
        (following.store / "away").rename(following.store / "m" / "2")
        await registry.refresh()
        await registry.wake("m", timeout_s=60)
        assert following.default == 2

    run(scenario, lazy=True)


def test_a_model_whose_model_toml_is_spoilt_makes_room_all_the_same(run: Run) -> None:
    async def scenario(following: Following) -> None:
        registry = following.registry
        put(following.store, 1, "other")
        await registry.refresh()
        await registry.wake("m", timeout_s=60)
        write(following.store, "default = [[[")
        await registry.refresh()
        assert following.default == 1
        await registry.wake("other", timeout_s=60)
        await following.until(lambda: len(following.told("version let go")) == 2)
        assert following.model.asleep
        assert registry.ready
        await registry.wake("m", timeout_s=60)
        assert following.default == 1
        assert registry.models["other"].asleep
        assert "model.toml" in str(following.model.error)

    run(scenario, toml="default = 1", lazy=True, max_loaded_models=1)


def test_a_disabled_model_whose_model_toml_is_spoilt_stays_disabled(run: Run) -> None:
    async def scenario(following: Following) -> None:
        put(following.store, 1, "other")
        await following.registry.refresh()
        write(following.store, "default = [[[")
        await following.registry.refresh()
        assert following.registry.ready
        with pytest.raises(NotFoundError, match="is disabled"):
            following.registry.model("m")
        write(following.store, "")
        await following.registry.refresh()
        assert following.default == 2

    run(scenario, toml="enabled = false")


def test_a_lazy_model_whose_model_toml_could_never_be_read_waits_until_it_is_mended(run: Run) -> None:
    async def scenario(following: Following) -> None:
        assert not following.registry.ready
        with pytest.raises(NotReadyError, match="no version that can answer"):
            following.registry.default("m")
        write(following.store, "default = 1")
        await following.registry.refresh()
        assert following.model.asleep
        await following.registry.wake("m", timeout_s=60)
        assert following.default == 1

    run(scenario, toml="default = [[[", lazy=True)
