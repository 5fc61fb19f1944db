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
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from foretell.loadtest.counted import counted
from foretell.loadtest.record import Record
from foretell.loadtest.run import LOCUSTFILE
from tests.models import linear_model_bytes, slow_model_bytes, write_version
from tests.servers import ROOT, SAMPLE_STORE, Serve

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
    for name in ("report.html", "report.md", "latency.svg", "locust_stats.csv", "server.log"):
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
    with (
        subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as test,
        _killed_at_last(test),
    ):
        _await_load(tmp_path / "out")
        os.kill(_server(test).children()[-1].pid, signal.SIGKILL)
        told, complaints = test.communicate(timeout=120)
    assert test.returncode in {0, 1}, complaints
    assert "the server counted" not in complaints, complaints
    assert "p99, ms" in told, complaints
    log = (tmp_path / "out" / "server.log").read_text()
    assert '"status": -9' in log or "SIGKILL" in log, log


def test_models_are_rolled_out_and_back_while_they_are_asked(tmp_path: Path) -> None:
    write_version(tmp_path / "now", "m", 1, linear_model_bytes(weights=[1.0, 2.0]))
    write_version(tmp_path / "next", "m", 2, linear_model_bytes(weights=[3.0, 4.0]))
    done = loadtest(
        tmp_path,
        *("--store", "now", "--next", "next", "--roll-every", "1.5", "--duration", "8", "--rate", "100"),
        *("--distinct", "30"),
    )
    record = Record.read(tmp_path / "out" / "record.json")
    assert [seen for seen in record.seen.values() if seen.failed] == []
    assert re.search(r"^[2-9] rollouts$", done.stdout, re.MULTILINE)
    log = (tmp_path / "out" / "server.log").read_text()
    assert '"default": 2, "versions": [1, 2]' in log
    assert '"default": 1, "versions": [1]' in log
    assert [path.name for path in (tmp_path / "now" / "m").iterdir()] == ["1"]
    for name in ("report.md", "resources.json"):
        assert (tmp_path / "out" / name).stat().st_size > 100


def test_where_a_canary_chooses_any_version_may_be_right(tmp_path: Path, store: Path) -> None:
    arguments: tuple[str, ...] = ("--store", str(store), "--model", "iris", "--protocol", "native")
    arguments += ("--duration", "2", "--distinct", "20")
    canary: tuple[str, ...] = ("--", "--set", "plugins.enabled=metrics,canary")
    canary += ("--set", "models.iris.plugins.canary={weights = {candidate = 50}}")
    done = loadtest(tmp_path, *arguments, *canary, status=1)
    assert "wrong: " in done.stderr
    loadtest(tmp_path, *arguments, "--any-version", *canary)


def test_a_spike_is_five_times_the_rate_and_is_counted_alike(tmp_path: Path, store: Path) -> None:
    done = loadtest(
        tmp_path,
        *("--store", str(store), "--profile", "spike", "--rate", "40", "--duration", "12"),
        *("--distinct", "20", "--", "--workers", "2"),
    )
    assert "the server counted the same" in done.stdout
    ticks = Record.read(tmp_path / "out" / "record.json").ticks
    answered = [ticks[second].latencies.total for second in sorted(ticks)]
    assert max(answered) > 120
    assert sorted(answered)[len(answered) // 2] < 80


def test_a_ramp_ends_at_the_knee(tmp_path: Path) -> None:
    write_version(tmp_path / "slow", "m", 1, slow_model_bytes(384, 12))
    (tmp_path / "targets.toml").write_text("[[target]]\np95_ms = 200\n\n[[target]]\nerrors = 0\n")
    done = loadtest(
        tmp_path,
        *("--store", "slow", "--profile", "ramp", "--rate", "5", "--duration", "2", "--protocol", "native"),
        *("--targets", "targets.toml", "--distinct", "50", "--repeats", "0"),
        *("--", "--set", "plugins.enabled=metrics"),
    )
    (knee,) = re.findall(r"^knee: ([\d,]+) questions a second$", done.stdout, re.MULTILINE)
    assert int(knee.replace(",", "")) >= 5
    told = done.stderr.splitlines()
    assert [line for line in told if line.endswith(" a second: met")]
    assert [line for line in told if "p95, ms" in line or "does not keep up" in line]
    assert "the server counted the same" in done.stdout
    assert "MISSED" not in done.stdout


def test_several_processes_share_a_load(tmp_path: Path, store: Path) -> None:
    done = loadtest(
        tmp_path,
        *("--store", str(store), "--model", "iris", "--duration", "4", "--rate", "100", "--distinct", "20"),
        *("--processes", "2"),
    )
    assert "the server counted the same" in done.stdout
    seen = Record.read(tmp_path / "out" / "record.json").seen.values()
    assert 250 < sum(each.latencies.total for each in seen) < 550


def test_a_plan_is_asked_by_locust_on_its_own(
    tmp_path: Path, store: Path, serve_processes: Serve, free_port: int
) -> None:
    plan = ("--profile", "steady", "--rate", "100", "--duration", "4", "--distinct", "20", "--processes", "2")
    loadtest(tmp_path, "--store", str(store), "--model", "iris", *plan, "--write-plan", "plan.msgpack")
    serve = [sys.executable, "-m", "foretell", "serve", "--port", "0", "--store", str(store)]
    server = serve_processes(serve)
    environ = {
        **os.environ,
        "FORETELL_LOADTEST_PLAN": "plan.msgpack",
        "FORETELL_LOADTEST_RECORD": "record.json",
    }
    locust = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", server.url]
    master = ["--headless", "--master", "--expect-workers", "2", "--master-bind-host", "127.0.0.1"]
    master += ["--master-bind-port", str(free_port), "-u", "2", "-r", "2", "-t", "5s", "ArrivingUser"]
    worker = ["--worker", "--master-host", "127.0.0.1", "--master-port", str(free_port)]
    processes = [
        subprocess.Popen([*locust, *more], cwd=tmp_path, env=environ, stderr=subprocess.DEVNULL)
        for more in (master, worker, worker)
    ]
    try:
        assert [process.wait(90) for process in processes] == [0, 0, 0]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    seen = Record.read(tmp_path / "record.json").seen.values()
    assert 250 < sum(each.latencies.total for each in seen) < 550
    assert sum(each.failed for each in seen) == 0


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_it_ends_early_in_good_order(tmp_path: Path, store: Path, number: int, status: int) -> None:
    command = [sys.executable, "-m", "foretell", "loadtest", "--out", str(tmp_path / "out")]
    command += [
        "--store",
        str(store),
        "--model",
        "iris",
        "--profile",
        "soak",
        "--rate",
        "50",
        "--distinct",
        "20",
    ]
    with (
        subprocess.Popen(
            command,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=_hear_signals,  # noqa: PLW1509 - the child runs nothing else before it is replaced
        ) as test,
        _killed_at_last(test),
    ):
        _await_load(tmp_path / "out")
        family = psutil.Process(test.pid).children(recursive=True)
        if number == signal.SIGINT:
            os.killpg(test.pid, number)  # as a terminal does
        else:
            test.send_signal(number)
        told, complaints = test.communicate(timeout=60)
    assert test.returncode == status, complaints
    assert len(family) >= 2
    assert psutil.wait_procs(family, timeout=10)[1] == []
    if number == signal.SIGINT:
        assert "the server counted the same" in told, complaints
        assert re.search(r"^ENDED EARLY: \d+ of 3,600 s$", told, re.MULTILINE), told
        assert Record.read(tmp_path / "out" / "record.json").seen


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--store", "nostore"), "the model store 'nostore' does not exist"),
        (("--model", "iriss"), "there is no model 'iriss'"),
        (("--default-model", "iriss"), "there is no model 'iriss'"),
        (("--targets", "missing.toml"), "missing.toml cannot be read: No such file"),
        (("--targets", "targets.toml"), "no question is of 'irs, any protocol, any number of rows'"),
        (("--out", "targets.toml"), "targets.toml cannot be written: File exists"),
        (("--write-plan", "nowhere/plan"), "nowhere/plan cannot be written: No such file"),
        (("--url", "127.0.0.1:1"), "--url is like http://"),
        (("--url", "http://127.0.0.1:1", "--", "--workers", "2"), "for which --workers would be"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(
    tmp_path: Path, store: Path, arguments: tuple[str, ...], told: str
) -> None:
    (tmp_path / "targets.toml").write_text('[[target]]\nmodel = "irs"\nerrors = 0\n')
    command = [sys.executable, "-m", "foretell", "loadtest", "--store", str(store), "--distinct", "1"]
    done = subprocess.run(
        [*command, "--protocol", "native", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode in {1, 2}
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_the_users_store_and_folders_stay_as_they_are(tmp_path: Path) -> None:
    write_version(tmp_path / "store", "m", 1, linear_model_bytes())
    write_version(tmp_path / "next", "m", 2, linear_model_bytes())
    before = sorted(path for folder in ("store", "next") for path in (tmp_path / folder).rglob("*"))
    arguments = (
        "--next",
        str(tmp_path / "next"),
        "--distinct",
        "1",
        "--duration",
        "1",
        "--roll-every",
        "0.2",
    )
    command = [sys.executable, "-m", "foretell", "loadtest", "--store", str(tmp_path / "store"), *arguments]
    for out in (tmp_path, tmp_path / "store"):
        done = subprocess.run(
            [*command, "--out", str(out)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert [path for path in before if not path.exists()] == []


def test_users_in_a_closed_loop_ask_a_plan(tmp_path: Path, store: Path, serve_processes: Serve) -> None:
    plan = ("--store", str(store), "--model", "iris", "--distinct", "20", "--write-plan", "plan.msgpack")
    loadtest(tmp_path, *plan)
    server = serve_processes(
        [sys.executable, "-m", "foretell", "serve", "--port", "0", "--store", str(store)]
    )
    locust = [sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests" / "locustfile.py")]
    locust += [
        "--host",
        server.url,
        "--headless",
        "-u",
        "2",
        "-r",
        "2",
        "-t",
        "2s",
        "NativeUser",
        "V2BinaryUser",
    ]
    environ = {
        **os.environ,
        "FORETELL_LOADTEST_PLAN": "plan.msgpack",
        "FORETELL_LOADTEST_RECORD": "record.json",
    }
    done = subprocess.run(locust, cwd=tmp_path, env=environ, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    seen = Record.read(tmp_path / "record.json").seen
    assert set(seen) == {"native iris 1", "v2-binary iris 1"}
    assert all(each.latencies.total and not each.failed for each in seen.values())
    done = subprocess.run(locust, cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert b"FORETELL_LOADTEST_PLAN names no file" in done.stderr


def test_models_are_not_rolled_out_on_a_server_of_somebody_else(tmp_path: Path, store: Path) -> None:
    arguments = ("--store", str(store), "--next", str(store), "--url", "http://127.0.0.1:1")
    done = loadtest(tmp_path, *arguments, status=2)
    assert "leave out --url" in done.stderr


def _hear_signals() -> None:
    """As a shell in a terminal starts what it runs; one without has what it runs in the background ignore Ctrl-C."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def _killed_at_last(test: subprocess.Popen[str]) -> Generator[None]:
    """Whatever happens, nothing of a load test is left."""
    try:
        yield
    finally:
        if test.poll() is None:
            for child in psutil.Process(test.pid).children(recursive=True):
                child.kill()
            test.kill()


def _server(test: subprocess.Popen[str]) -> psutil.Process:
    """The server that a load test has started."""
    (server,) = [each for each in psutil.Process(test.pid).children() if "serve" in each.cmdline()]
    return server


def _await_load(out: Path) -> None:
    """Wait until Locust's questions are answered."""
    log, before = out / "server.log", 0
    until = time.monotonic() + 60
    while time.monotonic() < until:
        url = re.search(r'"url": "([^"]+)"', log.read_text() if log.exists() else "")
        if url is not None and (out / "plan.msgpack").exists():
            answered = (counted(url[1]) or Counter()).total()
            before = before or answered  # by one caller, before the load
            if answered > before + 20:
                return
        time.sleep(0.05)
    raise AssertionError("the load test does not begin")
