"""The instruments of the plugins, as far as they can be shown: one that cannot costs no other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import msgspec

from foretell.plugin import Instrument

if TYPE_CHECKING:
    from foretell.logs import Logger

__all__ = ["Instruments"]

_MOST_NAMES: Final = 100
_LONGEST: Final = 100


class Instruments:
    """Takes what the plugins count. What is no text or number is made one; what cannot be is left out, and said once.

    Args:
        log: The server's log.

    Attributes:
        dropped: How often each instrument was left out, by name; the name is empty for what comes after a hundred.
    """

    def __init__(self, log: Logger) -> None:
        self.dropped: dict[str, int] = {}
        self._log = log

    def usable(self, found: Iterable[Instrument]) -> list[Instrument]:
        """Those that can be shown, with labels of text and plain numbers."""
        usable: list[Instrument] = []
        for each in found:
            try:
                usable.append(_plain(each))
            except Exception as error:  # noqa: BLE001 - what a plugin says of itself can be anything
                self._drop(str(getattr(each, "name", each))[:_LONGEST], error)
        return usable

    def _drop(self, name: str, error: Exception) -> None:
        if name not in self.dropped:
            if len(self.dropped) >= _MOST_NAMES:
                name = ""
            else:
                self._log.warning(
                    "an instrument of a plugin cannot be shown",
                    instrument=name,
                    reason=f"{type(error).__name__}: {error}",
                )
        self.dropped[name] = self.dropped.get(name, 0) + 1


def _plain(instrument: Instrument) -> Instrument:
    """The same of plain types. NumPy's numbers, for instance, can neither be shown nor sent to other workers."""
    samples = [
        ({str(name): str(label) for name, label in labels.items()}, float(value))
        for labels, value in instrument.samples
    ]
    given = {name: getattr(instrument, name) for name in instrument.__struct_fields__}
    return msgspec.convert({**given, "samples": samples}, Instrument)
