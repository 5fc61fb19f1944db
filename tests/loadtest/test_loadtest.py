"""``foretell loadtest`` as people run it: a server, Locust, and whether the targets are met."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from foretell.loadtest.counted import counted
from foretell.loadtest.record import Record
from tests.models import linear_model_bytes, slow_model_bytes, write_version
from tests.servers import SAMPLE_STORE, Serve

ALL = ("batch", "invocations", "native", "records", "simple", "v2", "v2-binary")


def loadtest(folder: Path, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a load test in a folder."""
    command = [sys.executable, "-m", "foretell", "loadtest", "--out", str(folder / "out"), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == status, (done.stdout, done.stderr)
    return done


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with two models of the sample store."""
    for model in ("iris", "penguins"):
        shutil.copytree(SAMPLE_STORE / model, tmp_path / "store" / model)
    return tmp_path / "store"


def test_every_form_is_asked_and_answered_rightly(tmp_path: Path, store: Path) -> None:
    done = loadtest(
        tmp_path,
        *("--store", str(store), "--default-model", "penguins", "--rows", "1", "--rows", "7"),
        *("--duration", "4", "--rate", "100", "--distinct", "20"),
    )
    record = Record.read(tmp_path / "out" / "record.json")
    assert {seen.protocol for seen in record.seen.values()} == set(ALL)
    assert {(seen.model, seen.rows) for seen in record.seen.values()} == {
        ("iris", 1),
        ("iris", 7),
        ("penguins", 1),
        ("penguins", 7),
    }
    assert sum(seen.latencies.total for seen in record.seen.values()) > 200
    assert [seen for seen in record.seen.values() if seen.failed] == []
    assert "MISSED" not in done.stdout
    for name in ("report.html", "latency.svg", "locust_stats.csv", "server.log"):
        assert (tmp_path / "out" / name).stat().st_size > 100


def test_a_model_made_slow_misses_its_target(tmp_path: Path) -> None:
    targets = tmp_path / "targets.toml"
    targets.write_text('[[target]]\nmodel = "m"\np50_ms = 50\n\n[[target]]\nerrors = 0\n')
    arguments: tuple[str, ...] = (
        "--protocol",
        "native",
        "--duration",
        "3",
        "--rate",
        "10",
        "--targets",
        "targets.toml",
    )
    arguments += ("--distinct", "30", "--repeats", "0", "--", "--set", "plugins.enabled=metrics")
    write_version(tmp_path / "slow", "m", 1, slow_model_bytes(512, 24))
    done = loadtest(tmp_path, "--store", "slow", *arguments, status=1)
    assert "MISSED" in done.stdout
    write_version(tmp_path / "fast", "m", 1, linear_model_bytes(weights=[1.0, 2.0]))
    loadtest(tmp_path, "--store", "fast", *arguments)


def test_the_answers_of_another_model_are_wrong(tmp_path: Path, serve_processes: Serve) -> None:
    write_version(tmp_path / "theirs", "m", 1, linear_model_bytes(weights=[1.0, 2.0]))
    write_version(tmp_path / "ours", "m", 1, linear_model_bytes(weights=[1.0, 2.1]))
    command = [sys.executable, "-m", "foretell", "serve", "--port", "0", "--store", str(tmp_path / "theirs")]
    server = serve_processes(command)
    arguments = (
        "--store",
        "ours",
        "--url",
        server.url,
        "--duration",
        "2",
        "--distinct",
        "5",
        "--protocol",
        "native",
    )
    done = loadtest(tmp_path, *arguments, status=1)
    assert "wrong: " in done.stderr
    record = Record.read(tmp_path / "out" / "record.json")
    (seen,) = record.seen.values()
    assert seen.wrong
    assert not seen.latencies.total


def test_counts_agree_though_a_worker_is_killed(tmp_path: Path, store: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "foretell",
        "loadtest",
        "--out",
        str(tmp_path / "out"),
        "--store",
        str(store),
    ]
    command += [
        "--profile",
        "steady",
        "--duration",
        "6",
        "--rate",
        "100",
        "--distinct",
        "20",
        "--",
        "--workers",
        "2",
    ]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as test:
        os.kill(_worker_under_load(tmp_path / "out"), signal.SIGKILL)
        told, complaints = test.communicate(timeout=120)
    assert test.returncode in {0, 1}, complaints
    assert "the server counted" not in complaints, complaints
    assert "p99, ms" in told, complaints
    log = (tmp_path / "out" / "server.log").read_text()
    assert '"status": -9' in log or "SIGKILL" in log, log


def _worker_under_load(out: Path) -> int:
    """A worker's process, once Locust's questions are answered."""
    log, before = out / "server.log", 0
    until = time.monotonic() + 60
    while time.monotonic() < until:
        told = log.read_text() if log.exists() else ""
        worker = re.search(r'"pid": (\d+), "event": "worker ready"', told)
        url = re.search(r'"url": "([^"]+)"', told)
        if worker is not None and url is not None and (out / "plan.msgpack").exists():
            answered = (counted(url[1]) or Counter()).total()
            before = before or answered  # by one caller, before the load
            if answered > before + 20:
                return int(worker[1])
        time.sleep(0.05)
    raise AssertionError("the load test does not begin")
