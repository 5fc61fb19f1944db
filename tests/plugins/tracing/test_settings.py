from __future__ import annotations

from typing import Any

import msgspec
import pytest

from foretell.errors import PluginError
from foretell_plugins.tracing.settings import TracingConfig, resolve
from tests.servers import ROOT

OTLP = {"OTEL_TRACES_EXPORTER": "otlp"}


def test_without_an_exporter_nothing_is_traced() -> None:
    settings = resolve(TracingConfig(), {})
    assert settings.exporters == ()
    assert settings.idle is not None
    assert settings.idle.startswith("no exporter is configured")


@pytest.mark.parametrize(
    ("environ", "config", "exporters"),
    [
        (OTLP, {}, ("otlp",)),
        ({"OTEL_TRACES_EXPORTER": "otlp,console"}, {}, ("otlp", "console")),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, {}, ("otlp",)),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318"}, {}, ("otlp",)),
        ({}, {"endpoint": "http://c:4318"}, ("otlp",)),
        ({}, {"exporter": "console"}, ("console",)),
        ({"OTEL_TRACES_EXPORTER": "console"}, {"exporter": "otlp"}, ("console",)),
        ({"OTEL_TRACES_EXPORTER": "none"}, {"exporter": "otlp"}, ()),
        ({"OTEL_TRACES_EXPORTER": ""}, {"exporter": "otlp"}, ("otlp",)),
        ({}, {"exporter": "none", "endpoint": "http://c:4318"}, ()),
        ({"OTEL_SDK_DISABLED": "true", **OTLP}, {}, ()),
    ],
)
def test_the_environment_goes_before_the_configuration(
    environ: dict[str, str], config: dict[str, Any], exporters: tuple[str, ...]
) -> None:
    settings = resolve(TracingConfig(**config), environ)
    assert settings.exporters == exporters
    assert (settings.idle is None) == bool(exporters)


@pytest.mark.parametrize(
    ("environ", "protocol", "endpoint", "passed"),
    [
        ({}, "http/protobuf", "http://c:4318", "http://c:4318/v1/traces"),
        ({}, "http/protobuf", "http://c:4318/", "http://c:4318/v1/traces"),
        ({}, "http/protobuf", "http://c:4318/v1/traces", "http://c:4318/v1/traces"),
        ({}, "grpc", "http://c:4317", "http://c:4317"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://d:1"}, "grpc", "http://c:4317", None),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf", "http://c:4317", "http://c:4317"),
    ],
)
def test_an_endpoint_is_given_the_path_of_its_protocol(
    environ: dict[str, str], protocol: Any, endpoint: str, passed: str | None
) -> None:
    assert resolve(TracingConfig(endpoint=endpoint, protocol=protocol), environ).endpoint == passed


@pytest.mark.parametrize(
    ("environ", "config", "sampler", "ratio"),
    [
        ({}, {}, "parentbased_always_on", 1.0),
        ({}, {"sampler": "traceidratio", "ratio": 0.25}, "traceidratio", 0.25),
        (
            {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"},
            {"sampler": "always_on", "ratio": 0.25},
            "parentbased_traceidratio",
            0.5,
        ),
        ({"OTEL_TRACES_SAMPLER_ARG": "0.5"}, {"sampler": "traceidratio"}, "traceidratio", 0.5),
    ],
)
def test_the_sampler(environ: dict[str, str], config: dict[str, Any], sampler: str, ratio: float) -> None:
    settings = resolve(TracingConfig(**config), {**OTLP, **environ})
    assert (settings.sampler, settings.ratio) == (sampler, ratio)


def test_a_sampler_that_takes_nothing_is_a_reason_not_to_wrap() -> None:
    assert resolve(TracingConfig(sampler="always_off"), OTLP).idle == "its sampler is always_off"
    assert resolve(TracingConfig(sampler="parentbased_always_off"), OTLP).idle is None


def test_unknown_values_of_variables_are_ignored_and_said() -> None:
    environ = {
        "OTEL_TRACES_EXPORTER": "zipkin,console",
        "OTEL_TRACES_SAMPLER": "jaeger_remote",
        "OTEL_TRACES_SAMPLER_ARG": "2",
        "OTEL_BSP_SCHEDULE_DELAY": "soon",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
    }
    settings = resolve(TracingConfig(), environ)
    assert settings.exporters == ("console",)
    assert (settings.sampler, settings.ratio) == ("parentbased_always_on", 1.0)
    assert settings.delay_s == 5
    assert settings.protocol == "http/protobuf"
    assert [each.split()[0] for each in settings.ignored] == [
        "OTEL_TRACES_EXPORTER",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "OTEL_TRACES_SAMPLER",
        "OTEL_TRACES_SAMPLER_ARG",
        "OTEL_BSP_SCHEDULE_DELAY",
    ]


def test_headers_are_left_to_the_environment_if_it_has_some() -> None:
    config = TracingConfig(endpoint="http://c:4318", headers={"key": "k"})
    assert resolve(config, {}).headers == {"key": "k"}
    assert resolve(config, {"OTEL_EXPORTER_OTLP_HEADERS": "key=e"}).headers is None


def test_headers_without_an_endpoint_are_a_mistake() -> None:
    with pytest.raises(PluginError, match="set endpoint or exporter"):
        resolve(TracingConfig(headers={"key": "k"}), {})


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "foretell"),
        ({"OTEL_SERVICE_NAME": "shop"}, None),
        ({"OTEL_RESOURCE_ATTRIBUTES": "team=a,service.name=shop"}, None),
    ],
)
def test_the_service_is_called_foretell_until_the_environment_says_otherwise(
    environ: dict[str, str], name: str | None
) -> None:
    assert resolve(TracingConfig(), {**OTLP, **environ}).service_name == name


def test_propagators_can_be_switched_off() -> None:
    settings = resolve(TracingConfig(), {**OTLP, "OTEL_PROPAGATORS": "baggage"})
    assert (settings.trace_context, settings.baggage) == (False, True)


def test_every_key_is_documented() -> None:
    text = (ROOT / "docs" / "tracing.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    for field in msgspec.structs.fields(TracingConfig):
        assert any(row.startswith(f"| `{field.encode_name}` |") for row in rows), field.encode_name


@pytest.mark.parametrize("value", ["inf", "1e13", "nan", "-1"])
@pytest.mark.parametrize(
    "name", ["OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"]
)
def test_what_no_thread_could_wait_for_and_no_queue_hold_is_ignored_and_said(name: str, value: str) -> None:
    settings = resolve(TracingConfig(), {**OTLP, name: value})
    assert (settings.delay_s, settings.queue_spans, settings.batch_spans) == (5, 2048, 512)
    (sentence,) = settings.ignored
    assert sentence.startswith(f"{name} is {value!r}, which is no number from 0 to ")


def test_a_ratio_alone_means_the_sampler_that_takes_it() -> None:
    settings = resolve(TracingConfig(ratio=0.1), OTLP)
    assert (settings.sampler, settings.ratio, settings.doubts) == ("parentbased_traceidratio", 0.1, ())


@pytest.mark.parametrize(
    ("environ", "config", "named"),
    [
        ({}, {"sampler": "always_on", "ratio": 0.1}, "plugins.config.tracing.ratio is 0.1"),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, {"ratio": 0.1}, "plugins.config.tracing.ratio is 0.1"),
        ({"OTEL_TRACES_SAMPLER_ARG": "0.5"}, {}, "OTEL_TRACES_SAMPLER_ARG is 0.5"),
    ],
    ids=["sampler", "variable", "argument alone"],
)
def test_a_ratio_that_the_sampler_does_not_take_is_doubted(
    environ: dict[str, str], config: dict[str, Any], named: str
) -> None:
    settings = resolve(TracingConfig(**config), {**OTLP, **environ})
    (doubt,) = settings.doubts
    assert doubt.startswith(named)
    assert doubt.endswith("which takes no ratio: it has no effect")


@pytest.mark.parametrize(
    ("environ", "config", "url", "is_default"),
    [
        ({}, {}, "http://localhost:4318/v1/traces", True),
        ({}, {"protocol": "grpc"}, "http://localhost:4317", True),
        ({}, {"endpoint": "http://c:1"}, "http://c:1/v1/traces", False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://d:1/"}, {"endpoint": "http://c:1"}, "http://d:1/v1/traces", False),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://u:secret@d/x"}, {}, "https://d/x", False),
    ],
    ids=["default", "grpc", "key", "variable", "of traces"],
)  # fmt: skip
def test_where_spans_go_is_known(
    environ: dict[str, str], config: dict[str, Any], url: str, is_default: bool
) -> None:
    destination = resolve(TracingConfig(**config), {**OTLP, **environ}).destination
    assert destination is not None
    assert (destination.url, destination.is_default, destination.doubt) == (url, is_default, None)


@pytest.mark.parametrize(
    ("environ", "doubt"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "nothing will arrive there"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "TLS is spoken to it",
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_INSECURE": "true",
            },
            None,
        ),
    ],
    ids=["http", "grpc", "grpc, insecure"],
)
def test_an_endpoint_without_a_scheme_is_doubted(environ: dict[str, str], doubt: str | None) -> None:
    doubts = resolve(TracingConfig(), {**OTLP, **environ}).doubts
    assert len(doubts) == (doubt is not None)
    assert all(
        "OTEL_EXPORTER_OTLP_ENDPOINT sends to 'collector" in each and str(doubt) in each for each in doubts
    )
