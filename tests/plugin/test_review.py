"""Plugins look at what was loaded and tell of versions; one that fails at that harms nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from foretell.plugin import ModelInfo, NoConfig, Plugin, Stage
from foretell.plugin.loading import LoadedPlugins
from foretell.plugin.plugin_set import PluginSet
from tests.plugin.chains import info, loaded, make_faults


class Reviewer(Plugin[NoConfig]):
    """Refuses version 2 of every model, and one that nobody loaded."""

    stage: ClassVar[Stage] = Stage.OBSERVE

    def on_models(self, loaded: Sequence[ModelInfo]) -> Mapping[tuple[str, int], str]:
        return {("m", 2): "too new", ("other", 1): "nobody asked"}

    def status(self, model: str, version: int) -> Mapping[str, Any] | None:
        return {"seen": f"{model}/{version}"} if version == 1 else None


class Crasher(Plugin[NoConfig]):
    stage: ClassVar[Stage] = Stage.OBSERVE

    def on_models(self, loaded: Sequence[ModelInfo]) -> Mapping[tuple[str, int], str]:
        raise ZeroDivisionError

    def status(self, model: str, version: int) -> Mapping[str, Any] | None:
        raise ZeroDivisionError


class Silent(Plugin[NoConfig]):
    stage: ClassVar[Stage] = Stage.OBSERVE


def set_of(**plugins: Plugin[Any]) -> tuple[PluginSet, dict[str, int]]:
    faults = make_faults()
    each = tuple(loaded(plugin, name=name) for name, plugin in plugins.items())
    return PluginSet(LoadedPlugins(each, {}), faults), faults.errors


def test_a_plugin_refuses_versions_that_were_loaded_and_no_others() -> None:
    plugins, _ = set_of(reviewer=Reviewer(NoConfig()), silent=Silent(NoConfig()))
    assert plugins.review([info(version=1), info(version=2)]) == {("m", 2): "plugin 'reviewer': too new"}
    assert plugins.review([info(version=1)]) == {}


def test_a_plugin_that_fails_to_review_refuses_nothing_and_keeps_no_other_from_it() -> None:
    plugins, errors = set_of(crasher=Crasher(NoConfig()), reviewer=Reviewer(NoConfig()))
    assert list(plugins.review([info(version=2)])) == [("m", 2)]
    assert errors == {"crasher": 1}


def test_the_status_of_a_version_is_told_by_plugin() -> None:
    plugins, errors = set_of(crasher=Crasher(NoConfig()), reviewer=Reviewer(NoConfig()))
    assert plugins.status("m", 1) == {"reviewer": {"seen": "m/1"}}
    assert plugins.status("m", 2) == {}
    assert errors == {"crasher": 2}


def test_a_plugin_that_a_model_has_switched_off_tells_nothing_of_it() -> None:
    each = loaded(Reviewer(NoConfig()))
    each.configure("m", {"p": False})
    assert PluginSet(LoadedPlugins((each,), {}), make_faults()).status("m", 1) == {}
