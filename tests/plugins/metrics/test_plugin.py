from __future__ import annotations

import asyncio
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from foretell.app import create_app
from foretell.errors import PluginError
from foretell.logs import open_log
from foretell.settings import LogSettings, PluginSettings, Settings, StoreSettings
from foretell_plugins.metrics import Metrics, MetricsConfig
from tests.plugins.metrics.hosts import MadeUpHost
from tests.plugins.metrics.records import answered
from tests.plugins.metrics.samples import Scrape
from tests.servers import SAMPLE_STORE

PREDICT = "/v1/models/iris:predict"
BODY = {"instances": [[5.1, 3.5, 1.4, 0.2]]}


def app_of(store: Path, **config: Any) -> Litestar:
    plugins = PluginSettings(("metrics",), "no such folder", {"metrics": config})
    return create_app(Settings(store=StoreSettings(str(store)), plugins=plugins, log=LogSettings("error")))


def scrape(client: TestClient[Litestar], path: str = "/metrics") -> Scrape:
    answer = client.get(path)
    assert answer.status_code == 200
    return Scrape(answer.text)


@pytest.mark.parametrize("shares", [False, True], ids=["alone", "in one folder"])
def test_two_applications_in_one_process_count_apart(shares: bool, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for store in (one, other):
        store.mkdir()
        (store / "iris").symlink_to(SAMPLE_STORE / "iris")
    config = {"directory": str(tmp_path / "metrics")} if shares else {}
    with TestClient(app_of(one, **config)) as first, TestClient(app_of(other, **config)) as second:
        for client, requests in ((first, 3), (second, 5)):
            for _ in range(requests):
                assert client.post(PREDICT, json=BODY).status_code == 200
        assert scrape(first).sum("foretell_requests_total") == 3
        assert scrape(second).sum("foretell_requests_total") == 5
        with TestClient(app_of(one, **config)) as third:
            assert third.post(PREDICT, json=BODY).status_code == 200
            assert scrape(third).sum("foretell_requests_total") == 1
        assert scrape(first).sum("foretell_requests_total") == 3


def test_the_path_can_be_another(tmp_path: Path) -> None:
    with TestClient(app_of(SAMPLE_STORE, path="/internal/metrics")) as client:
        assert scrape(client, "/internal/metrics").sum("foretell_in_flight") == 0
        assert client.get("/metrics").status_code == 404


def test_a_model_that_does_not_want_it_is_not_counted() -> None:
    settings = Settings(
        store=StoreSettings(str(SAMPLE_STORE)),
        plugins=PluginSettings(("metrics",), "no such folder"),
        models=msgspec.convert({"iris": {"plugins": {"metrics": False}}}, dict[str, Any]),
    )
    settings = msgspec.convert(msgspec.to_builtins(settings), Settings)
    with TestClient(create_app(settings)) as client:
        assert client.post(PREDICT, json=BODY).status_code == 200
        assert scrape(client).sum("foretell_requests_total") == 0


def test_a_folder_that_cannot_be_used_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    plugin = Metrics(MetricsConfig(directory=str(tmp_path)))
    plugin.on_start(MadeUpHost())

    async def use() -> None:
        async with plugin.lifespan(Litestar([])):
            raise AssertionError

    with pytest.raises(PluginError, match=r"plugins\.config\.metrics\.directory"):
        asyncio.run(use())


def test_label_sets_that_are_used_up_leave_one_line_in_the_log() -> None:
    plugin, host, stream = Metrics(MetricsConfig(max_label_sets=2)), MadeUpHost(), io.StringIO()
    host.log = open_log(LogSettings(format="json"), stream)
    plugin.on_start(host)

    async def use() -> bytes:
        async with plugin.lifespan(Litestar([])):
            plugin.observe([answered(version=number) for number in range(9)])
            await plugin._scrape("")
            return (await plugin._scrape(""))[0]

    found = Scrape(asyncio.run(use()).decode())
    assert found.sum("foretell_requests_total", protocol="other", outcome="other") == 8
    assert stream.getvalue().count("max_label_sets") == 1


def test_what_is_answered_before_the_start_or_after_the_end_does_no_harm() -> None:
    Metrics(MetricsConfig()).observe([answered()])


def test_exporters_are_imported_only_when_metrics_are_sent() -> None:
    script = (
        "import json, sys, foretell_plugins.metrics;"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert {"opentelemetry", "grpc", "google", "requests"}.isdisjoint(json.loads(done.stdout))


def test_a_folder_that_is_taken_away_costs_one_line_in_the_log(tmp_path: Path) -> None:
    plugin, host, stream = (
        Metrics(MetricsConfig(directory=str(tmp_path / "metrics"))),
        MadeUpHost(),
        io.StringIO(),
    )
    host.log = open_log(LogSettings(format="json"), stream)
    plugin.on_start(host)

    async def use() -> None:
        async with plugin.lifespan(Litestar([])):
            shutil.rmtree(tmp_path / "metrics")
            for in_flight in range(1, 4):
                host.in_flight = in_flight
                await plugin._tell()
                plugin.observe([answered()])

    asyncio.run(use())
    assert stream.getvalue().count("not shared") == 1
