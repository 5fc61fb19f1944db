"""What stands in a scrape, to be asked for by name and labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.samples import Sample

__all__ = ["OPEN_METRICS", "Scrape"]

_PARSERS: Final = {True: "prometheus_client.openmetrics.parser", False: "prometheus_client.parser"}

OPEN_METRICS: Final = "application/openmetrics-text; version=1.0.0"


class Scrape:
    """A scrape.

    Args:
        text: What came back.
        is_open: Whether it is OpenMetrics.
    """

    def __init__(self, text: str, *, is_open: bool = False) -> None:
        module: Any = import_module(_PARSERS[is_open])  # one of the two has no types
        parse: Callable[[str], Iterable[Metric]] = module.text_string_to_metric_families
        self.families: dict[str, Metric] = {family.name: family for family in parse(text)}
        self.samples: list[Sample] = [each for family in self.families.values() for each in family.samples]

    def sum(self, name: str, **labels: str) -> float:
        """The sum of all samples of a name that have these labels among theirs; 0 if there is none."""
        return sum(
            sample.value for sample in self.samples if sample.name == name and _fits(sample.labels, labels)
        )

    def labels(self, name: str) -> set[tuple[tuple[str, str], ...]]:
        """The label combinations of a name."""
        return {tuple(sorted(sample.labels.items())) for sample in self.samples if sample.name == name}


def _fits(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return wanted.items() <= labels.items()
