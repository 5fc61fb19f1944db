"""Several workers on one port, under load: they die, hang, are restarted, and lose nothing that they need not lose."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.load import Load
from tests.models import endless_model_bytes, linear_model_bytes, write_version
from tests.servers import ROOT, RunningServer, Serve, ServeStore

CLIENTS = 8
ABORT, HANG, INTERRUPT = 666, 667, 668

CHAOS = f"""
import asyncio, os, time
import msgspec
from foretell.plugin import ModelInfo, Plugin, Predict, PredictRequest, PredictResponse, Stage

class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    refuse: bool = False

def interrupt() -> None:
    raise KeyboardInterrupt

class Chaos(Plugin[Config]):
    stage = Stage.OBSERVE

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.refuse:
            raise ValueError("it is set to refuse")

    def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
        async def predict(request: PredictRequest) -> PredictResponse:
            first = int(request.inputs["X"][0, 0])
            if first == {ABORT}:
                os.abort()
            if first == {HANG}:
                time.sleep(3600)
            if first == {INTERRUPT}:
                asyncio.get_running_loop().call_soon(interrupt)
                await asyncio.sleep(3600)
            return await call_next(request)

        return predict
"""

Start = Callable[..., RunningServer]


@pytest.fixture
def start(serve_store: ServeStore, store: Path, tmp_path: Path) -> Start:
    """Serve a small model with two workers and a plugin that does harm when asked to; settings may be added."""
    write_version(store, "m", 1, linear_model_bytes())
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "chaos.py").write_text(CHAOS)

    def serve(*flags: str, toml: str = "") -> RunningServer:
        settings = tmp_path / "foretell.toml"
        settings.write_text(
            f'[plugins]\nenabled = ["metrics", "chaos"]\nfolder = "{tmp_path}/plugins"\n{toml}'
        )
        return serve_store(store, "--workers", "2", "--config", str(settings), *flags)

    return serve


def load(server: RunningServer, *, retries: int = 0) -> Load:
    return Load(
        server.url, kept=CLIENTS // 2, fresh=CLIENTS // 2, retries=retries, body=b'{"features": [1, 2]}'
    )


def workers(server: RunningServer) -> list[int]:
    """The processes of the workers that serve from the start, by slot."""
    assert server.url
    return [server.wait_for("worker ready", worker=slot)["pid"] for slot in range(2)]


def ask_for(server: RunningServer, what: int) -> None:
    with contextlib.suppress(httpx.TransportError):
        httpx.post(f"{server.url}/predict", json={"features": [what, 0]}, timeout=120)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    except FileNotFoundError:
        return True


# ---------------------------------------------------------------- faults


@pytest.mark.measures_servers
def test_a_killed_worker_loses_at_most_what_it_held_and_is_replaced_with_growing_waits(start: Start) -> None:
    server = start()
    pid = workers(server)[1]
    with load(server, retries=1) as clients:
        for death, wait_s in enumerate([0, 0.5, 1]):
            clients.wait_for_more(100)
            os.kill(pid, signal.SIGKILL)
            died = server.wait_for("worker died", pid=pid)
            assert (died["worker"], died["signal"], died["restart_in_s"]) == (1, "SIGKILL", wait_s)
            clients.wait_for_more(100)  # the other goes on, for both
            pid = server.wait_for_more("worker ready", death + 2, worker=1)[-1]["pid"]
        clients.wait_for_more(100)
    assert clients.lost == []
    assert clients.refused == 0
    assert clients.retried <= 3 * CLIENTS
    assert server.stop() == 0


def test_a_stopped_worker_is_killed_and_replaced(start: Start) -> None:
    server = start("--set", "server.hang_s=1")
    pid = workers(server)[0]
    with load(server, retries=1) as clients:
        clients.wait_for_more(100)
        os.kill(pid, signal.SIGSTOP)
        assert server.wait_for("worker hangs")["pid"] == pid
        died = server.wait_for("worker died")
        assert (died["pid"], died["signal"], died["hung"]) == (pid, "SIGKILL", True)
        server.wait_for_more("worker ready", 2, worker=0)
        clients.wait_for_more(100)
    assert clients.lost == []
    assert server.stop() == 0


@pytest.mark.measures_servers
def test_a_worker_whose_loop_is_stuck_tells_where(start: Start) -> None:
    server = start("--set", "server.hang_s=1")
    workers(server)
    ask_for(server, HANG)
    died = server.wait_for("worker died")
    assert died["hung"] is True
    assert 'chaos.py", line' in died["last_words"]
    assert " in predict" in died["last_words"]
    server.wait_for_more("worker ready", 2, worker=died["worker"])
    assert server.stop() == 0


def test_a_worker_that_only_loads_for_long_does_not_hang(serve_store: ServeStore, store: Path) -> None:
    write_version(store, "endless", 1, endless_model_bytes())
    write_version(store, "m", 1, linear_model_bytes())
    flags = ["--set", "server.hang_s=1", "--set", "engine.load_timeout_s=4"]
    server = serve_store(store, "--workers", "2", *flags)
    assert httpx.get(f"{server.url}/v1/models/m").status_code == 200
    assert not [line for line in server.events if line["event"] == "worker hangs"]
    server.stop()


def test_a_worker_is_not_blamed_for_a_time_in_which_its_parent_stood_still_too(start: Start) -> None:
    server = start("--set", "server.hang_s=1")
    pid = workers(server)[0]
    with Load(server.url, kept=16, fresh=0, body=b'{"features": [1, 2]}') as clients:
        clients.wait_for_more(100)
        os.kill(server.process.pid, signal.SIGSTOP)
        os.kill(pid, signal.SIGSTOP)
        clients.wait_for_more(6000)  # which takes at least 1.9 s
        os.kill(pid, signal.SIGCONT)
        os.kill(server.process.pid, signal.SIGCONT)
        clients.wait_for_more(1000)
    assert clients.lost == []
    assert not [line for line in server.events if line["event"] == "worker hangs"]
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("what", "end", "words"),
    [
        (ABORT, {"signal": "SIGABRT"}, "Fatal Python error: Aborted"),
        (INTERRUPT, {"status": 1}, "KeyboardInterrupt"),
    ],
    ids=["crash", "uncaught exception"],
)
def test_last_words_are_logged(start: Start, what: int, end: dict[str, Any], words: str) -> None:
    server = start()
    workers(server)
    ask_for(server, what)
    died = server.wait_for("worker died", **end)
    assert words in died["last_words"]
    assert "chaos.py" in died["last_words"]
    server.wait_for_more("worker ready", 2, worker=died["worker"])
    assert server.stop() == 0


def test_a_worker_that_somebody_else_ends_loses_nothing_and_is_replaced(start: Start) -> None:
    server = start()
    pid = workers(server)[0]
    with load(server) as clients:
        clients.wait_for_more(100)
        os.kill(pid, signal.SIGTERM)
        assert server.wait_for("worker ended", pid=pid)["status"] == 0
        server.wait_for_more("worker ready", 2, worker=0)
        clients.wait_for_more(100)
    assert (clients.lost, clients.refused) == ([], 0)
    assert server.stop() == 0


def test_workers_end_when_their_parent_is_killed(start: Start) -> None:
    server = start()
    pids = workers(server)
    with load(server) as clients:
        clients.wait_for_more(100)
        server.process.kill()
        clients.wait_for_refusal()
    assert clients.lost == []
    assert server.wait_for_end()
    assert all(map(is_gone, pids))


# ---------------------------------------------------------------- a restart


@pytest.mark.measures_servers
def test_a_restart_refuses_no_connection_and_fails_no_request(start: Start) -> None:
    server = start()
    before = workers(server)
    with load(server) as clients:
        clients.wait_for_more(100)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("workers restarted")
        clients.wait_for_more(100)
    assert (clients.lost, clients.refused) == ([], 0)
    assert clients.closed > 0
    ready = [line["pid"] for line in server.events if line["event"] == "worker ready"]
    assert len(set(ready)) == 4
    assert all(map(is_gone, before))
    assert server.stop() == 0


def test_a_restart_takes_over_new_settings(start: Start, tmp_path: Path) -> None:
    server = start()
    workers(server)
    settings = tmp_path / "foretell.toml"
    text = settings.read_text()
    settings.write_text(f"{text}[limits]\nmax_rows = 1\n[server]\nhost = '127.0.0.2'\n")
    server.process.send_signal(signal.SIGHUP)
    server.wait_for("workers restarted")
    answer = httpx.post(f"{server.url}/v1/models/m:predict", json={"instances": [[1, 2], [3, 4]]})
    assert answer.status_code == 422
    told = server.wait_for("some new settings need the server to be started anew")
    assert told["settings"] == ["server.host"]
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("added", "event", "reason"),
    [
        (
            "[limits]\nmax_row = 1\n",
            "workers are not restarted: the new settings are wrong",
            "there is no setting 'limits.max_row'; did you mean 'max_rows'?",
        ),
        (
            "[plugins.config.chaos]\nrefuse = true\n",
            "workers are not restarted: the first new one could not start",
            "it is set to refuse",
        ),
    ],
    ids=["misspelt", "refused by a plugin"],
)
def test_a_restart_with_wrong_settings_keeps_the_workers(
    start: Start, tmp_path: Path, added: str, event: str, reason: str
) -> None:
    server = start()
    pids = workers(server)
    settings = tmp_path / "foretell.toml"
    settings.write_text(settings.read_text() + added)
    server.process.send_signal(signal.SIGHUP)
    assert reason in server.wait_for(event)["reason"]
    assert httpx.post(f"{server.url}/predict", json={"features": [1, 2]}).status_code == 200
    os.kill(pids[0], signal.SIGKILL)  # and what replaces them has the old settings
    server.wait_for_more("worker ready", 2, worker=0)
    assert server.stop() == 0


@pytest.mark.measures_servers
@pytest.mark.parametrize("dies", ["before the restart", "while its successor starts"])
def test_a_place_that_is_empty_when_its_new_worker_cannot_start_gets_one_with_the_old_settings(
    start: Start, tmp_path: Path, dies: str
) -> None:
    server = start()
    pid, deaths = workers(server)[0], 1
    if dies == "before the restart":
        os.kill(pid, signal.SIGKILL)
        pid = server.wait_for_more("worker ready", 2, worker=0)[-1]["pid"]
        os.kill(pid, signal.SIGKILL)  # what follows this one is waited for
        server.wait_for("worker died", pid=pid)
        deaths = 2
    settings = tmp_path / "foretell.toml"
    settings.write_text(settings.read_text() + "[plugins.config.chaos]\nrefuse = true\n")
    server.process.send_signal(signal.SIGHUP)
    if dies == "while its successor starts":
        server.wait_for_more("worker started", 2, worker=0)
        os.kill(pid, signal.SIGKILL)
    server.wait_for("workers are not restarted: the first new one could not start")
    server.wait_for_more("worker ready", deaths + 1, worker=0)
    assert server.stop() == 0


def test_a_restart_misses_a_settings_file_that_was_there(
    serve_processes: Serve, store: Path, tmp_path: Path
) -> None:
    write_version(store, "m", 1, linear_model_bytes())
    settings = tmp_path / "foretell.toml"
    settings.write_text(f"[store]\npath = {str(store)!r}\n[plugins]\nenabled = []\n")
    command = [
        sys.executable,
        "-m",
        "foretell",
        "serve",
        "--port",
        "0",
        "--workers",
        "2",
        "--log-format",
        "json",
    ]
    server = serve_processes(command, cwd=tmp_path)
    pids = workers(server)
    settings.unlink()
    server.process.send_signal(signal.SIGHUP)
    told = server.wait_for("workers are not restarted: the new settings are wrong")
    assert "foretell.toml does not exist" in told["reason"]
    assert not any(map(is_gone, pids))
    assert server.stop() == 0


def test_a_stop_in_the_middle_of_a_restart_is_no_failure(start: Start) -> None:
    server = start()
    workers(server)
    server.process.send_signal(signal.SIGHUP)
    server.wait_for_more("worker started", 3)
    assert server.stop() == 0
    assert [line["event"] for line in server.events if line["level"] == "error"] == []


@pytest.mark.measures_servers
def test_a_successor_that_is_told_to_end_ends_the_restart(start: Start) -> None:
    server = start()
    workers(server)
    server.process.send_signal(signal.SIGHUP)
    successor = server.wait_for_more("worker started", 3)[-1]["pid"]
    os.kill(successor, signal.SIGTERM)
    server.wait_for_text("workers are not restarted")
    server.process.send_signal(signal.SIGHUP)  # and another can begin
    server.wait_for("workers restarted")
    assert server.stop() == 0


def test_a_restart_keeps_workers_that_are_ready_if_new_ones_are_not(start: Start, store: Path) -> None:
    server = start()
    pids = workers(server)
    (store / "m" / "1" / "model.onnx").write_bytes(b"no model")
    server.process.send_signal(signal.SIGHUP)
    told = server.wait_for("workers are not restarted: the first new one could not start")
    assert "not every enabled model is ready" in told["reason"]
    assert httpx.get(f"{server.url}/health/ready").status_code == 200
    assert not any(map(is_gone, pids))
    assert server.stop() == 0


# ---------------------------------------------------------------- the start and the end


def test_the_log_tells_of_one_server(start: Start) -> None:
    server = start("--set", "server.drain_s=7")
    assert server.wait_for("serving")["workers"] == 2
    assert server.stop() == 0
    told = [line["event"] for line in server.events if "worker" not in line]
    assert told == ["serving", "stopping", "stopped"]
    assert server.wait_for("stopping")["waits_at_most_s"] == 7


def test_what_is_sent_before_the_end_is_answered(start: Start) -> None:
    server = start()
    workers(server)
    with load(server) as clients:
        clients.wait_for_more(100)
        server.process.send_signal(signal.SIGTERM)
        clients.wait_for_refusal()
        assert server.process.wait(120) == 0
    assert clients.lost == []


@pytest.mark.measures_servers
def test_a_worker_that_does_not_end_is_killed(start: Start) -> None:
    server = start("--set", "server.drain_s=1")
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        body = b'{"features": [%d, 0]}' % HANG
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
        )
        server.process.send_signal(signal.SIGTERM)
        assert server.wait_for_end() == 0
    killed = server.wait_for("worker does not end and is killed")
    assert server.wait_for("worker ended", pid=killed["pid"])["signal"] == "SIGKILL"


def test_told_twice_it_ends_at_once(start: Start) -> None:
    server = start(
        "--set", "server.hang_s=3600", "--set", "server.drain_s=3600", "--set", "server.linger_s=3600"
    )
    workers(server)
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/health/live").status_code == 200
        server.process.send_signal(signal.SIGINT)
        server.wait_for("stopping")
        assert server.stop(signal.SIGINT) == 130
    server.wait_for("stopped at once")


@pytest.mark.measures_servers
def test_a_worker_that_cannot_start_ends_the_server_with_its_message(start: Start) -> None:
    several = start(toml="[plugins.config.chaos]\nrefuse = true\n")
    assert several.wait_for_end() == 1
    one = start("--workers", "1", toml="[plugins.config.chaos]\nrefuse = true\n")
    assert one.wait_for_end() == 1
    assert [line for line in several.raw if not line.startswith("{")] == one.raw
    assert "it is set to refuse" in one.raw[0]


def test_a_worker_that_is_killed_before_it_ever_served_ends_the_server(start: Start) -> None:
    server = start()
    os.kill(server.wait_for("worker started", worker=1)["pid"], signal.SIGKILL)
    assert server.wait_for_end() == 1
    assert server.wait_for("worker died")["signal"] == "SIGKILL"


def test_told_to_stop_while_it_loads_it_ends(start: Start) -> None:
    server = start()
    server.wait_for("worker started", worker=1)
    assert server.stop() == 0


@pytest.mark.measures_servers
def test_a_taken_port_is_told_before_workers_are_started(start: Start, store: Path) -> None:
    server = start()
    port = server.url.rpartition(":")[2]
    command = [
        sys.executable,
        "-m",
        "foretell",
        "serve",
        "--store",
        str(store),
        "--workers",
        "2",
        "--port",
        port,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=ROOT)
    assert (done.returncode, done.stderr) == (
        1,
        f"foretell: port {port} of 127.0.0.1 is taken: stop what listens there, or choose another with --port\n",
    )
    server.stop()


def test_a_port_that_is_lost_while_models_are_loaded_is_told(start: Start, free_port: int) -> None:
    server = start("--port", str(free_port))
    server.wait_for("worker started", worker=1)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", free_port))
        other.listen()
        assert server.wait_for_end() == 1
    told = [line for line in server.raw if not line.startswith("{")]
    assert told == [
        f"foretell: port {free_port} of 127.0.0.1 is taken: stop what listens there, or choose another with --port\n"
    ]


# ---------------------------------------------------------------- all of them together


def test_one_scrape_shows_the_sum_of_all_workers_those_that_died_included(start: Start) -> None:
    server = start()
    pid = workers(server)[0]
    with load(server, retries=1) as clients:
        clients.wait_for_more(200)
    os.kill(pid, signal.SIGKILL)
    server.wait_for_more("worker ready", 2, worker=0)
    with load(server, retries=1) as more:
        more.wait_for_more(200)
    text = httpx.get(f"{server.url}/metrics").text
    counts = re.findall(r'^foretell_requests_total\{.*outcome="success".*\} ([\d.]+)', text, re.MULTILINE)
    asked = clients.answered + more.answered
    assert asked <= sum(map(float, counts)) <= asked + 2 * CLIENTS
    assert server.stop() == 0


def test_the_parent_stays_small(start: Start) -> None:
    server = start()
    workers(server)
    mapped = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert [name for name in ("onnxruntime", "numpy", "uvloop", "httptools") if name in mapped] == []
    server.stop()


def test_auto_means_one_worker_for_each_usable_cpu(start: Start) -> None:
    server = start("--workers", "auto")
    assert server.url
    cpus = len(os.sched_getaffinity(0))
    assert len([line for line in server.events if line["event"] == "worker started"]) == (
        cpus if cpus > 1 else 0
    )
    server.stop()


def test_what_a_terminal_sends_to_all_is_for_the_parent(start: Start) -> None:
    server = start()
    pids = workers(server)
    for pid in pids:
        for number in (signal.SIGINT, signal.SIGHUP):
            os.kill(pid, number)
    assert httpx.post(f"{server.url}/predict", json={"features": [1, 2]}).status_code == 200
    server.process.send_signal(signal.SIGINT)
    assert server.wait_for_end() == 0
    assert [line["status"] for line in server.events if line["event"] == "worker ended"] == [0, 0]
