from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from foretell.plugin import Instrument, NoConfig, Plugin, Stage
from foretell.plugin.loading import LoadedPlugins
from foretell.plugin.plugin_set import PluginSet
from tests.plugin.chains import loaded, make_faults


class Counts(Plugin[NoConfig]):
    stage = Stage.CACHE

    def instruments(self) -> Iterable[Instrument]:
        yield Instrument("seen_total", "counter", "What was seen.", [({}, 1)])


class Fails(Plugin[NoConfig]):
    stage = Stage.CACHE

    def instruments(self) -> Iterable[Instrument]:
        yield Instrument("half_total", "counter", "Not reached.", [({}, 1)])
        raise SystemExit


class Silent(Plugin[NoConfig]):
    stage = Stage.CACHE


def test_the_instruments_of_all_plugins_come_together_and_one_that_fails_is_counted() -> None:
    faults = make_faults()
    plugins: list[Plugin[Any]] = [Fails(NoConfig()), Silent(NoConfig()), Counts(NoConfig())]
    names = [type(plugin).__name__ for plugin in plugins]
    enabled = tuple(loaded(plugin, name=name) for plugin, name in zip(plugins, names, strict=True))
    found = PluginSet(LoadedPlugins(enabled, {}), faults).instruments()
    assert [each.name for each in found] == ["seen_total"]
    assert faults.errors == {"Fails": 1}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("1x", "gauge", "", ()), "'1x' cannot be an instrument's name"),
        (("x-y", "gauge", "", ()), "'x-y' cannot be an instrument's name"),
        (("seen", "counter", "", ()), "ends with _total"),
        (("seen_total", "gauge", "", ()), "ends with _total"),
        (("seen", "gauge", "", [({"a": "1"}, 1), ({"b": "1"}, 1)]), "labels of the same names"),
        (("seen", "gauge", "", [({"a b": "1"}, 1)]), "'a b' cannot be a label's name"),
        (("seen", "gauge", "", [({"__name__": "1"}, 1)]), "'__name__' cannot be a label's name"),
        (("seen", "gauge", "", [({"le": "1"}, 1)]), "'le' cannot be a label's name"),
    ],
    ids=str,
)
def test_an_instrument_that_cannot_be_shown_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Instrument(*given)
