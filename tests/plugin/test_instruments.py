from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from foretell.plugin import Instrument, NoConfig, Plugin, Stage
from foretell.plugin.faults import Faults
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


WRONG: dict[str, Any] = {
    "a label that is no text": [({"shard": 1}, 3)],
    "nothing as a value": [({"shard": "1"}, None)],
    "text as a value": [({"shard": "1"}, "3")],
    "a complex number": [({"shard": "1"}, 3j)],
}
wrong = pytest.mark.parametrize("samples", WRONG.values(), ids=WRONG)


@wrong
def test_labels_are_text_and_values_real_numbers(samples: Any) -> None:
    with pytest.raises(TypeError, match="'seen_total': "):
        Instrument("seen_total", "counter", "What was seen.", samples)


def instruments_of(*plugins: Plugin[Any], faults: Faults) -> list[Instrument]:
    enabled = tuple(loaded(plugin, name=type(plugin).__name__) for plugin in plugins)
    return PluginSet(LoadedPlugins(enabled, {}), faults).instruments()


@wrong
def test_one_that_has_become_wrong_since_it_was_made_is_left_out_and_counted(samples: Any) -> None:
    class Changes(Plugin[NoConfig]):
        stage = Stage.CACHE

        def instruments(self) -> Iterable[Instrument]:
            kept: list[Any] = []
            yield Instrument("good_total", "counter", "Left out with the other.", [({}, 1)])
            yield Instrument("seen_total", "counter", "What was seen.", kept)
            kept += samples

    faults = make_faults()
    found = instruments_of(Changes(NoConfig()), Counts(NoConfig()), faults=faults)
    assert [each.name for each in found] == ["seen_total"]
    assert found[0].samples == [({}, 1)]
    assert faults.errors == {"Changes": 1}


def test_what_is_no_instrument_is_left_out_and_counted() -> None:
    class Odd(Plugin[NoConfig]):
        stage = Stage.CACHE

        def instruments(self) -> Any:
            return [("seen_total", 1)]

    faults = make_faults()
    assert [each.name for each in instruments_of(Odd(NoConfig()), Counts(NoConfig()), faults=faults)] == [
        "seen_total"
    ]
    assert faults.errors == {"Odd": 1}


@pytest.mark.parametrize(
    "value", [np.int64(3), np.float32(3), Fraction(3), True, 3], ids=lambda value: type(value).__name__
)
def test_a_number_of_any_kind_becomes_a_plain_one(value: Any) -> None:
    class Numpy(Plugin[NoConfig]):
        stage = Stage.CACHE

        def instruments(self) -> Iterable[Instrument]:
            yield Instrument("seen", "gauge", "What was seen.", [({"a": "b"}, value)])

    faults = make_faults()
    (found,) = instruments_of(Numpy(NoConfig()), faults=faults)
    ((labels, number),) = found.samples
    assert (labels, number, type(number) in {int, float}) == ({"a": "b"}, int(value), True)
    assert faults.errors == {}
