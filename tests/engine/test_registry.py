"""The models that are served, whatever became of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from foretell.engine.attempt import Stop, start
from foretell.engine.registry import Registry
from foretell.engine.stand_in import StandIn
from foretell.engine.version import Version
from foretell.errors import LoadTimeoutError, NotFoundError, NotReadyError, StillLoadingError
from foretell.prediction import ModelInfo, PredictRequest, RequestRecord
from foretell.store.model_config import ModelConfig
from tests.engine.loaders import LOADER
from tests.models import (
    endless_model_bytes,
    linear_model_bytes,
    make_manifest,
    signature_of,
    write_model_toml,
    write_version,
)

MODEL = linear_model_bytes()
DAMAGED = b"not a model"


def make(store: Path) -> Registry[Version]:
    return Registry(store, LOADER, serve=lambda version, _: version)


def load(store: Path, only: str | None = None) -> Registry[Version]:
    registry = make(store)
    asyncio.run(registry.load(only))
    registry.close()
    return registry


def state(registry: Registry[Version]) -> tuple[str | None, bool, bool]:
    """Error, loading, ready."""
    return registry.error, registry.loading, registry.ready


def number(version: Version) -> int:
    return version.info.version


def fill(store: Path, name: str = "m", good: tuple[int, ...] = (1, 2), bad: tuple[int, ...] = ()) -> None:
    for version in good:
        write_version(store, name, version, MODEL)
    for version in bad:
        write_version(store, name, version, DAMAGED, manifest=False)


def test_every_version_is_served_and_the_highest_is_the_default(store: Path) -> None:
    fill(store, good=(2, 10, 9))
    registry = load(store)
    assert registry.ready
    assert sorted(registry.models["m"].versions) == [2, 9, 10]
    assert number(registry.default("m")) == 10
    assert number(registry.model("m").version(2)) == 2
    assert registry.models["m"].error is None


def test_each_version_is_made_into_what_serves_it_once(store: Path) -> None:
    fill(store)
    served: list[int] = []

    def serve(version: Version, _: ModelConfig) -> str:
        served.append(number(version))
        return "x"

    registry = Registry(store, LOADER, serve=serve)
    asyncio.run(registry.load())
    registry.close()
    assert sorted(served) == [1, 2]
    assert registry.default("m") == "x"


def test_a_version_that_fails_is_listed_with_its_reason_and_harms_no_other(store: Path) -> None:
    fill(store, good=(1,), bad=(2,))
    fill(store, "other")
    registry = load(store)
    model = registry.model("m")
    assert list(model.versions) == [1]
    assert "not an ONNX model" in model.failures[2]
    assert number(registry.default("m")) == 1
    assert registry.ready
    with pytest.raises(NotReadyError, match="version 2 of 'm' failed to load"):
        model.version(2)


def test_a_foreign_file_that_breaks_the_loading_harms_no_other(store: Path) -> None:
    """Here an example that is not what its columns take."""
    fill(store, good=(1,))
    signature = msgspec.structs.replace(signature_of(MODEL), example=("not", "numbers"))
    write_version(store, "m", 2, MODEL, make_manifest(MODEL, signature))
    registry = load(store)
    assert list(registry.model("m").versions) == [1]
    assert registry.model("m").failures[2]


def test_a_model_of_which_nothing_loads_is_not_ready(store: Path) -> None:
    fill(store, good=(), bad=(1,))
    fill(store, "good")
    registry = load(store)
    assert not registry.models["m"].ready
    assert not registry.ready
    assert number(registry.default("good")) == 2
    with pytest.raises(NotReadyError, match="'m' has no version that can answer"):
        registry.default("m")


def test_a_model_without_versions_is_not_ready(store: Path) -> None:
    write_model_toml(store, "m", "")
    registry = load(store)
    assert not registry.ready
    assert registry.models["m"].error == "it has no versions"
    with pytest.raises(NotFoundError, match="has no version 1; it has: none"):
        registry.model("m").version(1)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("default = 1", 1),
        ('default = "champion"\n[aliases]\nchampion = 1', 1),
        ("[aliases]\nchampion = 1", 2),
    ],
    ids=["version", "alias", "an alias alone"],
)
def test_the_team_decides_on_the_default(store: Path, text: str, wanted: int) -> None:
    fill(store)
    write_model_toml(store, "m", text)
    assert number(load(store).default("m")) == wanted


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("default = 3", "its default, version 3, failed to load"),
        ("default = 4", "its default, version 4, is absent"),
        ('default = "new"\n[aliases]\nnew = 3', "its default, version 3, failed to load"),
        ('default = "new"\n[aliases]\nnew = 4', "its default, version 4, is absent"),
    ],
    ids=["damaged version", "absent version", "alias of a damaged version", "alias of an absent version"],
)
def test_a_default_that_cannot_answer_is_not_replaced_by_another(store: Path, text: str, reason: str) -> None:
    fill(store, bad=(3,))
    write_model_toml(store, "m", text)
    registry = load(store)
    assert not registry.ready
    assert registry.models["m"].error == reason
    with pytest.raises(NotReadyError):
        registry.default("m")
    assert number(registry.model("m").version(1)) == 1


def test_an_alias_names_a_version(store: Path) -> None:
    fill(store, bad=(3,))
    write_model_toml(store, "m", "[aliases]\nchampion = 1\nbroken = 3\ngone = 4\n")
    model = load(store).model("m")
    assert number(model.alias("champion")) == 1
    with pytest.raises(NotReadyError, match="version 3"):
        model.alias("broken")
    with pytest.raises(
        NotFoundError, match="alias 'gone' of 'm' points at version 4, which does not exist; it has: 1, 2, 3"
    ):
        model.alias("gone")
    with pytest.raises(NotFoundError, match="no alias 'x'; it has: broken, champion, gone"):
        model.alias("x")


def test_a_model_without_aliases_says_so(store: Path) -> None:
    fill(store)
    with pytest.raises(NotFoundError, match="no alias 'x'; it has: none"):
        load(store).model("m").alias("x")


def test_a_disabled_model_is_not_served_and_does_not_count(store: Path) -> None:
    fill(store)
    fill(store, "off", good=(), bad=(1,))
    write_model_toml(store, "off", "enabled = false")
    registry = load(store)
    assert registry.ready
    with pytest.raises(NotFoundError, match="model 'off' is disabled"):
        registry.model("off")


def test_a_broken_model_toml_is_a_model_that_is_not_ready(store: Path) -> None:
    fill(store)
    fill(store, "broken")
    path = write_model_toml(store, "broken", "enabeld = true")
    registry = load(store)
    assert not registry.ready
    error = registry.models["broken"].error
    assert error is not None
    assert str(path) in error
    assert number(registry.default("m")) == 2
    with pytest.raises(NotReadyError):
        registry.default("broken")


def test_a_version_of_a_model_with_a_broken_model_toml_exists_but_is_not_ready(store: Path) -> None:
    fill(store)
    write_model_toml(store, "m", "enabeld = true")
    with pytest.raises(NotReadyError):
        load(store).model("m").version(1)


def test_limits_of_a_model_stand_in_for_the_server_s(store: Path) -> None:
    fill(store)
    fill(store, "small")
    write_model_toml(store, "small", "[limits]\nmax_rows = 3")
    registry = load(store)
    limits = {name: registry.default(name).parser.max_rows for name in ("m", "small")}
    assert limits == {"m": 100, "small": 3}


def test_an_empty_store_is_not_ready(store: Path) -> None:
    registry = load(store)
    assert registry.models == {}
    assert registry.error is None
    assert not registry.ready


def test_an_absent_store_is_not_ready_until_it_is_there(tmp_path: Path) -> None:
    registry = make(tmp_path / "later")
    asyncio.run(registry.load())
    error, *rest = state(registry)
    assert "does not exist" in str(error)
    assert rest == [False, False]
    with pytest.raises(NotReadyError, match="the model store cannot be read"):
        registry.model("m")

    fill(tmp_path / "later")
    asyncio.run(registry.load())
    registry.close()
    assert state(registry) == (None, False, True)


def test_an_unknown_model_is_not_found(store: Path) -> None:
    fill(store)
    registry = load(store)
    for name in ("n", "", "..", "m/1", "M"):
        with pytest.raises(NotFoundError, match="there is no model"):
            registry.model(name)


def test_only_one_model_is_loaded_if_only_one_is_asked_for(store: Path) -> None:
    fill(store)
    fill(store, "other")
    assert list(load(store, only="m").models) == ["m"]


def test_models_appear_as_they_are_loaded_and_nothing_is_ready_before_the_last(store: Path) -> None:
    fill(store, "b")
    fill(store, "a")
    seen: list[tuple[list[str], bool, bool]] = []
    counts: list[int] = []
    registry = make(store)
    assert state(registry) == (None, True, False)
    with pytest.raises(StillLoadingError, match="still being loaded"):
        registry.model("a")
    asyncio.run(
        registry.load(
            on_found=counts.append,
            on_loaded=lambda _: seen.append((list(registry.models), registry.loading, registry.ready)),
        )
    )
    registry.close()
    assert counts == [2]
    assert [len(names) for names, *_ in seen] == [1, 2]
    assert seen[1] == (["a", "b"], True, False)
    assert state(registry) == (None, False, True)
    assert list(registry.models["a"].versions) == [1, 2]


def test_a_version_that_takes_too_long_has_failed_and_harms_no_other(store: Path) -> None:
    write_version(store, "a", 1, endless_model_bytes(), manifest=False)
    write_version(store, "b", 1, MODEL)
    loader = msgspec.structs.replace(LOADER, timeout_s=1.0)
    registry: Registry[Version] = Registry(store, loader, serve=lambda version, _: version)
    asyncio.run(registry.load())
    registry.close()
    assert "after 1 s" in registry.models["a"].failures[1]
    assert "engine.load_timeout_s" in registry.models["a"].failures[1]
    assert registry.models["a"].error == "none of its versions can serve; each has its reason"
    assert number(registry.default("b")) == 1


def test_a_run_that_nobody_waits_for_is_ended(store: Path) -> None:
    folder = write_version(store, "a", 1, endless_model_bytes(), manifest=False)
    stop = Stop()
    future = start(lambda: LOADER.load("a", 1, folder, ModelConfig(), stop=stop), "endless")
    with pytest.raises(TimeoutError):
        future.result(0.5)
    stop.ask()
    with pytest.raises(LoadTimeoutError):
        future.result(60)


def test_a_misspelt_model_gets_a_hint(store: Path) -> None:
    fill(store, "churn")
    registry = load(store)
    with pytest.raises(NotFoundError, match="no model 'chrun'; did you mean 'churn'"):
        registry.model("chrun")
    assert registry.hint("churn" * 20) == ""


def test_two_registries_in_one_process_do_not_see_each_other(tmp_path: Path) -> None:
    fill(tmp_path / "one", "m", good=(1,))
    fill(tmp_path / "two", "m", good=(2,))
    fill(tmp_path / "two", "n")
    one, two = load(tmp_path / "one"), load(tmp_path / "two")
    assert list(one.models) == ["m"]
    assert list(two.models) == ["m", "n"]
    assert number(one.default("m")) == 1
    assert number(two.default("m")) == 2


def standing(
    store: Path, review: Callable[[Sequence[ModelInfo]], dict[tuple[str, int], str]]
) -> Registry[Any]:
    """A registry that serves versions as themselves, and lets something stand where they fail."""
    return Registry(
        store,
        LOADER,
        serve=lambda version, _: version,
        stand_in=lambda absent, config: absent if "f" in config.plugins else None,
        review=review,
    )


def test_something_stands_where_a_version_failed_if_anything_answers_for_it(store: Path) -> None:
    fill(store, good=(1,))
    write_version(store, "m", 2, DAMAGED, make_manifest(MODEL))
    fill(store, "plain", good=())
    write_version(store, "plain", 1, DAMAGED, make_manifest(MODEL))
    write_model_toml(store, "m", "default = 2\nplugins.f = 1\n[aliases]\nold = 1\nlost = 7\n")
    registry = standing(store, lambda _: {})
    asyncio.run(registry.load())
    registry.close()
    model = registry.models["m"]
    for absent, number in ((registry.default("m"), 2), (model.version(2), 2), (model.alias("lost"), 7)):
        assert isinstance(absent, StandIn)
        assert (absent.info.version, absent.info.signature) == (number, signature_of(MODEL))
    assert isinstance(model.alias("old"), Version)
    assert not model.ready
    assert not registry.ready
    assert model.failures[7] == "it is absent from the store"
    with pytest.raises(NotFoundError):
        model.version(3)
    with pytest.raises(NotReadyError):
        registry.default("plain")


def test_what_stands_in_place_of_a_version_refuses_every_request(store: Path) -> None:
    write_version(store, "m", 2, DAMAGED, make_manifest(MODEL))
    write_model_toml(store, "m", "plugins.f = 1")
    registry = standing(store, lambda _: {})
    asyncio.run(registry.load())
    request = PredictRequest({}, 1, RequestRecord("r", "native", 0))
    with pytest.raises(NotReadyError, match="version 2 of 'm' does not serve; see GET /v1/models/m"):
        registry.default("m").respond(request)


def test_a_version_that_is_refused_after_loading_is_out_of_service(store: Path) -> None:
    fill(store)
    seen: list[tuple[str, int]] = []

    def review(loaded: Sequence[ModelInfo]) -> dict[tuple[str, int], str]:
        seen.extend((info.name, info.version) for info in loaded)
        return {("m", 2): "not with the others"}

    registry = standing(store, review)
    asyncio.run(registry.load())
    registry.close()
    assert seen == [("m", 1), ("m", 2)]
    model = registry.models["m"]
    assert (list(model.versions), model.failures) == ([1], {2: "not with the others"})
    assert number(registry.default("m")) == 1
    with pytest.raises(NotReadyError):
        model.version(2)
