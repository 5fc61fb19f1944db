"""The shadow in a real server: callers notice nothing, metrics tell what came of it."""

from __future__ import annotations

import re
from pathlib import Path

import httpx

from tests.models import identity_bytes, linear_model_bytes, steps_bytes, write_model_toml, write_version
from tests.servers import RunningServer, ServeStore

ENABLED = ["--set", "plugins.enabled=metrics,shadow"]
TOML = "default = 1\naliases.candidate = 2\n"


def ask(server: RunningServer, *rows: object) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/models/m:predict", json={"instances": list(rows)}, timeout=30)


def outcomes(server: RunningServer) -> dict[str, float]:
    scrape = httpx.get(f"{server.url}/metrics").text
    found = re.findall(r'^foretell_shadow_total{.*outcome="(\w+)".*} (\S+)$', scrape, re.MULTILINE)
    return {outcome: float(count) for outcome, count in found if float(count)}


def wait_for(server: RunningServer, expected: dict[str, float]) -> None:
    """Until the metrics tell so; each scrape gives the server time for what waits."""
    for _ in range(2000):
        if outcomes(server) == expected:
            return
    assert outcomes(server) == expected


def test_answers_are_compared_and_no_request_is_counted_twice(serve_store: ServeStore, store: Path) -> None:
    write_version(store, "m", 1, linear_model_bytes(weights=[1, 1]))
    write_version(store, "m", 2, linear_model_bytes(weights=[1, 2]))
    write_model_toml(store, "m", f"{TOML}plugins.shadow = 'candidate'\n")
    server = serve_store(store, *ENABLED)
    for row in ([1, 0], [2, 0]):
        assert ask(server, row).json()["predictions"] == [float(sum(row))]
    answer = ask(server, [1, 1])
    assert (answer.json()["predictions"], answer.headers["x-model-version"]) == ([2.0], "1")
    wait_for(server, {"agreed": 2, "differed": 1})
    assert server.wait_for("shadow differs")["request_id"] == answer.json()["request_id"]
    scrape = httpx.get(f"{server.url}/metrics").text
    counted = re.findall(r"^foretell_requests_total{.*} (\S+)$", scrape, re.MULTILINE)
    assert counted == ["3.0"]
    assert server.stop() == 0


def test_a_target_that_never_ends_keeps_neither_callers_nor_the_end_waiting(
    serve_store: ServeStore, store: Path
) -> None:
    # The target takes as many steps as the request says; version 1 answers the same at once.
    write_version(store, "m", 1, identity_bytes("int64", ("batch",)))
    write_version(store, "m", 2, steps_bytes())
    write_model_toml(
        store, "m", f"{TOML}[plugins.shadow]\ntarget = '2'\ndeadline_s = 3600\nmax_pending = 2\n"
    )
    server = serve_store(store, *ENABLED, "--set", "engine.inline_us=0")
    for number in range(2**60, 2**60 + 10):
        answer = ask(server, number)
        assert (answer.status_code, answer.json()["predictions"]) == (200, [number])
    wait_for(server, {"dropped": 7})
    server.stop()  # its status is the engine's affair: a run was still going on
    server.wait_for("stopped")
