"""The metrics plugin in real servers: scraped by hand, by a real Prometheus, and sent to a real receiver."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import openapi_spec_validator
import pytest

from foretell_plugins.metrics import MetricsConfig
from tests.plugins.metrics.receivers import http_receiver
from tests.plugins.metrics.samples import OPEN_METRICS, Scrape
from tests.servers import ROOT, SAMPLE_STORE, RunningServer, Serve, ServeStore
from tests.system import require_program

PREDICT = "/v1/models/iris:predict"
BODY = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

# Stands for tracing, and counts something of its own.
PLUGIN = """
from foretell.plugin import Instrument, Plugin, Stage


class Traces(Plugin):
    stage = Stage.OBSERVE
    seen = 0

    def wrap_predict(self, call_next, model):
        async def predict(request):
            self.seen += 1
            given = request.record.header(b"x-trace")
            if given is not None:
                request.record.trace_id = given.decode()
            return await call_next(request)

        return predict

    def instruments(self):
        yield Instrument("traces_seen_total", "counter", "What was seen.", [({}, self.seen)])
        yield Instrument("traces_level", "gauge", "How high.", [({"side": "left"}, 1.5)], across_workers="max")
"""


@pytest.fixture(scope="module")
def dropped_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "traces.py").write_text(PLUGIN)
    return folder


@pytest.fixture(scope="module")
def environ(dropped_in: Path) -> dict[str, str]:
    """Settings that enable the plugin."""
    return {
        "FORETELL_PLUGINS__ENABLED": "metrics,traces",
        "FORETELL_PLUGINS__FOLDER": str(dropped_in),
        "FORETELL_STORE__DEFAULT_MODEL": "iris",
    }


@pytest.fixture
def server(serve_store: ServeStore, environ: dict[str, str]) -> RunningServer:
    return serve_store(SAMPLE_STORE, environ=environ)


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as open_client:
        yield open_client


def scrape(client: httpx.Client, accept: str = "text/plain") -> Scrape:
    answer = client.get("/metrics", headers={"accept": accept})
    assert answer.status_code == 200
    return Scrape(
        answer.text, is_open=answer.headers["content-type"].startswith("application/openmetrics-text")
    )


def test_every_kind_of_request_is_counted(client: httpx.Client) -> None:
    for _ in range(3):
        client.post(PREDICT, json=BODY)
    client.post("/predict", json={"features": [5.1, 3.5, 1.4, 0.2]})
    client.post(PREDICT, json={"instances": [[1, 2, 3, 4], [5, 6, 7, 8]]})
    client.post(PREDICT, json={"instances": [["x"]]})
    client.get("/v1/models/iris")
    found = scrape(client)
    name = "foretell_requests_total"
    assert found.sum(name, model="iris", version="1", protocol="native", outcome="success") == 4
    assert found.sum(name, model="iris", protocol="simple", outcome="success") == 1
    assert found.sum(name, model="iris", outcome="client_error") == 1
    assert found.sum(name) == 6
    assert found.sum("foretell_rows_total", model="iris") == 6
    assert found.sum("foretell_request_duration_seconds_count", model="iris", protocol="native") == 5
    for stage in ("decode", "queue", "run", "encode"):
        assert found.sum("foretell_stage_duration_seconds_count", model="iris", stage=stage) == 5
    assert found.sum("foretell_model_load_seconds", model="iris", version="1") > 0


def test_names_that_callers_make_up_are_no_labels(client: httpx.Client) -> None:
    for number in range(50):
        client.post(f"/v1/models/made-up-{number}:predict", json=BODY)
        client.post(f"/v1/models/iris/versions/{100 + number}:predict", json=BODY)
        client.post(f"/v1/models/iris:verb{number}", json=BODY)
        client.post(f"/v1/models/iris/labels/alias{number}:predict", json=BODY)
        client.request(f"VERB{number}", PREDICT)
    assert scrape(client).labels("foretell_requests_total") == {
        (("model", ""), ("outcome", "client_error"), ("protocol", "native"), ("version", ""))
    }


def test_plugins_show_instruments_of_their_own(client: httpx.Client) -> None:
    client.post(PREDICT, json=BODY)
    found = scrape(client)
    assert found.sum("traces_seen_total") == 1
    assert found.sum("traces_level", side="left") == 1.5


def test_open_metrics_leads_from_a_bucket_to_a_trace(client: httpx.Client) -> None:
    client.post(PREDICT, json=BODY, headers={"x-trace": TRACE})
    found = scrape(client, OPEN_METRICS)
    (exemplar,) = [each.exemplar for each in found.samples if each.exemplar is not None]
    assert exemplar.labels == {"trace_id": TRACE}


@pytest.mark.parametrize("accept", ["text/plain", OPEN_METRICS, "*/*"])
def test_the_media_type_says_what_comes(client: httpx.Client, accept: str) -> None:
    found = client.get("/metrics", headers={"accept": accept}).headers["content-type"]
    expected = {
        OPEN_METRICS: "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
    }
    assert found == expected.get(accept, "text/plain; version=0.0.4; charset=utf-8")


def test_promtool_finds_nothing_to_complain_about(client: httpx.Client) -> None:
    promtool = require_program("promtool")
    client.post(PREDICT, json=BODY)
    text = client.get("/metrics").text
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_route_is_in_the_openapi_document(client: httpx.Client) -> None:
    document = client.get("/schema/openapi.json").json()
    openapi_spec_validator.validate(document)
    assert "text/plain" in document["paths"]["/metrics"]["get"]["responses"]["200"]["content"]


class Prometheus:
    """A real Prometheus that scrapes a server."""

    def __init__(self, url: str, port: int) -> None:
        self.url = url
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        self._pause = threading.Event()

    def ask(self, path: str, query: str, wanted: Callable[[Any], bool]) -> Any:
        """Ask until the answer is the one that is wanted, for a minute at most; the last answer."""
        data: Any = None
        for _ in range(300):
            try:
                times = {"start": "0", "end": "99999999999"} if "exemplars" in path else {}
                answer = self._client.get(path, params={"query": query, **times})
                data = answer.json()["data"] if answer.status_code == 200 else answer.text
                if answer.status_code == 200 and wanted(data):
                    return data
            except httpx.TransportError as error:  # it has not begun to listen
                data = error
            self._pause.wait(0.2)
        return data

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def prometheus(server: RunningServer, free_port: int, tmp_path: Path) -> Iterator[Prometheus]:
    program = require_program("prometheus")
    target = server.url.removeprefix("http://")
    (tmp_path / "prometheus.yml").write_text(
        "scrape_configs:\n"
        "  - job_name: foretell\n"
        "    scrape_interval: 1s\n"
        f"    static_configs: [{{targets: ['{target}']}}]\n"
    )
    command = [
        program,
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{free_port}",
        "--enable-feature=exemplar-storage",
        "--log.level=error",
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        asked = Prometheus(server.url, free_port)
        try:
            yield asked
        finally:
            asked.close()
            process.terminate()


def test_a_real_prometheus_counts_what_clients_saw(client: httpx.Client, prometheus: Prometheus) -> None:
    for _ in range(70):
        assert client.post(PREDICT, json=BODY, headers={"x-trace": TRACE}).status_code == 200
    query = 'sum by (model) (foretell_requests_total{outcome="success"})'

    def value(data: Any) -> list[tuple[str, str]]:
        return [(each["metric"]["model"], each["value"][1]) for each in data["result"]]

    found = prometheus.ask("/api/v1/query", query, lambda data: value(data) == [("iris", "70")])
    assert value(found) == [("iris", "70")]
    quantile = "histogram_quantile(0.99, foretell_request_duration_seconds_bucket)"
    (slowest,) = prometheus.ask("/api/v1/query", quantile, lambda data: bool(data["result"]))["result"]
    assert 0 < float(slowest["value"][1]) < 10
    name = "foretell_request_duration_seconds_bucket"
    exemplars = prometheus.ask("/api/v1/query_exemplars", name, bool)
    assert {each["labels"]["trace_id"] for series in exemplars for each in series["exemplars"]} == {TRACE}


class Workers:
    """A server of two workers, under uvicorn's own supervisor."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self.wait_for_starts(2)
        self.url = re.findall(r"http://127\.0\.0\.1:\d+", server.wait_for_text("Uvicorn running on"))[0]

    def wait_for_starts(self, number: int) -> None:
        """Wait until so many workers have been started since the beginning."""
        with self._server._heard:
            assert self._server._heard.wait_for(
                lambda: (
                    len([line for line in self._server.raw if "startup complete" in line]) >= number
                    or self._server._ended
                ),
                60,
            )
            assert not self._server._ended, self._server.raw

    @property
    def pids(self) -> list[int]:
        """The processes of all workers so far."""
        return [
            int(pid)
            for line in self._server.raw
            for pid in re.findall(r"Started server process \[(\d+)\]", line)
        ]


@pytest.fixture
def workers(serve_processes: Serve, environ: dict[str, str], tmp_path: Path) -> Iterator[Workers]:
    command = [sys.executable, "-m", "uvicorn", "--factory", "foretell.app:create_app", "--workers", "2"]
    server = serve_processes(
        [*command, "--port", "0", "--no-use-colors"],
        cwd=ROOT,
        environ={**environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    yield Workers(server)
    server.stop()


class Clients:
    """Four clients that ask as fast as they can.

    Attributes:
        seen: How many answers they saw, by status; 0 for none.
    """

    def __init__(self, url: str, requests: int) -> None:
        self.seen: Counter[int] = Counter()
        self._url = url
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._ask, args=(requests // 4,)) for _ in range(4)]
        for thread in self._threads:
            thread.start()

    def wait_for(self, answers: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.seen.total() >= answers, 60)

    def finish(self) -> None:
        for thread in self._threads:
            thread.join()

    def _ask(self, requests: int) -> None:
        for _ in range(requests // 10):
            with httpx.Client(base_url=self._url, timeout=60) as client:  # it may go to another worker
                for _ in range(10):
                    try:
                        status = client.post(PREDICT, json=BODY).status_code
                    except httpx.TransportError:
                        status = 0
                    with self._changed:
                        self.seen[status] += 1
                        self._changed.notify_all()


def wait_until_nothing_is_in_flight(url: str) -> None:
    """What goes on in the other workers is a second old: they tell of it once in a second.

    A worker knows of itself at once, so who is asked first may say none while what it told the others is still one.
    """
    until = time.monotonic() + 20
    since = time.monotonic()
    while time.monotonic() - since < 1.5:
        with httpx.Client(base_url=url) as client:
            if scrape(client).sum("foretell_in_flight"):
                since = time.monotonic()
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_scrape_counts_what_clients_saw_though_a_worker_was_killed(
    workers: Workers, tmp_path: Path
) -> None:
    clients = Clients(workers.url, 1000)
    clients.wait_for(500)
    os.kill(workers.pids[0], signal.SIGKILL)
    clients.finish()
    workers.wait_for_starts(3)
    assert clients.seen.total() == 1000
    assert clients.seen[200] >= 990
    wait_until_nothing_is_in_flight(workers.url)
    counts = set[float]()
    for _ in range(10):
        with httpx.Client(base_url=workers.url) as client:
            found = scrape(client)
        counts.add(found.sum("foretell_requests_total", model="iris", outcome="success"))
        assert found.sum("foretell_request_duration_seconds_count", model="iris") in counts
        assert found.sum("foretell_in_flight") == 0
    (count,) = counts  # every worker says the same
    assert clients.seen[200] - 1 <= count <= 1000
    (ended,) = tmp_path.glob("foretell-metrics-*/*.ended")
    assert msgspec.msgpack.decode(ended.read_bytes())["rows"]  # the one that was killed had counted


def test_the_instruments_of_plugins_are_summed_over_workers(workers: Workers) -> None:
    clients = Clients(workers.url, 200)
    clients.finish()
    pause = threading.Event()
    found = Scrape("")
    for _ in range(100):  # a worker tells the others every second
        with httpx.Client(base_url=workers.url) as client:
            found = scrape(client)
        if found.sum("traces_seen_total") == 200:
            break
        pause.wait(0.1)
    assert found.sum("traces_seen_total") == 200
    assert found.sum("traces_level") == 1.5


def test_each_worker_sends_its_own_counts(
    serve_processes: Serve, environ: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "uvicorn", "--factory", "foretell.app:create_app", "--workers", "2"]
    with http_receiver() as received:
        server = serve_processes(
            [*command, "--port", "0", "--no-use-colors"],
            cwd=ROOT,
            environ={
                **environ,
                "XDG_RUNTIME_DIR": str(tmp_path),
                "OTEL_METRICS_EXPORTER": "otlp",
                "OTEL_EXPORTER_OTLP_ENDPOINT": received.endpoint,
            },
        )
        clients = Clients(Workers(server).url, 400)
        clients.finish()
        server.stop()  # the last counts are sent at the end
        assert clients.seen == {200: 400}
        assert len(received.resources()) == 2
        assert received.sum("foretell_requests_total", model="iris", outcome="success") == 400
        assert received.sum("http.server.request.duration", **{"http.response.status_code": 200}) == 400
        assert received.sum("traces_seen_total") == 400


def test_the_last_requests_before_the_end_are_sent(serve_store: ServeStore, environ: dict[str, str]) -> None:
    with http_receiver() as received:
        sends = {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": received.endpoint}
        server = serve_store(SAMPLE_STORE, environ={**environ, **sends})
        with httpx.Client(base_url=server.url, timeout=60) as client:
            for _ in range(20):
                assert client.post(PREDICT, json=BODY).status_code == 200
        server.stop()
        assert received.sum("foretell_requests_total", model="iris", outcome="success") == 20


def test_a_receiver_that_is_down_fails_no_request(
    serve_store: ServeStore, environ: dict[str, str], free_port: int
) -> None:
    server = serve_store(
        SAMPLE_STORE,
        environ={
            **environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port}",
            "OTEL_METRIC_EXPORT_INTERVAL": "1",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        },
    )
    with httpx.Client(base_url=server.url, timeout=60) as client:
        server.wait_for("metrics are not sent")
        for _ in range(100):
            assert client.post(PREDICT, json=BODY).status_code == 200
        assert scrape(client).sum("foretell_requests_total", outcome="success") == 100
    assert server.stop() == 0
    assert all(line.startswith("{") for line in server.raw)  # the exporter's own lines stay away


TABLE = re.compile(r"^\| `(\w+)` \| (counter|gauge|histogram) \| ([\w, ]*) ?\|", re.MULTILINE)
DOCUMENTED = {
    name: (kind, {label.strip() for label in labels.split(",")} - {""})
    for name, kind, labels in TABLE.findall(
        (ROOT / "docs" / "metrics.md").read_text().partition("### From the other plugins")[0]
    )
}


def test_every_metric_is_documented_with_its_type_and_labels(client: httpx.Client) -> None:
    client.post(PREDICT, json=BODY)
    text = client.get("/metrics").text
    types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    assert {name: kind for name, kind in types.items() if not name.startswith("traces_")} == {
        name: kind for name, (kind, _) in DOCUMENTED.items()
    }
    for sample in Scrape(text).samples:
        name = re.sub(r"_(bucket|sum|count)$", "", sample.name)
        if name in DOCUMENTED:
            assert sample.labels.keys() - {"le"} == DOCUMENTED[name][1], name


def test_every_setting_of_the_plugin_is_documented_with_its_default() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text()
    shown = dict(
        re.findall(r"^\| `(\w+)` \| (\S+) \| (?!\w+, )", text.partition("## Settings")[2], re.MULTILINE)
    )
    assert shown == {
        field.name: "none" if field.default is None else str(field.default)
        for field in msgspec.structs.fields(MetricsConfig)
    }
