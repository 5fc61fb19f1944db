"""Metrics as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar as PrometheusExemplar

if TYPE_CHECKING:
    from foretell_plugins.metrics.families import Family, Scale
    from foretell_plugins.metrics.totals import Exemplar, Histogram

__all__ = ["Exposition"]


class Exposition:
    """Writes metrics in the format that a scraper asks for, those of this process and of Python beside them."""

    def __init__(self) -> None:
        self._process = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)
        GCCollector(registry=self._process)

    def write(self, families: Iterable[Family], accept: str) -> tuple[bytes, str]:
        """The metrics as text.

        Args:
            families: The metrics.
            accept: The request's Accept header. Exemplars stand in OpenMetrics only.

        Returns:
            The body and its media type.
        """
        try:
            encode, media_type = choose_encoder(accept)
        except (TypeError, ValueError, LookupError):  # a parameter of the header is not what it should be
            encode, media_type = choose_encoder("")
        return encode(_Collected([*map(_metric, families), *self._process.collect()])), media_type


class _Collected(Collector):
    """Metrics that were collected already."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _metric(family: Family) -> Metric:
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.description, labels=family.labels)
        for labels, each in sorted(family.histograms.items()):
            histogram.add_metric(labels, _buckets(each, family.scale), each.total / family.scale.divisor)
        return histogram
    if family.kind == "info":
        info = InfoMetricFamily(family.name, family.description, labels=family.labels)
        for labels in sorted(family.values):
            info.add_metric(labels, {})
        return info
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.description, labels=family.labels)
    for labels, value in sorted(family.values.items()):
        metric.add_metric(labels, value)
    return metric


def _buckets(
    histogram: Histogram, scale: Scale
) -> list[tuple[str, float] | tuple[str, float, PrometheusExemplar]]:
    buckets: list[tuple[str, float] | tuple[str, float, PrometheusExemplar]] = []
    bounds = [*map(str, scale.bounds), "+Inf"]
    counts: list[int] = histogram.buckets.tolist()
    for bound, count, exemplar in zip(bounds, accumulate(counts), histogram.exemplars, strict=True):
        if exemplar is None:
            buckets.append((bound, count))
        else:
            buckets.append((bound, count, _exemplar(exemplar, scale)))
    return buckets


def _exemplar(exemplar: Exemplar, scale: Scale) -> PrometheusExemplar:
    labels = {"trace_id": f"{exemplar.trace_id:032x}"}
    if exemplar.span_id:
        labels["span_id"] = f"{exemplar.span_id:016x}"
    return PrometheusExemplar(labels, exemplar.value_ns / scale.divisor, exemplar.wall_ns / 1e9)
