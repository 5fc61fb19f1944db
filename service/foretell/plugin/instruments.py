"""What a plugin counts or measures of itself, for metrics."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Final, Literal

import msgspec

__all__ = ["Instrument"]

_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class Instrument(msgspec.Struct, frozen=True):
    """A counter or a gauge of a plugin, as it stands now; see `Plugin.instruments`.

    Attributes:
        name: Its whole name, for instance ``foretell_cache_bytes``. A counter's ends with ``_total``, a gauge's does
            not.
        kind: A counter only rises while the process lives; a gauge is what is true now.
        description: What it says, in one line.
        samples: Its values, each with its labels. All have labels of the same names, and the values of a label are
            few: never what a caller can choose.
        across_workers: What several worker processes make together. Of gauges, only workers that live take part.

    Raises:
        TypeError: The value of a label is no string, or that of a sample no real number.
        ValueError: A name cannot be used, or the samples have labels of different names.
    """

    name: str
    kind: Literal["counter", "gauge"]
    description: str
    samples: Sequence[tuple[Mapping[str, str], float]]
    across_workers: Literal["sum", "max"] = "sum"

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Refuse what cannot be shown; see the class. Samples may have changed since it was made."""
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} cannot be an instrument's name: use letters, digits and _")
        if self.name.endswith("_total") != (self.kind == "counter"):
            raise ValueError(f"{self.name!r}: the name of a counter, and of nothing else, ends with _total")
        for labels, value in self.samples:
            if labels.keys() != self.samples[0][0].keys():
                raise ValueError(f"{self.name!r}: all samples must have labels of the same names")
            for label, of in labels.items():
                self._check_label(label, of)
            self._check_value(value)

    def _check_label(self, label: str, value: object) -> None:
        if not _NAME.fullmatch(label) or label.startswith("__") or label == "le":
            raise ValueError(f"{self.name!r}: {label!r} cannot be a label's name")
        if not isinstance(value, str):
            raise TypeError(f"{self.name!r}: the label {label!r} must be a string, not {value!r}")

    def _check_value(self, value: object) -> None:
        if not isinstance(value, Real):
            raise TypeError(f"{self.name!r}: a sample must be a real number, not {value!r}")
