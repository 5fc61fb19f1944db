"""What a worker says of itself beside its journal: what is so now, and what its plugins count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from foretell.plugin import Instrument

if TYPE_CHECKING:
    from foretell.plugin import Host
    from foretell_plugins.metrics.instruments import Instruments

__all__ = ["State", "gather", "merge"]


class State(msgspec.Struct, frozen=True):
    """What a worker says of itself.

    Attributes:
        in_flight: How many predictions are going on.
        plugin_errors: How often each plugin has failed, by name.
        instruments: What its plugins count and measure.
        dropped: How often an instrument of theirs could not be shown, by name.
    """

    in_flight: int = 0
    plugin_errors: dict[str, int] = {}
    instruments: list[Instrument] = []
    dropped: dict[str, int] = {}

    def of_the_dead(self) -> State:
        """What stays true when the worker has ended: what was counted."""
        counters = [each for each in self.instruments if each.kind == "counter"]
        return State(0, self.plugin_errors, counters, self.dropped)


def gather(host: Host, instruments: Instruments) -> State:
    """What this worker says of itself now; call it on the event loop."""
    usable = instruments.usable(host.instruments())
    return State(host.in_flight, dict(host.plugin_errors), usable, dict(instruments.dropped))


def merge(states: Iterable[State]) -> State:
    """What several workers make together. Where two describe an instrument differently, the first is believed."""
    in_flight = 0
    errors: dict[str, int] = {}
    dropped: dict[str, int] = {}
    first: dict[str, Instrument] = {}
    values: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for state in states:
        in_flight += state.in_flight
        for plugin, count in state.plugin_errors.items():
            errors[plugin] = errors.get(plugin, 0) + count
        for name, count in state.dropped.items():
            dropped[name] = dropped.get(name, 0) + count
        for instrument in state.instruments:
            known = first.setdefault(instrument.name, instrument)
            samples = values.setdefault(instrument.name, {})
            for labels, value in instrument.samples:
                key = tuple(sorted(labels.items()))
                before = samples.get(key)
                if before is None:
                    samples[key] = value
                else:
                    samples[key] = max(before, value) if known.across_workers == "max" else before + value
    together = [_with(each, values[name]) for name, each in sorted(first.items())]
    return State(in_flight, errors, together, dropped)


def _with(instrument: Instrument, values: Mapping[tuple[tuple[str, str], ...], float]) -> Instrument:
    samples = [(dict(labels), value) for labels, value in values.items()]
    names = samples[0][0].keys() if samples else ()
    same = [(labels, value) for labels, value in samples if labels.keys() == names]
    return msgspec.structs.replace(instrument, samples=same)
