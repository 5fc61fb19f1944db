"""Who waits for a run, how long, and what becomes of those who wait no longer; a real server, models that never end."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.models import linear_model_bytes, steps_bytes, write_model_toml, write_version
from tests.servers import RunningServer, ServeStore

FOR_EVER = 2**60

# One thread, and nothing on the event loop.
ALONE = 'batching.mode = "off"\n'
ONE_THREAD = ("--set", "engine.run_threads=1", "--set", "engine.inline_us=0")


@pytest.fixture
def store(store: Path) -> Path:
    """A model that takes as many steps as it is asked for, and one that is sound."""
    write_version(store, "steps", 1, steps_bytes())
    write_version(store, "sound", 1, linear_model_bytes())
    return store


def ask(server: RunningServer, value: int = 1, **headers: str) -> httpx.Response:
    url = f"{server.url}/v1/models/steps:predict"
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(url, json={"instances": [value]}, headers=names, timeout=60)


def send(server: RunningServer, value: int) -> socket.socket:
    """A request whose answer nobody waits for yet."""
    address = urlsplit(server.url)
    body = json.dumps({"instances": [value]}).encode()
    sock = socket.create_connection((address.hostname or "", address.port or 0))
    head = f"POST /v1/models/steps:predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    sock.sendall(head.encode() + body)
    return sock


def gauge(server: RunningServer, name: str) -> float:
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def wait_for(server: RunningServer, name: str, value: float) -> None:
    for _ in range(200):
        if gauge(server, name) == value:
            return
    raise AssertionError(f"{name} is {gauge(server, name)}, not {value}")


def test_a_run_that_overshoots_is_ended_and_the_thread_serves_the_next(
    serve_store: ServeStore, store: Path
) -> None:
    server = serve_store(store, *ONE_THREAD)
    late = ask(server, FOR_EVER, X_Request_Timeout="0.2")
    assert late.status_code == 504
    assert late.json()["detail"] == "steps version 1 did not answer before the deadline (X-Request-Timeout)"
    assert ask(server).json()["predictions"] == [1]
    assert server.stop() == 0


def test_a_model_has_its_own_deadline_and_bounds_what_callers_may_say(
    serve_store: ServeStore, store: Path
) -> None:
    write_model_toml(store, "steps", "[limits]\ndeadline_s = 0.1\nmax_deadline_s = 0.2\n")
    server = serve_store(store, *ONE_THREAD)
    assert ask(server, FOR_EVER).status_code == 504
    assert ask(server, FOR_EVER, X_Request_Timeout="3600").status_code == 504


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", ""])
def test_a_timeout_that_is_no_number_of_seconds_is_the_caller_s_mistake(
    sample: httpx.Client, value: str
) -> None:
    answer = sample.post(
        "/predict", json={"features": [5.1, 3.5, 1.4, 0.2]}, headers={"x-request-timeout": value}
    )
    assert answer.status_code == 400
    assert answer.json()["detail"] == (
        f"X-Request-Timeout: expected seconds, a number above 0, got {value!r}"
    )


def test_a_caller_that_disconnects_frees_its_place(serve_store: ServeStore, store: Path) -> None:
    write_model_toml(store, "steps", ALONE + "[limits]\nmax_runs = 1\n")
    server = serve_store(store, *ONE_THREAD)
    running, waiting = send(server, FOR_EVER), send(server, FOR_EVER + 1)
    wait_for(server, "foretell_queue_depth", 1)
    waiting.close()
    wait_for(server, "foretell_queue_depth", 0)
    running.close()
    assert ask(server).json()["predictions"] == [1]
    wait_for(server, 'foretell_requests_total{model="steps",outcome="client_gone"', 2)


def test_a_full_queue_answers_503_at_once_with_a_time_to_come_back(
    serve_store: ServeStore, store: Path
) -> None:
    write_model_toml(store, "steps", ALONE + "[limits]\nmax_runs = 1\nmax_queue_rows = 1\n")
    server = serve_store(store, *ONE_THREAD)
    running, waiting = send(server, FOR_EVER), send(server, FOR_EVER + 1)
    wait_for(server, "foretell_queue_depth", 1)
    refused = ask(server)
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert "the queue of steps version 1 is full" in refused.json()["detail"]
    assert gauge(server, 'foretell_rejected_total{reason="queue_full"}') == 1
    running.close()
    waiting.close()


def test_a_model_that_hangs_blocks_no_other(serve_store: ServeStore, store: Path) -> None:
    server = serve_store(store, *ONE_THREAD)
    hanging = send(server, FOR_EVER)
    url = f"{server.url}/v1/models/sound:predict"
    for _ in range(20):
        answer = httpx.post(url, json={"instances": [[1, 2]]}, timeout=20)
        assert (answer.status_code, answer.json()["predictions"]) == (200, [3.0])
    hanging.close()


def test_requests_that_share_runs_get_their_own_answers(serve_store: ServeStore, store: Path) -> None:
    write_model_toml(store, "sound", '[batching]\nmode = "on"\nmax_rows = 16\n')
    server = serve_store(store, *ONE_THREAD)
    wrong: list[Any] = []

    def client(number: int) -> None:
        with httpx.Client(timeout=60) as client:
            for turn in range(40):
                row = [number, turn / 64]
                answer = client.post(f"{server.url}/v1/models/sound:predict", json={"instances": [row]})
                if answer.json().get("predictions") != [sum(row)]:
                    wrong.append((row, answer.text))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    runs, rows = gauge(server, "foretell_batch_rows_count"), gauge(server, "foretell_batch_rows_sum")
    assert rows == 16 * 40
    assert runs < rows  # some went together


def test_no_timeout_is_so_short_that_it_means_for_ever(serve_store: ServeStore, store: Path) -> None:
    server = serve_store(store, *ONE_THREAD, "--set", "limits.max_deadline_s=2")
    for header in ("1e-9", "9e-10", "1e-300", "0.000000000000001"):
        answered = ask(server, FOR_EVER, X_Request_Timeout=header)
        assert (answered.status_code, answered.json()["status"]) == (504, 504)


def test_a_model_that_may_loop_does_not_hold_the_event_loop(serve_store: ServeStore, store: Path) -> None:
    server = serve_store(store)
    asked = send(server, FOR_EVER)
    with asked:
        wait_for(server, "foretell_in_flight", 1)
        assert httpx.get(f"{server.url}/health/live", timeout=10).status_code == 200
        assert ask(server, FOR_EVER, X_Request_Timeout="0.3").status_code == 504
    assert server.stop() == 0
