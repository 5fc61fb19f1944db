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
import numpy as np
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from foretell.app import create_app
from foretell.errors import PluginError
from foretell.logs import open_log
from foretell.plugin import Instrument
from foretell.settings import LogSettings, PluginSettings, Settings, StoreSettings
from foretell_plugins.metrics import Metrics, MetricsConfig
from foretell_plugins.metrics.instruments import Instruments
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


def odd(**fields: Any) -> Instrument:
    """An instrument as a careless plugin makes it: nothing checks its types."""
    given: dict[str, Any] = {
        "name": "odd_total",
        "kind": "counter",
        "description": "x",
        "samples": [({"a": "b"}, 1)],
    }
    return Instrument(**{**given, **fields})


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"samples": [({"a": "b"}, np.int64(3))]}, {"b": 3}),
        ({"samples": [({"a": "b"}, np.float32(0.5)), ({"a": "c"}, True)]}, {"b": 0.5, "c": 1}),
        ({"samples": (({"a": "b"}, 3),)}, {"b": 3}),
        ({"description": None}, None),
        ({"kind": "summary", "name": "odd"}, None),
        ({"across_workers": "min"}, None),
    ],
    ids=["NumPy's", "others", "tuple", "no description", "kind", "across workers"],
)
@pytest.mark.parametrize("shares", [False, True], ids=["alone", "in one folder"])
def test_an_odd_instrument_costs_no_scrape(
    fields: dict[str, Any], shown: dict[str, float] | None, shares: bool, tmp_path: Path
) -> None:
    directory = str(tmp_path / "metrics") if shares else None
    plugin, host, stream = Metrics(MetricsConfig(directory=directory)), MadeUpHost(), io.StringIO()
    host.log = open_log(LogSettings(format="json"), stream)
    sound = Instrument("sound", "gauge", "x", [({}, 7)])
    host.given = [odd(**fields), sound]
    plugin.on_start(host)

    async def use() -> list[Scrape]:
        async with plugin.lifespan(Litestar([])):
            await plugin._tell()
            plugin.observe([answered()])
            return [Scrape((await plugin._scrape(""))[0].decode()) for _ in range(3)]

    found = asyncio.run(use())[-1]
    assert found.sum("foretell_requests_total") == 1
    assert found.sum("sound") == 7
    assert stream.getvalue().count("cannot be shown") == (shown is None)
    if shown is None:
        assert found.sum("foretell_instruments_dropped_total", instrument=host.given[0].name) >= 3
    else:
        name = "odd_total"
        assert {dict(labels)["a"]: found.sum(name, **dict(labels)) for labels in found.labels(name)} == shown


def test_instruments_of_ever_new_names_are_bounded() -> None:
    stream = io.StringIO()
    instruments = Instruments(open_log(LogSettings(format="json"), stream))
    assert (
        instruments.usable([odd(name=f"odd{number}_total", description=None) for number in range(150)]) == []
    )
    assert len(instruments.dropped) == 101
    assert instruments.dropped[""] == 50
    assert stream.getvalue().count("cannot be shown") == 100


def test_whatever_fails_in_telling_the_others_is_said_once_and_ends_nothing(tmp_path: Path) -> None:
    plugin, host, stream = Metrics(MetricsConfig(directory=str(tmp_path / "m"))), MadeUpHost(), io.StringIO()
    host.log = open_log(LogSettings(format="json"), stream)
    plugin.on_start(host)

    def fail() -> list[Instrument]:
        raise TypeError("broken")

    async def use() -> None:
        async with plugin.lifespan(Litestar([])):
            host.instruments = fail  # type: ignore[method-assign]  # a plugin's own fault
            for _ in range(3):
                await plugin._tell()
            del host.instruments
            host.in_flight = 5
            await plugin._tell()
            assert plugin._state.in_flight == 5

    asyncio.run(use())
    assert stream.getvalue().count("TypeError: broken") == 1
