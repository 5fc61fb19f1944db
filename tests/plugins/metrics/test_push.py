from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import msgspec
import pytest

from foretell.errors import PluginError
from foretell.logs import Logger, open_log
from foretell.settings import LogSettings
from foretell_plugins.metrics import MetricsConfig
from foretell_plugins.metrics.families import Family, families_of, http_server_duration
from foretell_plugins.metrics.journal import in_memory
from foretell_plugins.metrics.push import Pusher, PushSettings, push_settings
from foretell_plugins.metrics.state import State
from tests.plugin.chains import info
from tests.plugins.metrics.receivers import Received, grpc_receiver, http_receiver
from tests.plugins.metrics.records import answered

HOUR_S = 3600.0
OTLP = {"OTEL_METRICS_EXPORTER": "otlp"}


def settings_of(environ: dict[str, str] | None = None, **given: Any) -> PushSettings | None:
    own = {"wanted": None, "protocol": None, "endpoint": None, "interval_s": None, **given}
    return push_settings(environ or {}, **own)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_METRICS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"},
        {"OTEL_METRICS_EXPORTER": "prometheus"},
        {"OTEL_SDK_DISABLED": "true", **OTLP},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318"},
    ],
    ids=str,
)
def test_nothing_is_sent_unless_it_is_asked_for(environ: dict[str, str]) -> None:
    assert settings_of(environ) is None


def test_the_plugins_own_setting_goes_before_the_environment() -> None:
    assert settings_of(OTLP, wanted=False) is None
    assert settings_of({"OTEL_METRICS_EXPORTER": "none"}, wanted=True) is not None


@pytest.mark.parametrize(
    ("environ", "given", "expected"),
    [
        (OTLP, {}, PushSettings("http/protobuf", None, 60)),
        ({"OTEL_METRICS_EXPORTER": "console, otlp"}, {}, PushSettings("http/protobuf", None, 60)),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, {}, PushSettings("http/protobuf", None, 60)),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c"}, {}, PushSettings("http/protobuf", None, 60)),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", **OTLP}, {}, PushSettings("grpc", None, 60)),
        (
            {
                "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                **OTLP,
            },
            {},
            PushSettings("http/protobuf", None, 60),
        ),
        ({"OTEL_METRIC_EXPORT_INTERVAL": "1500", **OTLP}, {}, PushSettings("http/protobuf", None, 1.5)),
        ({}, {"endpoint": "http://c:4318/"}, PushSettings("http/protobuf", "http://c:4318/v1/metrics", 60)),
        (
            {},
            {"endpoint": "http://c:4317", "protocol": "grpc", "interval_s": 5.0},
            PushSettings("grpc", "http://c:4317", 5),
        ),
    ],
    ids=str,
)
def test_where_metrics_are_sent(
    environ: dict[str, str], given: dict[str, Any], expected: PushSettings
) -> None:
    assert settings_of(environ, **given) == expected


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
        {"OTEL_METRIC_EXPORT_INTERVAL": "soon"},
        {"OTEL_METRIC_EXPORT_INTERVAL": "-1"},
        {"OTEL_METRIC_EXPORT_INTERVAL": "nan"},
        {"OTEL_METRIC_EXPORT_INTERVAL": "inf"},
        {"OTEL_METRIC_EXPORT_INTERVAL": "1e12"},
    ],
    ids=str,
)
def test_a_variable_that_cannot_be_followed_is_named(environ: dict[str, str]) -> None:
    (name,) = environ
    with pytest.raises(PluginError, match=name):
        settings_of({**OTLP, **environ})


@pytest.fixture(params=[http_receiver, grpc_receiver], ids=["http", "grpc"])
def received(request: pytest.FixtureRequest) -> Iterator[Received]:
    receiver: Callable[[], AbstractContextManager[Received]] = request.param
    with receiver() as running:
        yield running


def families() -> list[Family]:
    journal = in_memory(100)
    journal.append(answered(trace_id="4bf92f3577b34da6a3ce929d0e0e4736", span_id="00f067aa0ba902b7"))
    journal.append(answered(cache="hit"))
    journal.append(answered(status=500, failure=ValueError("x"), predicted_ns=0))
    journal.append(answered(method="GET", route="/v1/models", model="", version=0, predicted_ns=0))
    totals = journal.read()
    return [*families_of(totals, State(3, {"p": 1}), [info("iris")]), http_server_duration(totals)]


class Log:
    """A log, and what was written to it."""

    def __init__(self) -> None:
        self._stream = io.StringIO()
        self.log: Logger = open_log(LogSettings(format="json"), self._stream)

    def __str__(self) -> str:
        return self._stream.getvalue()


def push(received: Received, log: Log, *, interval_s: float = HOUR_S, in_worker: bool = False) -> Pusher:
    settings = push_settings(
        {},
        wanted=True,
        protocol="grpc" if received.protocol == "grpc" else "http/protobuf",
        endpoint=received.endpoint,
        interval_s=interval_s,
    )
    assert settings is not None
    return Pusher(settings, families, log.log, in_worker=in_worker)


def test_the_same_instruments_are_sent(received: Received) -> None:
    log = Log()
    asyncio.run(push(received, log).close())
    assert received.sum("foretell_requests_total", model="iris", outcome="success") == 2
    assert received.sum("foretell_requests_total", outcome="error") == 1
    assert received.sum("foretell_cache_hits_total", model="iris") == 1
    assert received.sum("foretell_in_flight") == 3
    assert received.sum("foretell_model_info", digest="d1") == 1
    assert received.sum("foretell_stage_duration_seconds", stage="run") == 3
    (duration,) = received.metrics("foretell_request_duration_seconds")
    (point,) = duration.histogram.data_points
    assert (duration.unit, duration.histogram.aggregation_temporality, point.count) == ("s", 2, 3)
    assert point.sum == pytest.approx(6e-5)
    assert list(point.bucket_counts) == [3] + [0] * 17
    assert (point.explicit_bounds[0], point.explicit_bounds[-1]) == (5e-5, 10)
    assert 0 < point.start_time_unix_nano <= point.time_unix_nano
    assert not point.HasField("min")
    (exemplar,) = point.exemplars
    assert (exemplar.trace_id.hex(), exemplar.span_id.hex()) == (
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "00f067aa0ba902b7",
    )
    (requests,) = received.metrics("foretell_requests_total")
    assert (requests.sum.is_monotonic, requests.sum.aggregation_temporality) == (True, 2)
    assert not str(log)


def test_every_request_is_in_the_duration_of_http_servers(received: Received) -> None:
    asyncio.run(push(received, Log()).close())
    name = "http.server.request.duration"
    labels = {"http.request.method": "POST", "http.route": "/v1/models/{model}:predict", "url.scheme": "http"}
    assert received.sum(name, **labels, **{"http.response.status_code": 200}) == 2
    assert received.sum(name, **labels, **{"http.response.status_code": 500, "error.type": "value"}) == 1
    assert received.sum(name, **{"http.request.method": "GET", "http.route": "/v1/models"}) == 1


def test_they_are_sent_again_and_again(received: Received) -> None:
    pusher = push(received, Log(), interval_s=0.01)
    received.wait_for(lambda each: len(each._requests) >= 3)
    asyncio.run(pusher.close())
    (identity,) = received.identity()
    assert identity["service.name"] == "foretell"


def test_who_sends_can_be_said_by_the_environment(
    received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "scoring")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=pod-7,team=risk")
    asyncio.run(push(received, Log()).close())
    (identity,) = received.identity()
    assert (identity["service.name"], identity["service.instance.id"], identity["team"]) == (
        "scoring",
        "pod-7",
        "risk",
    )


def test_workers_have_identities_of_their_own(received: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=pod-7")
    asyncio.run(push(received, Log(), in_worker=True).close())
    (identity,) = received.identity()
    assert identity["service.instance.id"].startswith("pod-7-")


def test_a_receiver_that_refuses_costs_one_line_in_the_log() -> None:
    log = Log()
    with http_receiver(status=400) as received:
        pusher = push(received, log, interval_s=0.01)
        received.wait_for(lambda each: len(each._requests) >= 3)
        asyncio.run(pusher.close())
    assert str(log).count("metrics are not sent") == 1
    assert f'"endpoint": "{received.endpoint}/v1/metrics"' in str(log)
    assert "code: 400" in str(log)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_receiver_that_never_answers_does_not_hold_up_the_end(protocol: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        pusher = push(Received(endpoint, protocol), Log())
        asyncio.run(asyncio.wait_for(pusher.close(), 30))


def test_metrics_that_cannot_be_made_cost_a_line_in_the_log() -> None:
    log = Log()

    def broken() -> list[Family]:
        raise RuntimeError("broken")

    with http_receiver() as received:
        settings = PushSettings("http/protobuf", received.endpoint, HOUR_S)
        asyncio.run(Pusher(settings, broken, log.log, in_worker=False).close())
    assert "RuntimeError: broken" in str(log)


@pytest.mark.parametrize("interval_s", [0, 1e10, float("inf"), float("nan")])
def test_an_interval_that_no_thread_could_wait_for_is_refused(interval_s: float) -> None:
    with pytest.raises(msgspec.ValidationError, match="otlp_interval_s"):
        msgspec.convert({"otlp_interval_s": interval_s}, MetricsConfig)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "http://localhost:4318/v1/metrics"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"},
            "OTEL_EXPORTER_OTLP_ENDPOINT sends to 'collector:4318",
        ),
    ],
    ids=["nowhere", "no scheme"],
)
def test_where_metrics_go_is_said_at_the_start_if_nobody_said_it_well(
    environ: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**environ, "OTEL_EXPORTER_OTLP_TIMEOUT": "0.1"}.items():
        monkeypatch.setenv(name, value)
    log = Log()
    pusher = Pusher(PushSettings("http/protobuf", None, HOUR_S), families, log.log, in_worker=False)
    assert said in str(log)
    asyncio.run(pusher.close())
