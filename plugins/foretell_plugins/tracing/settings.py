"""What the environment and the settings say of tracing. The environment goes first, as OpenTelemetry's users expect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeVar

import msgspec

from foretell.errors import PluginError
from foretell_plugins.otlp import URL_FORM, Destination, destination_of
from foretell_plugins.tracing.sampling import SAMPLERS, SamplerName

__all__ = ["ExporterName", "Protocol", "TracingConfig", "TracingSettings", "resolve"]

ExporterName = Literal["otlp", "console", "none"]
"""Where spans go, by the names of ``OTEL_TRACES_EXPORTER``."""

Protocol = Literal["http/protobuf", "grpc"]
"""How OTLP is spoken, by the names of ``OTEL_EXPORTER_OTLP_PROTOCOL``."""

_PROTOCOLS: Final[tuple[Protocol, ...]] = ("http/protobuf", "grpc")
_EXPORTERS: Final[tuple[ExporterName, ...]] = ("otlp", "console", "none")
_PATH: Final = "/v1/traces"
_BY_RATIO: Final = "traceidratio"
_MOST_SPANS: Final = 1_000_000
_DAY_MS: Final = 86_400_000

T = TypeVar("T", ExporterName, Protocol, SamplerName)


class TracingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The configuration of the plugin. Each ``OTEL_*`` variable that is set goes before its key here.

    Attributes:
        exporter: Where spans go: ``otlp``, ``console`` (standard output) or ``none``. Without it, ``otlp`` if there
            is an endpoint, and ``none`` if not. `OTEL_TRACES_EXPORTER`.
        endpoint: Where the OTLP receiver listens, for instance ``http://localhost:4318``, without a path.
            `OTEL_EXPORTER_OTLP_ENDPOINT`.
        protocol: ``http/protobuf`` or ``grpc``. `OTEL_EXPORTER_OTLP_PROTOCOL`.
        headers: What is sent along with each export, for instance a key. `OTEL_EXPORTER_OTLP_HEADERS`.
        sampler: Which requests are traced. Without it, ``parentbased_traceidratio`` if there is a ratio, and
            ``parentbased_always_on`` if not: all but those whose caller says that they are not.
            `OTEL_TRACES_SAMPLER`.
        ratio: Which fraction of traces the two ratio samplers take, 0 to 1; 1 if it is not set.
            `OTEL_TRACES_SAMPLER_ARG`.
        shutdown_s: How long the end of the server waits for the last export at most, seconds. Five fit well into
            the half minute that Kubernetes gives a pod.
        global_api: Whether spans that other code opens with ``opentelemetry.trace.get_tracer`` join the trace of
            their request. It sets the process's tracer provider, which can be set only once; so it is off unless
            the process is foretell's own.
    """

    exporter: ExporterName | None = None
    endpoint: Annotated[str, msgspec.Meta(pattern="^https?://", description=URL_FORM)] | None = None
    protocol: Protocol = "http/protobuf"
    headers: dict[str, str] = {}
    sampler: SamplerName | None = None
    ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    shutdown_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 5.0
    global_api: bool = False


class TracingSettings(msgspec.Struct, frozen=True):
    """What counts.

    Attributes:
        exporters: Where spans go; empty if nowhere.
        idle: Why nothing is traced; None if something is.
        protocol: How OTLP is spoken.
        endpoint: The URL for the exporter; None leaves it to the environment, or the exporter's default.
        destination: Where the exporter of OTLP sends; None if there is none.
        headers: The headers for the exporter; None leaves them to the environment.
        sampler: Which requests are traced.
        ratio: Which fraction of traces the ratio samplers take.
        trace_context: Whether ``traceparent`` and ``tracestate`` are read.
        baggage: Whether ``baggage`` is read.
        queue_spans: How many spans may wait for their export.
        batch_spans: How many are exported at once.
        delay_s: How long spans wait for others, seconds.
        shutdown_s: How long the last export may take, seconds.
        service_name: The name of the service; None if the environment gives it.
        ignored: Values of variables that are not known, each as a sentence for the log.
        doubts: What is set and does not do what it seems to, each as a sentence for the log.
    """

    exporters: tuple[ExporterName, ...]
    idle: str | None
    protocol: Protocol
    endpoint: str | None
    destination: Destination | None
    headers: dict[str, str] | None
    sampler: SamplerName
    ratio: float
    trace_context: bool
    baggage: bool
    queue_spans: int
    batch_spans: int
    delay_s: float
    shutdown_s: float
    service_name: str | None
    ignored: tuple[str, ...]
    doubts: tuple[str, ...] = ()


def resolve(config: TracingConfig, environ: Mapping[str, str]) -> TracingSettings:
    """Put the environment over the configuration.

    A value of a variable that is not known is ignored and said, for such variables are often set for many services at
    once. Source: OpenTelemetry, Environment Variable Specification, section Enum.

    Args:
        config: The plugin's configuration.
        environ: The environment.

    Raises:
        PluginError: The configuration contradicts itself.
    """
    if config.endpoint is None and config.headers and config.exporter is None:
        raise PluginError("tracing has headers, but no endpoint to send them to: set endpoint or exporter")
    variables = _Variables(environ)
    exporters, idle = _exporters(config, variables)
    protocol: Protocol = (
        variables.one_of("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", _PROTOCOLS)
        or variables.one_of("OTEL_EXPORTER_OTLP_PROTOCOL", _PROTOCOLS)
        or config.protocol
    )
    doubts: list[str] = []
    chosen, ratio = _sampler(config, variables, doubts)
    if idle is None and chosen == "always_off":
        idle = "its sampler is always_off"
    propagators = [
        each.strip() for each in environ.get("OTEL_PROPAGATORS", "tracecontext,baggage").split(",")
    ]
    queue_spans = max(1, int(variables.number("OTEL_BSP_MAX_QUEUE_SIZE", 2048, at_most=_MOST_SPANS)))
    batch_spans = max(1, int(variables.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, at_most=_MOST_SPANS)))
    endpoint = _endpoint(config, variables, protocol)
    destination = None
    if "otlp" in exporters:
        destination = destination_of(environ, "traces", protocol, endpoint)
        if destination.doubt is not None:
            doubts.append(destination.doubt)
    resource = environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    named = variables.get("OTEL_SERVICE_NAME") or any(
        each.partition("=")[0].strip() == "service.name" for each in resource.split(",")
    )
    return TracingSettings(
        exporters,
        idle,
        protocol,
        endpoint,
        destination,
        config.headers
        if config.headers
        and not variables.any("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
        else None,
        chosen,
        ratio,
        "tracecontext" in propagators,
        "baggage" in propagators,
        queue_spans,
        min(queue_spans, batch_spans),
        variables.number("OTEL_BSP_SCHEDULE_DELAY", 5000, at_most=_DAY_MS) / 1000,
        config.shutdown_s,
        None if named else "foretell",
        tuple(variables.ignored),
        tuple(doubts),
    )


def _sampler(config: TracingConfig, variables: _Variables, doubts: list[str]) -> tuple[SamplerName, float]:
    """Which requests are traced, and which fraction of them if that sampler takes one."""
    sampler = variables.one_of("OTEL_TRACES_SAMPLER", SAMPLERS)
    ratio, key = config.ratio, "plugins.config.tracing.ratio"
    if variables.get("OTEL_TRACES_SAMPLER_ARG"):
        key = "OTEL_TRACES_SAMPLER_ARG"
        ratio = variables.number(key, 1.0 if ratio is None else ratio, at_most=1.0)
    alone: SamplerName = "parentbased_always_on" if config.ratio is None else "parentbased_traceidratio"
    chosen: SamplerName = sampler or config.sampler or alone
    if ratio is not None and ratio < 1 and chosen.removeprefix("parentbased_") != _BY_RATIO:
        doubts.append(
            f"{key} is {ratio:g}, but the sampler is {chosen}, which takes no ratio: it has no effect"
        )
    return chosen, 1.0 if ratio is None else ratio


def _exporters(config: TracingConfig, variables: _Variables) -> tuple[tuple[ExporterName, ...], str | None]:
    if (variables.get("OTEL_SDK_DISABLED") or "").lower() == "true":
        return (), "OTEL_SDK_DISABLED is true"
    wanted: list[ExporterName] = []
    for name in (variables.get("OTEL_TRACES_EXPORTER") or "").split(","):
        known = variables.known("OTEL_TRACES_EXPORTER", name.strip(), _EXPORTERS)
        if known is not None and known not in wanted:
            wanted.append(known)
    if not wanted and config.exporter is not None:
        wanted.append(config.exporter)
    if not wanted and (
        config.endpoint or variables.any("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    ):
        wanted.append("otlp")
    if not wanted:
        return (
            (),
            "no exporter is configured: set OTEL_TRACES_EXPORTER, OTEL_EXPORTER_OTLP_ENDPOINT or endpoint",
        )
    if "none" in wanted:
        return (), "its exporter is none"
    return tuple(wanted), None


def _endpoint(config: TracingConfig, variables: _Variables, protocol: Protocol) -> str | None:
    if config.endpoint is None or variables.any(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"
    ):
        return None
    endpoint = config.endpoint.rstrip("/")
    return endpoint if protocol == "grpc" else endpoint.removesuffix(_PATH) + _PATH


class _Variables:
    """The environment, read as OpenTelemetry says: an empty variable is one that is not set."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.ignored: list[str] = []
        self._environ = environ

    def get(self, name: str) -> str | None:
        return self._environ.get(name, "").strip() or None

    def any(self, *names: str) -> bool:
        return any(self.get(name) is not None for name in names)

    def one_of(self, name: str, known: tuple[T, ...]) -> T | None:
        return self.known(name, (self.get(name) or "").lower(), known)

    def known(self, name: str, value: str, known: tuple[T, ...]) -> T | None:
        for each in known:
            if each == value:
                return each
        if value:
            self.ignored.append(f"{name} is {value!r}, which is none of {', '.join(known)}: it is ignored")
        return None

    def number(self, name: str, default: float, *, at_most: float) -> float:
        value = self.get(name)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if 0 <= number <= at_most:
            return number
        self.ignored.append(
            f"{name} is {value!r}, which is no number from 0 to {at_most:.10g}: {default:g} is used"
        )
        return default
