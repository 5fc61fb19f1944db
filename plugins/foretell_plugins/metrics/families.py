"""From totals to metrics: every instrument with its name, its labels and its values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from foretell_plugins.metrics.totals import BOUNDS_NS, ROW_BOUNDS, STAGES, Histogram, Row, Totals

if TYPE_CHECKING:
    from foretell.plugin import ModelInfo
    from foretell_plugins.metrics.label_sets import LabelSet
    from foretell_plugins.metrics.state import State

__all__ = ["DURATION_BOUNDS_S", "Family", "Scale", "families_of", "http_server_duration"]

DURATION_BOUNDS_S: Final = tuple(bound / 1e9 for bound in BOUNDS_NS.tolist())


class Scale(msgspec.Struct, frozen=True):
    """The buckets of a histogram.

    Attributes:
        bounds: Their upper bounds, in the unit that is shown.
        divisor: How many of the unit that is counted in make one.
    """

    bounds: tuple[float, ...]
    divisor: float


_SECONDS: Final = Scale(DURATION_BOUNDS_S, 1e9)
_ROWS: Final = Scale(tuple(float(bound) for bound in ROW_BOUNDS.tolist()), 1.0)


class Family(msgspec.Struct):
    """One metric and all its values.

    Attributes:
        name: Its name.
        kind: What it is.
        description: What it says, in one line.
        labels: The names of its labels.
        scale: The buckets of a histogram.
        values: The value of each combination of labels.
        histograms: The same for a histogram.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram", "info"]
    description: str
    labels: tuple[str, ...]
    scale: Scale = _SECONDS
    values: dict[tuple[str, ...], float] = {}
    histograms: dict[tuple[str, ...], Histogram] = {}

    def add(self, labels: Sequence[str], value: float) -> None:
        """Add to the value of a combination of labels."""
        key = tuple(labels)
        self.values[key] = self.values.get(key, 0) + value

    def add_histogram(self, labels: Sequence[str], histogram: Histogram) -> None:
        """Add to the histogram of a combination of labels."""
        key = tuple(labels)
        before = self.histograms.get(key)
        if before is None:
            self.histograms[key] = histogram
        else:
            before.add(histogram)


def families_of(totals: Totals, state: State, models: Iterable[ModelInfo]) -> list[Family]:
    """Every metric of this server.

    Args:
        totals: What the requests come to.
        state: What is so now, and what plugins count.
        models: The versions that are loaded.
    """
    counts = [(labels, row) for labels, row in totals.counted() if labels.is_prediction]
    families = [*_of_requests(counts), *_of_state(state), *_of_models(models)]
    taken = {family.name for family in families}
    for instrument in state.instruments:
        if instrument.name not in taken and instrument.samples:
            names = tuple(instrument.samples[0][0])
            family = Family(instrument.name, instrument.kind, instrument.description, names)
            for labels, value in instrument.samples:
                family.add([labels[name] for name in names], value)
            families.append(family)
    return families


def http_server_duration(totals: Totals) -> Family:
    """OpenTelemetry's metric of every HTTP server.

    Source: OpenTelemetry semantic conventions, HTTP metrics, http.server.request.duration.
    """
    family = Family(
        "http.server.request.duration",
        "histogram",
        "Duration of HTTP server requests.",
        ("http.request.method", "http.route", "http.response.status_code", "url.scheme", "error.type"),
    )
    for labels, row in totals.counted():
        if not labels.status:
            continue
        error = (labels.error or str(labels.status)) if labels.status >= 500 else ""
        # TLS ends before foretell, which sees plain HTTP.
        family.add_histogram((labels.method, labels.route, str(labels.status), "http", error), row.duration)
    return family


_Counts = list[tuple["LabelSet", Row]]


def _of_requests(counts: _Counts) -> list[Family]:
    requests = Family(
        "foretell_requests_total",
        "counter",
        "Prediction requests that were answered.",
        ("model", "version", "protocol", "outcome"),
    )
    duration = Family(
        "foretell_request_duration_seconds",
        "histogram",
        "From the request's being taken up to its answer's being ready.",
        ("model", "protocol"),
    )
    stages = Family(
        "foretell_stage_duration_seconds",
        "histogram",
        "How long each stage of a prediction took.",
        ("model", "stage"),
    )
    rows = Family("foretell_rows_total", "counter", "Rows that were answered.", ("model", "version"))
    run_rows = Family("foretell_batch_rows", "histogram", "Rows of each run of a model.", ("model",), _ROWS)
    fallback = Family(
        "foretell_fallback_total",
        "counter",
        "Requests that something else answered than what was asked.",
        ("model", "reason", "target"),
    )
    rejected = Family(
        "foretell_rejected_total",
        "counter",
        "Sound requests that the server would not answer.",
        ("reason",),
    )
    cache = {
        status: Family(f"foretell_cache_{name}_total", "counter", description, ("model",))
        for status, name, description in (
            ("hit", "hits", "Requests that the cache answered."),
            ("miss", "misses", "Requests that the cache had no answer for."),
            ("coalesced", "coalesced", "Requests that waited for the answer of an equal one."),
        )
    }
    for labels, row in counts:
        version = str(labels.version or "")
        requests.add((labels.model, version, labels.protocol, labels.outcome), row.count)
        duration.add_histogram((labels.model, labels.protocol), row.duration)
        for number, stage in enumerate(STAGES):
            histogram = row.stage(number)
            if histogram.count:
                stages.add_histogram((labels.model, stage), histogram)
        if labels.outcome in {"success", "degraded"} and labels.model:
            rows.add((labels.model, version), row.rows)
        if row.run_rows.count:
            run_rows.add_histogram((labels.model,), row.run_rows)
        if labels.degraded:
            fallback.add((labels.model, labels.degraded, labels.served_by), row.count)
        if labels.outcome == "rejected":
            rejected.add((labels.error or "other",), row.count)
        if labels.cache in cache:
            cache[labels.cache].add((labels.model,), row.count)
    return [requests, duration, stages, rows, run_rows, *cache.values(), fallback, rejected]


def _of_state(state: State) -> list[Family]:
    in_flight = Family("foretell_in_flight", "gauge", "Predictions that are going on.", ())
    in_flight.add((), state.in_flight)
    errors = Family("foretell_plugin_errors_total", "counter", "How often a plugin has failed.", ("plugin",))
    for plugin, count in state.plugin_errors.items():
        errors.add((plugin,), count)
    dropped = Family(
        "foretell_instruments_dropped_total",
        "counter",
        "How often an instrument of a plugin was left out because it cannot be shown.",
        ("instrument",),
    )
    for name, count in state.dropped.items():
        dropped.add((name,), count)
    return [in_flight, errors, dropped]


def _of_models(models: Iterable[ModelInfo]) -> list[Family]:
    info = Family(
        "foretell_model", "info", "The versions that are loaded.", ("model", "version", "digest", "task")
    )
    load = Family(
        "foretell_model_load_seconds",
        "gauge",
        "How long a version took to load, its warm-up included.",
        ("model", "version"),
    )
    for model in models:
        task = model.signature.task
        info.add((model.name, str(model.version), model.digest, task), 1)
        if model.load_s is not None:
            load.add((model.name, str(model.version)), model.load_s)
    return [info, load]
