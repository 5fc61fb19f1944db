"""Publish, from Python and from a shell: what is written, what is refused, and what a kill leaves."""

from __future__ import annotations

import os
import pty
import random
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io
from click.testing import CliRunner, Result
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from foretell import publish
from foretell.cli.main import cli
from foretell.errors import ArgumentError, ConversionError, InvalidNameError, ParityError
from foretell.publishing import Published
from foretell.store.artifact import read_artifact
from foretell.store.catalog import scan
from foretell.store.manifest import Manifest

DATA = load_iris(as_frame=True)
TREE = DecisionTreeClassifier(max_depth=3, random_state=0).fit(DATA.data, DATA.target)
LINEAR = LogisticRegression(max_iter=500).fit(DATA.data, DATA.target)


def _publish(store: Path, estimator: Any = TREE, **options: Any) -> Published:
    return publish(estimator, DATA.data, name="iris", store=store, **options)


def test_what_is_published_passes_every_check_of_the_server(store: Path) -> None:
    published = _publish(store, description="a tree")
    assert published.folder == store / "iris" / "1"
    artifact = read_artifact(published.folder, max_bytes=10**9)
    assert artifact.manifest == published.manifest == Manifest.read(published.folder / "manifest.json")
    assert artifact.digest == published.manifest.digest
    assert published.manifest.description == "a tree"
    assert published.manifest.parity is not None
    assert published.manifest.parity.accepted_mismatch is False
    assert "0 labels differ" in str(published)


def test_each_time_gives_the_next_version(store: Path) -> None:
    assert [_publish(store).version for _ in range(3)] == [1, 2, 3]
    (store / "iris" / "7").mkdir()
    assert _publish(store).version == 8


def test_a_mismatch_is_refused_with_report_and_advice(store: Path) -> None:
    with pytest.raises(ParityError) as refused:
        _publish(store, LINEAR, tolerance=0.0, precision="float32")
    for text in (
        "rows compared",
        "largest difference",
        "worst row",
        "--precision float64",
        "--allow-mismatch",
    ):
        assert text in str(refused.value)
    assert scan(store) == {}


def test_an_accepted_mismatch_is_recorded(store: Path) -> None:
    published = _publish(store, LINEAR, tolerance=0.0, precision="float32", allow_mismatch=True)
    assert published.manifest.parity is not None
    assert published.manifest.parity.accepted_mismatch is True
    assert published.manifest.parity.max_abs_diff > 0


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a b", "x" * 129, "é"])
def test_a_bad_name_is_refused_before_any_work(store: Path, name: str) -> None:
    told: list[str] = []
    with pytest.raises(InvalidNameError, match="cannot name a model"):
        publish(TREE, DATA.data, name=name, store=store, on_progress=lambda stage, _: told.append(stage))
    assert told == []


def test_progress_is_told_by_stage(store: Path) -> None:
    told: list[tuple[str, float]] = []

    def on_progress(stage: str, done: float) -> None:
        told.append((stage, done))

    _publish(store, on_progress=on_progress)
    assert list(dict.fromkeys(stage for stage, _ in told)) == ["convert", "probe", "compare"]
    assert all(0 <= done <= 1 for _, done in told)
    assert told[-1] == ("compare", 1.0)


def test_what_is_not_fitted_is_refused(store: Path) -> None:
    with pytest.raises(ConversionError):
        publish(DecisionTreeClassifier(), DATA.data, name="iris", store=store)


@pytest.mark.parametrize("missing", ["sklearn", "skl2onnx", "onnx", "pandas"])
def test_a_missing_library_is_an_error_that_names_the_extra(store: Path, missing: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None\nimport foretell\nforetell.publish(1, [[1.0]], name='m')"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=store, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "pip install 'foretell[convert]'" in run.stderr


# ---------------------------------------------------------------- from a shell


@pytest.fixture
def sample_csv(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    DATA.data.to_csv(path, index=False)
    return path


def _run(store: Path, sample: Path, *arguments: str) -> Result:
    command = ["publish", *arguments, "--name", "iris", "--sample", str(sample), "--store", str(store)]
    return CliRunner().invoke(cli, command)


def test_a_skops_file_is_published(store: Path, sample_csv: Path, tmp_path: Path) -> None:
    skops.io.dump(LINEAR, tmp_path / "linear.skops")
    result = _run(store, sample_csv, str(tmp_path / "linear.skops"), "--enforce", "ranges,categories")
    assert result.exit_code == 0, result.output
    assert "published iris version 1" in result.output
    assert Manifest.read(store / "iris" / "1" / "manifest.json").signature.enforce == ("ranges", "categories")


def test_types_that_skops_does_not_trust_are_named(store: Path, sample_csv: Path, tmp_path: Path) -> None:
    skops.io.dump(TREE, tmp_path / "tree.skops")
    refused = _run(store, sample_csv, str(tmp_path / "tree.skops"))
    assert refused.exception is not None
    assert "sklearn.tree._tree.Tree" in str(refused.exception)
    accepted = _run(store, sample_csv, str(tmp_path / "tree.skops"), "--trusted", "sklearn.tree._tree.Tree")
    assert accepted.exit_code == 0, accepted.output


@pytest.mark.parametrize("suffix", [".joblib", ".pickle", ".pkl"])
def test_a_pickle_needs_the_flag_that_says_it_runs_code(
    store: Path, sample_csv: Path, tmp_path: Path, suffix: str
) -> None:
    joblib.dump(TREE, tmp_path / f"tree{suffix}")
    refused = _run(store, sample_csv, str(tmp_path / f"tree{suffix}"))
    assert refused.exception is not None
    assert "--trust-pickle" in str(refused.exception)
    assert scan(store) == {}
    accepted = _run(store, sample_csv, str(tmp_path / f"tree{suffix}"), "--trust-pickle")
    assert accepted.exit_code == 0, accepted.output


def test_an_unknown_enforcement_is_refused(store: Path, sample_csv: Path, tmp_path: Path) -> None:
    skops.io.dump(LINEAR, tmp_path / "linear.skops")
    result = _run(store, sample_csv, str(tmp_path / "linear.skops"), "--enforce", "range")
    assert result.exit_code == 2
    assert "'range' is not one of ranges, categories" in result.output


def test_a_terminal_sees_progress_and_a_pipe_does_not(store: Path, sample_csv: Path, tmp_path: Path) -> None:
    skops.io.dump(LINEAR, tmp_path / "linear.skops")
    command = [sys.executable, "-m", "foretell", "publish", str(tmp_path / "linear.skops"), "--name", "iris"]
    command += ["--sample", str(sample_csv), "--store", str(store)]
    piped = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert piped.stderr == ""

    terminal, side = pty.openpty()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=side) as process:
        os.close(side)
        shown = _read_terminal(terminal)
        assert process.wait(120) == 0
    for stage in ("convert", "probe", "compare"):
        assert stage in shown


def _read_terminal(terminal: int) -> str:
    """Everything that a program writes to a terminal until it closes it."""
    chunks: list[bytes] = []
    while select.select([terminal], [], [], 120)[0]:
        try:
            chunk = os.read(terminal, 4096)
        except OSError:  # Linux says so when the other side is closed
            break
        chunks.append(chunk)
    os.close(terminal)
    return b"".join(chunks).decode()


# ---------------------------------------------------------------- kills

_PUBLISHER = """
import os, sys
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier
from foretell import publish
data = load_iris(as_frame=True)
tree = DecisionTreeClassifier(max_depth=3, random_state=0).fit(data.data, data.target)
publish(tree, data.data[:20], name="warm-up", store=sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        publish(tree, data.data[:20], name="iris", store=sys.argv[1])
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_a_publisher_killed_at_any_moment_leaves_a_store_that_loads(store: Path) -> None:
    chance = random.Random(5)
    command = [sys.executable, "-W", "ignore", "-c", _PUBLISHER, str(store)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as publisher:
        assert publisher.stdin is not None
        assert publisher.stdout is not None
        assert publisher.stdout.readline() == "ready\n"

        def one(kill_after_s: float | None) -> int:
            """Publish once, kill after a while, and return the exit status."""
            assert publisher.stdin is not None
            assert publisher.stdout is not None
            publisher.stdin.write("go\n")
            publisher.stdin.flush()
            child = int(publisher.stdout.readline())
            timer = threading.Timer(kill_after_s or 0, _kill, [child])
            if kill_after_s is not None:
                timer.start()
            status = int(publisher.stdout.readline())
            timer.cancel()
            return status

        assert one(None) == 0
        statuses = [one(chance.uniform(0, 0.4)) for _ in range(50)]
        publisher.stdin.close()
    complete = scan(store)["iris"].versions
    for folder in complete.values():
        assert read_artifact(folder, max_bytes=10**9).manifest is not None
    assert len(complete) >= 1 + statuses.count(0)
    assert statuses.count(-signal.SIGKILL) > 0
    assert list(complete) == list(np.arange(1, len(complete) + 1))


def _kill(child: int) -> None:
    try:
        os.kill(child, signal.SIGKILL)
    except ProcessLookupError:  # it had just ended
        return


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"enforce": ["rangs"]}, "'rangs' is not one of ranges, categories; did you mean 'ranges'"),
        ({"enforce": "ranges"}, "is no list"),
        ({"precision": "float16"}, "is not one of auto, float32, float64"),
        ({"tolerance": -1}, "not in the range"),
        ({"tolerance": float("nan")}, "not in the range"),
    ],
    ids=["enforcement", "enforcement-text", "precision", "tolerance", "tolerance-nan"],
)
def test_an_argument_that_is_not_taken_is_refused_first(
    store: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        _publish(store, **options)
    assert scan(store) == {}


def test_a_sample_that_is_a_path_is_refused_with_advice(store: Path) -> None:
    with pytest.raises(ArgumentError, match="read_csv"):
        publish(TREE, "rows.csv", name="iris", store=store)
