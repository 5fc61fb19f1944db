"""Sends what this worker has counted over OTLP, now and then, from a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, cast

import msgspec

from foretell.errors import PluginError
from foretell_plugins.metrics.totals import Exemplar
from foretell_plugins.otlp import Complaints, destination_of

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Metric, MetricExportResult, MetricsData
    from opentelemetry.sdk.resources import Resource

    from foretell.logs import Logger
    from foretell_plugins.metrics.families import Family, Scale
    from foretell_plugins.metrics.totals import Histogram

__all__ = ["LONGEST_S", "PushSettings", "Pusher", "push_settings"]

Transport = Literal["http/protobuf", "grpc"]

LONGEST_S: Final = 86_400.0
"""The longest time between two exports, seconds: a thread cannot wait for ever."""

_LAST_S: Final = 5.0
"""How long the end of the server waits for the last export, seconds."""


class PushSettings(msgspec.Struct, frozen=True):
    """Where metrics are sent.

    Attributes:
        protocol: How.
        endpoint: Where to; None if the exporter is to look at the environment itself.
        interval_s: How often, seconds.
    """

    protocol: Transport
    endpoint: str | None
    interval_s: float


def push_settings(
    environ: Mapping[str, str],
    *,
    wanted: bool | None,
    protocol: Transport | None,
    endpoint: str | None,
    interval_s: float | None,
) -> PushSettings | None:
    """Where metrics are sent, by the plugin's own settings and the environment; None if they are not.

    Args:
        environ: The environment.
        wanted: Whether they are to be sent; None to let the environment decide.
        protocol: How; None to let the environment decide.
        endpoint: Where to; None to let the environment decide.
        interval_s: How often, seconds; None to let the environment decide.

    Raises:
        PluginError: A variable says what cannot be done.

    Source: OpenTelemetry environment variable specification, and OpenTelemetry protocol exporter.
    """
    if not _is_wanted(environ, wanted=wanted, has_endpoint=endpoint is not None):
        return None
    if protocol is None:
        name = next(
            (
                each
                for each in ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
                if environ.get(each)
            ),
            None,
        )
        given = "http/protobuf" if name is None else environ[name].strip().lower()
        if given not in {"http/protobuf", "grpc"}:
            raise PluginError(f"{name}={given!r}: metrics are sent by 'http/protobuf' or 'grpc'")
        protocol = cast("Transport", given)
    if interval_s is None:
        given = environ.get("OTEL_METRIC_EXPORT_INTERVAL") or "60000"
        try:
            interval_s = float(given) / 1000
        except ValueError:
            interval_s = 0
        if not 0 < interval_s <= LONGEST_S:
            raise PluginError(
                f"OTEL_METRIC_EXPORT_INTERVAL={given!r} is no number of milliseconds that is more than 0 and at "
                "most a day"
            )
    if endpoint is not None and protocol == "http/protobuf":
        endpoint = endpoint.rstrip("/") + "/v1/metrics"
    return PushSettings(protocol, endpoint, interval_s)


def _is_wanted(environ: Mapping[str, str], *, wanted: bool | None, has_endpoint: bool) -> bool:
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if wanted is not None:
        return wanted
    exporters = environ.get("OTEL_METRICS_EXPORTER", "").strip()
    if exporters:
        return "otlp" in {each.strip() for each in exporters.split(",")}
    return has_endpoint or bool(
        environ.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    )


class _Exporter(Protocol):
    """What is asked of an exporter; their own types say too little."""

    def export(self, metrics_data: MetricsData) -> MetricExportResult: ...

    def shutdown(self) -> None: ...


class Pusher:
    """Sends metrics until it is closed. Whatever goes wrong there costs a line in the log, and nothing else.

    Args:
        settings: Where they are sent.
        families: Gives the metrics as they stand now; called in a thread.
        log: Where the lines go.
        in_worker: Whether this process is one of several of the same server.
    """

    def __init__(
        self, settings: PushSettings, families: Callable[[], list[Family]], log: Logger, *, in_worker: bool
    ) -> None:
        self._settings = settings
        self._families = families
        self._log = log
        self._in_worker = in_worker
        self._started_ns = time.time_ns()
        self._stop = threading.Event()
        self._exporter: _Exporter | None = None
        self._failing = False
        self._complaints = Complaints()
        self._destination = destination_of(os.environ, "metrics", settings.protocol, settings.endpoint)
        if self._destination.doubt is not None:
            log.warning("check the settings", plugin="metrics", reason=self._destination.doubt)
        if self._destination.is_default:
            log.info(
                "metrics are sent to the default endpoint",
                endpoint=self._destination.url,
                reason="no endpoint is set: set plugins.config.metrics.otlp_endpoint or OTEL_EXPORTER_OTLP_ENDPOINT",
            )
        self._thread = threading.Thread(target=self._run, name="foretell-metrics", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Send a last time, if that does not take too long."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, _LAST_S)
        if self._thread.is_alive() and self._exporter is not None:
            self._exporter.shutdown()  # wakes it where it waits to try again

    def _run(self) -> None:
        try:
            # Without a handler the exporters' own lines would go to standard error, as plain text.
            logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
            resource = _resource(in_worker=self._in_worker)
            self._exporter = exporter = _exporter(self._settings)
        except Exception as error:  # noqa: BLE001 - other people's code, in a thread that nobody waits for
            self._log.error(
                "metrics are not sent",
                endpoint=self._destination.url,
                reason=f"{type(error).__name__}: {error}",
            )
            return
        stopped = False
        with self._complaints.heard():
            while not stopped:
                stopped = self._stop.wait(self._settings.interval_s)
                self._send(exporter, resource)
        exporter.shutdown()

    def _send(self, exporter: _Exporter, resource: Resource) -> None:
        reason = ""
        self._complaints.take()
        try:
            data = metrics_data(self._families(), resource, started_ns=self._started_ns)
            sent = exporter.export(data).name == "SUCCESS"
            if not sent:
                reason = self._complaints.take() or "the receiver did not take them"
        except Exception as error:  # noqa: BLE001 - other people's code, in a thread that nobody waits for
            sent = False
            reason = f"{type(error).__name__}: {error}"
        if sent == self._failing:  # it is otherwise than it was
            self._failing = not sent
            if sent:
                self._log.info("metrics are sent again")
            else:
                self._log.warning("metrics are not sent", endpoint=self._destination.url, reason=reason)


def _exporter(settings: PushSettings) -> _Exporter:
    if settings.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcExporter

        return GrpcExporter(endpoint=settings.endpoint)
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpExporter

    return HttpExporter(endpoint=settings.endpoint)


def _resource(*, in_worker: bool) -> Resource:
    """What sends: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES before what is said here."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    given = OTELResourceDetector().detect().attributes
    instance = str(given.get("service.instance.id", uuid.uuid4()))
    if in_worker and "service.instance.id" in given:
        instance += f"-{os.getpid()}"  # two senders of one identity would overwrite each other's counts
    own: dict[str, Any] = {"service.name": "foretell", "service.version": version("foretell")}
    return Resource.create({**own, **given, "service.instance.id": instance})


def metrics_data(families: list[Family], resource: Resource, *, started_ns: int) -> MetricsData:
    """Metrics as OpenTelemetry's exporters take them.

    Args:
        families: The metrics.
        resource: What sends them.
        started_ns: Since when they are counted, ns since 1970.
    """
    from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    now_ns = time.time_ns()
    metrics = [
        _metric(family, started_ns, now_ns) for family in families if family.values or family.histograms
    ]
    scope = ScopeMetrics(InstrumentationScope("foretell", version("foretell")), metrics, "")
    return MetricsData([ResourceMetrics(resource, [scope], "")])


def _metric(family: Family, started_ns: int, now_ns: int) -> Metric:
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        Gauge,
        HistogramDataPoint,
        Metric,
        NumberDataPoint,
        Sum,
    )
    from opentelemetry.sdk.metrics.export import Histogram as HistogramData

    unit = (
        "s"
        if family.name.endswith(("_seconds", ".duration"))
        else "By"
        if family.name.endswith("_bytes")
        else "1"
    )
    if family.kind == "histogram":
        points = [
            HistogramDataPoint(
                attributes=_attributes(family, labels),
                start_time_unix_nano=started_ns,
                time_unix_nano=now_ns,
                count=histogram.count,
                sum=histogram.total / family.scale.divisor,
                bucket_counts=histogram.buckets.tolist(),
                explicit_bounds=family.scale.bounds,
                min=cast("float", None),  # not known; the encoder leaves it out
                max=cast("float", None),
                exemplars=_exemplars(histogram, family.scale),
            )
            for labels, histogram in family.histograms.items()
        ]
        return Metric(
            family.name, family.description, unit, HistogramData(points, AggregationTemporality.CUMULATIVE)
        )
    numbers = [
        NumberDataPoint(_attributes(family, labels), started_ns, now_ns, value)
        for labels, value in family.values.items()
    ]
    if family.kind == "counter":
        data = Sum(numbers, AggregationTemporality.CUMULATIVE, is_monotonic=True)
        return Metric(family.name, family.description, unit, data)
    name = f"{family.name}_info" if family.kind == "info" else family.name
    return Metric(name, family.description, unit, Gauge(numbers))


def _attributes(family: Family, labels: tuple[str, ...]) -> dict[str, str | int]:
    attributes: dict[str, str | int] = dict(zip(family.labels, labels, strict=True))
    if "http.request.method" in attributes:  # conventions of its own: what does not apply is left out
        attributes = {name: value for name, value in attributes.items() if value}
        attributes["http.response.status_code"] = int(attributes["http.response.status_code"])
    return attributes


def _exemplars(histogram: Histogram, scale: Scale) -> list[Any]:
    from opentelemetry.sdk.metrics import Exemplar as OtelExemplar

    found: list[Exemplar] = [each for each in histogram.exemplars if each is not None]
    return [
        OtelExemplar({}, each.value_ns / scale.divisor, each.wall_ns, each.span_id, each.trace_id)
        for each in found
    ]
